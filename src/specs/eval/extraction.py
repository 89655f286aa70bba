r"""Reads the answer from a text: its last boxes, what follows "the answer is", the whole text, or its last value.

If the text is itself an answer (`12 apples`, `x = 5`, `\frac{1}{2}`, `not possible`), the answer is the whole text. In
a sentence about a value (`He has 12 apples left.`) the answer is that value: the whole formula, not its last number. If
the words before the value negate it or make it a bound (`not 42`, `at most 42`), there is no answer.
"""

from __future__ import annotations

import re

from specs.core.answers import normal
from specs.core.votes import boxes
from specs.eval.prose import FORMULA, Value, concluded, content_of, hedged, values_of
from specs.eval.structure import answers_of

_TAIL, _TRIES = 20_000, 20
"""Without a box: characters at the end of the text that are searched; markers that are tried, the last one first."""
_LONGEST = 2000
"""Most characters of a reference or a box that are analysed; a longer one is left unchanged."""
_MARKER = re.compile(
    r"####|<answer>|^[^\w\n]*(?:final |my |the )?answers?[^\w\n]*$"
    r"|\b(?:answers?|ans|option|choice)\b[*_]*(?:\s+(?:to|for|of)\b[^.\n:]{0,80}?\s(?:is|are)\b"
    r"|\s*(?:\bis\b|\bare\b|:|=|\s[-–—→](?=\s)))[*_]*\s*:?"
    r"|\b(?:choose|select|pick)\b(?=\s+\(?[A-J]\)?\W*$)",
    re.IGNORECASE | re.MULTILINE,
)
_BEHIND = re.compile(r"\s+is\s+(?:the|our|my)\s+(?:final\s+|correct\s+)?answer\W*$", re.IGNORECASE)
_MARKED = tuple(
    re.compile(rf"(?<![\w)]){mark}(?=\S)([^*_`]+?)(?<=\S){mark}(?![\w(])") for mark in (r"\*\*", "__", r"\*", "_", "`")
)
_BOLD = _MARKED[0]
_TEXT = re.compile(r"\\(?:text|mbox|mathrm|textbf)\s*\{([^{}]*)\}")
_CLAUSE = re.compile(
    r"[.!?](?=\s+\S|\s*$)|\s?[;:]\s+(?=[A-Za-z]{2})|\s[—–-]\s+(?=[A-Za-z]{2})|—|\s\((?=[A-Za-z]{2})"
    r"|[,;]?\s+(?:because|since|as|so|which|where|rejecting|but)\s"
)
"""The end of the clause with the answer."""
_CONCLUSION = re.compile(r"[,;.]\s+(?:and\s+)?(?:so|thus|hence|therefore|then|which)\b", re.IGNORECASE)
_VERDICT = re.compile(r"(yes|no)(?:\s*[,;:!—]|\.(?=\s)|\s*$)", re.IGNORECASE)
_PREDICATE = re.compile(r"(?:it|the|this)\b[^.\n]{0,60}?\s(?:is|are|was)\s+([A-Za-z]+)[.!]?", re.IGNORECASE)
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]+")
_PROSE = frozenset(
    "the is are was were be has had have he she it its we so get got now you of in for not but by at to sum".split()
)
_NOTHING = re.compile(
    r"(?:i have )?no (?:idea|answer)|i (?:do not|don't) know|(?:in)?correct|wrong|consistent|valid|reasonable",
    re.IGNORECASE,
)
"""Not an answer, though it may be where one is expected ("so the answer is correct")."""
_FORMAL = frozenset("sqrt infinity cosh sinh tanh arcsin arccos arctan percent where".split())
_FEW, _MANY = 5, 5
"""Most words of an answer without a value; fewest long or common words that make a text with values prose."""
_SUM = re.compile(r"\s*[A-Za-z](?:\s*[+-]\s*[A-Za-z])+\s*=([^=]+)")


def extract(text: str, count: int = 1) -> str | None:
    """The answer that a text gives; None if it gives none.

    Args:
        count: number of answers that the question has, >= 1. With boxes, the answer is made of as many of the last
            boxes as together hold this many.
    """
    if (answer := last_boxes(text, count)) is not None:
        return answer
    text = re.sub(r"\n\s*\n", "\n\n", re.sub(r"[^\S\n]+", " ", text[-_TAIL:]))  # no search scans white space twice
    for marker in list(_MARKER.finditer(text))[: -_TRIES - 1 : -1]:
        if (answer := _after_marker(text[marker.end() :], count)) and not _NOTHING.match(answer):
            return answer
    plain = concluded(_BEHIND.sub("", _clean(re.sub(r"^(?:[#\s]|>(?=\s))+", "", text))))
    if FORMULA.fullmatch(plain):
        return content_of(plain) or None
    if "matrix" in plain or "cases" in plain:
        plain = " ".join(plain.split())
    if not plain or _NOTHING.match(plain):
        return None
    if verdict := _VERDICT.match(plain):
        return verdict.group(1)
    valued = bool(values_of(plain))
    if not valued and (bold := list(_BOLD.finditer(text.rstrip().rpartition("\n")[2]))):
        return _clean(bold[-1].group(1)).removesuffix(":")
    if not valued and (predicate := _PREDICATE.fullmatch(plain)) and not hedged(predicate.group(1)):
        return predicate.group(1)
    whole = "\n" not in plain and (len(plain.split()) <= _FEW or valued) and not _is_prose(plain)
    return plain if whole else _last_value(text, count)


def stated(reference: str) -> str:
    """A reference answer without a box, "Answer:" or Markdown around it; a plain one is unchanged."""
    if len(reference) > _LONGEST:
        return reference
    if (answer := last_boxes(reference, len(boxes(reference)))) is not None:
        return answer
    marker = _MARKER.search(reference)
    return (_after_marker(reference[marker.end() :], 1) if marker else None) or _clean(reference) or reference


def last_boxes(text: str, count: int = 1) -> str | None:
    """The contents of as many of the last boxes as together hold `count` answers; None without a box."""
    return _last_listed([_without_lead(content) for content in boxes(text)], count)


def _last_listed(found: list[str], count: int) -> str | None:
    """As many of the last texts as together hold `count` answers, joined by commas; None without texts."""
    taken: list[str] = []
    listed = 0
    while found and listed < count:
        taken.insert(0, found.pop())
        listed += max(1, len(answers_of(taken[0])))
    return ", ".join(taken) if taken else None


def _without_lead(content: str) -> str:
    r"""A box's content without an introduction, as in `\text{The answer is } 5`."""
    plain = _TEXT.sub(r"\1", content) if len(content) <= _LONGEST else ""
    marker = _MARKER.search(plain)
    return (_after_marker(plain[marker.end() :], 1) if marker else None) or content


def _after_marker(text: str, count: int) -> str | None:
    """The answer at the start of the text after a marker."""
    text = text.lstrip(" \t\n*_:#")
    if (formula := FORMULA.match(text)) and "\n" in formula.group():
        return content_of(formula.group())
    line = text.split("\n", 1)[0].split("</answer>", 1)[0]
    if end := _CLAUSE.search(_blanked(line)):
        line = line[: end.start()]
    plain = concluded(_clean(line))
    if verdict := _VERDICT.match(plain):
        return verdict.group(1)
    return _last_value(line, count) if _is_prose(plain) else plain


def _clean(text: str) -> str:
    """The text without Markdown, bullets before bold text, `<answer>` tags, leading dots and check marks."""
    text = re.sub(r"^\s*[-•]\s+(?=\*\*)", "", text)  # a bullet, not a sign
    for marked in _MARKED:
        text = marked.sub(r"\1", text)
    text = re.sub(r"^[#\s]+|</?answer>|\*\*", "", text).strip()
    text = re.sub(r"^(?:(?:\.\.\.|…|✅)\s*)+|\s*[✅✓✔]\ufe0f?$", "", text)
    return text.removesuffix("*").strip()


def _is_prose(text: str) -> bool:
    """Whether a text makes a statement about a value in it: words before the value, or many words."""
    unwrapped = re.sub(r"\\(?:begin|end)\{\w+\*?\}", "", _TEXT.sub(r"\1", text))
    values = values_of(unwrapped)
    blanked = _blanked(unwrapped)
    words = [(found.start(), found.group().lower()) for found in _WORD.finditer(blanked)]
    prose = [start for start, word in words if (len(word) > 3 or word in _PROSE) and word not in _FORMAL]
    concludes = _CONCLUSION.search(blanked) is not None
    return bool(values and prose) and (prose[0] < values[0].start or len(prose) >= _MANY or concludes)


def _blanked(text: str) -> str:
    """The text with each formula replaced by blanks, since a formula has no words and no end of a sentence."""
    return FORMULA.sub(lambda found: " " * len(found.group()), text)


def _last_value(text: str, count: int) -> str | None:
    """The last value in bold, else the last value or list of values of the last line that has one.

    For `count` answers, as many values. None if words negate the value.
    """
    for bold in reversed(list(_BOLD.finditer(text))):
        content = _clean(bold.group(1))
        if values_of(content) and not content.endswith(":") and not _is_prose(content):
            return None if hedged(text[: bold.start()]) else content
    found: list[str] = []
    for line in reversed(_lines(text)):
        groups = _groups(values_of(line))
        if groups and any(value.hedged for value in groups[-1]) and not found:
            return None
        found = [_listed(group) for group in groups] + found
        if len(found) >= count:
            break
    return _last_listed(found, count)


def _groups(values: list[Value]) -> list[list[Value]]:
    """Values grouped into lists: `3, 5 and 7` is one group."""
    groups: list[list[Value]] = []
    for value in values:
        if value.joined and groups:
            groups[-1].append(value)
        else:
            groups.append([value])
    return groups


def _listed(group: list[Value]) -> str:
    """The values of a list; one value in several forms (`1/2 or 50%`) counts once."""
    values = [_without_sum(value.text) for value in group]
    return values[0] if len(set(map(normal, values))) == 1 else ", ".join(values)


def _without_sum(formula: str) -> str:
    """The value of `m + n = 47`: in prose a sum of symbols names what was asked for."""
    found = _SUM.fullmatch(formula)
    return found.group(1).strip() if found else formula


def _lines(text: str) -> list[str]:
    """The lines, without bullets, split into sentences; a formula over several lines is one line."""
    joined = FORMULA.sub(lambda found: found.group().replace("\n", " "), text).replace("**", "")
    lines = joined.split("\n")
    if len(lines) > 1:
        lines = [re.sub(r"^\s*[-•*]\s+", "", line) for line in lines]
    return [piece for line in lines for piece in re.split(r"(?<=[.!?])\s+(?=[A-Z*])", line)]
