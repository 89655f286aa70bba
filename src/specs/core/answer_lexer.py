r"""Splits an answer into tokens: each number is one token, and commands and Unicode have one spelling each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from unicodedata import normalize

Kind = Literal["number", "letters", "word", "command", "mark"]


@dataclass(frozen=True, slots=True)
class Token:
    r"""One token.

    Attributes:
        kind: `letters` are symbols (`x`, `AB`); a `word` is inside `\text{...}`, or is recognised later.
        text: a number in its shortest form (`7` for 007, `0.5` for .50), anything else as written.
        apart: whether white space precedes it.
    """

    kind: Kind
    text: str
    apart: bool = False


def _pairs(text: str) -> dict[str, str]:
    """A dictionary from a text of alternating keys and values."""
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=True))


_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma sigma tau "
    "upsilon phi chi psi omega"
).split()
_SIGNS = _pairs(
    r"× \times · \cdot ⋅ \cdot ∞ \infty ≤ \le ≥ \ge ≠ \ne ± \pm ≈ \approx ∪ \cup ∩ \cap ∈ \in ∅ \emptyset "
    r"° ^\circ … \dots √ sqrt ℝ \mathbb{R} ℤ \mathbb{Z} ℕ \mathbb{N}"
)
_UNICODE = str.maketrans(
    {
        **{sign: f" {command} " for sign, command in _SIGNS.items()},
        **{chr(0x3B1 + k): rf"\{name} " for k, name in enumerate(_GREEK)},
        **{chr(0x391 + k): rf"\{name.capitalize()} " for k, name in enumerate(_GREEK)},
        **{chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},  # full width
        **_pairs("− - ‐ - ‑ - ⁄ / ∕ / ÷ / ’ ' ′ ' “ \" ” \" 、 , 。 ."),
        **dict.fromkeys("\u2009\u202f\u200a", r"\,"),
        **dict.fromkeys("\u200b\ufeff\u2060", ""),
    }
)
_COMPOSED = re.compile("(?P<raised>[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+)|(?P<lowered>[₀-₉]+)|[¼-¾⅐-⅞]")
_WRITTEN = tuple(
    (re.compile(pattern), written)
    for pattern, written in (
        (r"(?<!\d)–", "-"),  # between digits it is a range
        (r"(?<=\d)(?:\s*[xX]\s*(?=10\s*\^)|\s+[xX]\s+(?=\d))", r"\\times "),  # 1.2 x 10^3, 6 x 6
        (r"\\(?:[dtc]|nice)?frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}"),  # TeX takes one digit: \frac12
        (r"\\[dt]?binom\s*(\d)\s*(\d)", r"\\binom{\1}{\2}"),
        (r"\\degree(?![A-Za-z])", r"^\\circ "),
        (r"(?i)(?<![A-Za-z])([ap])\.\s?m(?![A-Za-z])\.?", r"\1m"),  # p.m.
        (r"\\[dtc]?frac\s*(\d)(?!\d)", r"\\frac{\1}"),
        (r"\\sqrt\s*(\d)", r"\\sqrt{\1}"),
        (r"^\s*\$+((?:\\.|[^$\\])*)\$+\s*$", r"\1"),
        (r"(?<!\\)(\$\$?)(?=[^\s$])([^$]*?)(?<=[^\s\\])\1(?!\d)", r" \2 "),  # no $5 and $6
    )
)

_DRAWING = frozenset(
    "left right big Big bigg Bigg bigl bigr Bigl Bigr displaystyle textstyle limits nolimits boxed fbox rm bf "
    "it".split()
)
_SPACES = frozenset(["\\quad", "\\qquad", "\\,", "\\!", "\\;", "\\:", "\\>", "\\ ", "\\\n", "~"])
_DELIMITERS = frozenset(["\\(", "\\)", "\\[", "\\]", '"', "`"])
_TEXTS = frozenset("text textbf textit textrm textsf mbox hbox mathrm mathbf mathit operatorname".split())
_NAMED = re.compile(r"\s*\{(\w+\*?)\}")
_FUNCTIONS = "sin cos tan cot csc sinh cosh tanh log ln exp infty arcsin arccos arctan".split()
_ALIASES = {
    **_pairs(
        r"\dfrac \frac \tfrac \frac \cfrac \frac \nicefrac \frac \dbinom \binom \tbinom \binom "
        r"\leq \le \leqslant \le <= \le \geq \ge \geqslant \ge >= \ge "
        r"\neq \ne != \ne \lt < \gt > \div / \% % percent % percentage % pct % \$ $ \& & \varnothing \emptyset "
        r"\lbrace \{ \rbrace \} \lbrack [ \rbrack ] \langle ( \rangle ) \mid | \vert | \lvert | \rvert | \colon : "
        r"\prime ' \ldots \dots \cdots \dots \dotsc \dots ... \dots \bar \overline +/- \pm ** ^ * \cdot "
        r"\lor or \land and infinity \infty inf \infty"
    ),
    **{name: rf"\{name}" for name in (*_GREEK, *_FUNCTIONS)},
}
"""Standard spelling by alternative spelling, such as a name without its backslash."""
_THOUSANDS = re.compile(r"(?<![\d.])(?<!\d,)(\d{1,3}(?:,\d{3})+)(?!,?\d)(\.\d+)?")
_NUMBER = re.compile(
    r"(\d{1,3}(?:(?:\{,\}|,\s?\\!\s?|\\[,!])\d{3})+(?!\d)|\d+)?(\.\d+|\.(?=\\(?:overline|bar)(?:\{\d|\d)))?"
    r"(?:(?(2)\\(?:overline|bar)(?:\{(\d+)\}|(\d))|(?!))|[eE]([-+]?\d{1,9})(?![\d.]))?"
)
_OPENING_BRACE, _BRACE = re.compile(r"\s*\{"), re.compile(r"\\.|[{}]", re.DOTALL)
_PIECE = re.compile(r"\s+|\\[A-Za-z]+|\\.|[A-Za-z]+|\+/-|\*\*|<=|>=|!=|\.{3,}|.", re.DOTALL)
_LONGEST_POWER = 1000


def to_latex(text: str) -> str:
    r"""The text with Unicode as LaTeX, formulas without `$`, and the digits after `\frac` in braces."""
    text = _COMPOSED.sub(_composed, text).translate(_UNICODE)
    for pattern, written in _WRITTEN:
        text = pattern.sub(written, text)
    return text


def _composed(found: re.Match[str]) -> str:
    """A superscript, subscript or fraction character in LaTeX: `²` is `^{2}`, `½` is `\\frac{1}{2}`."""
    plain = normalize("NFKC", found.group())
    if found["raised"] or found["lowered"]:
        return f"{'^' if found['raised'] else '_'}{{{plain}}}"
    above, _, below = plain.partition("⁄")
    return rf"\frac{{{above}}}{{{below}}}"


def lex(text: str, prose: bool = False) -> Iterator[Token]:
    """The tokens of a text in LaTeX; `prose` is for text inside `\\text{...}`."""
    position, depth, apart = 0, 0, prose
    while position < len(text):
        if number := _number(text, position, depth == 0):
            shortest, position = number
            yield Token("number", shortest, apart)
            apart = False
            continue
        found = _PIECE.match(text, position)
        assert found is not None
        piece, position = found.group(), found.end()
        if piece.isspace() or piece in _SPACES:
            apart = True
            continue
        name = piece[1:] if piece[0] == "\\" else ""
        if name in _DRAWING:
            position += text[position : position + 1] == "."
        elif name in _TEXTS:
            inner, position = _braced(text, position)
            yield from lex(inner, prose=True)
            apart = True
            continue
        elif piece not in _DELIMITERS:
            piece = piece[:3] if piece.startswith("...") else piece
            if name in ("begin", "end", "mathbb", "mathcal") and (named := _NAMED.match(text, position)):
                piece, position = f"{piece}{{{named.group(1)}}}", named.end()
            piece = _ALIASES.get(piece, piece)
            depth = max(0, depth + (piece in ("(", "[", "\\{")) - (piece in (")", "]", "\\}")))
            yield Token(_kind(piece, prose), piece, apart)
        apart = False


def _kind(piece: str, prose: bool) -> Kind:
    if piece[0] == "\\":
        return "command"
    if piece.isalpha() and piece.isascii():
        lone = len(piece) == 1 and (piece.isupper() or piece in "eid")
        return "word" if piece in ("and", "or") or (prose and not lone) else "letters"
    return "mark"


def _braced(text: str, position: int) -> tuple[str, int]:
    """The content of the braces at `position`, and where they end; the rest of the text if they never close."""
    start = _OPENING_BRACE.match(text, position)
    if start is None:
        return "", position
    depth = 1
    for brace in _BRACE.finditer(text, start.end()):
        depth += {"{": 1, "}": -1}.get(brace.group(), 0)
        if depth == 0:
            return text[start.end() : brace.start()], brace.end()
    return text[start.end() :], len(text)


def _number(text: str, position: int, grouped: bool) -> tuple[str, int] | None:
    """The number that starts at `position` in its shortest form, and where it ends.

    Args:
        grouped: whether plain commas may separate thousands; inside brackets they separate entries.
    """
    found = _THOUSANDS.match(text, position) if grouped else None
    repeated, power = None, None
    if found:
        whole, part = found.groups()
    else:
        found = _NUMBER.match(text, position)
        assert found is not None
        whole, part, repeated, digit, power = found.groups()
        repeated = repeated or digit
        if whole is None and part is None:
            return None
    digits, behind = re.sub(r"\D", "", whole or ""), (part or ".")[1:]
    if repeated:
        return f"{digits.lstrip('0') or '0'}.{behind}({repeated})", found.end()
    shift = int(power or 0)
    if abs(shift) > _LONGEST_POWER:
        return found.group(), found.end()
    if shift >= 0:
        behind = behind.ljust(shift, "0")
        digits, behind = digits + behind[:shift], behind[shift:]
    else:
        digits = digits.rjust(-shift, "0")
        digits, behind = digits[:shift], digits[shift:] + behind
    digits, behind = digits.lstrip("0") or "0", behind.rstrip("0")
    return f"{digits}.{behind}" if behind else digits, found.end()
