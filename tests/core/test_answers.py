r"""The normal form: equal answers have the same one, different answers different ones; numbers are read exactly."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.answer_pairs import DIFFERENT, pairs
from specs.core.answer_tokens import render, tokens
from specs.core.answers import decimal, normal, parts, rational

HALF = [r"\frac12", r"\frac{1}{2}", r"\dfrac 12", r"\tfrac1{2}", r"\frac{1}2", "1/2", "0.5", ".5", "0.50", "½", "2/4"]
HALF += [
    "(1)/(2)",
    "(1/2)",
    r"\frac{1}{2}/1",
    "(2^2)/8",
    "(1+1)/4",
    r"100\%/2",
    "-1/-2",
    r"\nicefrac12",
    "0.5.",
    "(0.5)",
]
HALF += [
    r"50\%",
    "50 percent",
    r"50 \text{ percent}",
    "50%",
    "$\\frac{1}{2}$",
    r"\left(\frac12\right)",
    r"\boxed{0.5}",
    "5e-1",
]
ONE_ANSWER = [
    HALF,
    [r"2\frac{1}{2}", "2 1/2", "2½", "5/2", "2.5", r"2 \frac 12", "+2.5", r"\frac{5}{2}"],
    [r"-2\frac{1}{2}", "-2 1/2", "−5/2", "-2.50"],
    ["1234567", "1,234,567", r"1{,}234{,}567", r"1,\!234,\! 567", r"1\,234\,567", "1\u202f234\u202f567"],
    ["100000", "1e5", "1E+5", "10^{5}", r"1.0 \times 10^5", "1 x 10^5", "1×10⁵", r"10 \cdot 10^4", "100,000.0"],
    ["0.0025", "2.5e-3", r"2.5 \times 10^{-3}", "25/10000", r"\frac{1}{400}", "2.5*10^-3"],
    ["1/3", r"\frac{1}{3}", r"0.\overline{3}", r"0.\bar{3}", "2/6", r"33\frac{1}{3}\%"],
    [r"0.1\overline{6}", "1/6", r"\frac{1}{2}/3", r"0.1\bar6"],
    ["-1/2", "(-1)/2", "1/-2", r"\frac{1}{-2}"],
    ["(1,2)", "(1,4/2)", r"\bigl(1,2\bigr)", r"( 1 , \frac{4}{2} )", "(2 - 1, 2.0)"],
    [r"[0,\frac12)", "[0, 0.5)"],
    [r"\binom{5}{2}", r"\dbinom52", r"\tbinom{5}{2}"],
    ["3:30pm", "3:30 PM", r"3:30 \text{ p.m.}", "3:30 p.m."],
    [r"1,2,3,\ldots", "1, 2, 3, ...", "1,2,3,…", r"1,2,3,\dots"],
    ["2024-01-05", "2024-1-5"],
    [r"x>1 \text{ and } x<3", "x > 1 and x < 3"],
    ["5 cats", r"5 \text{ cats}"],
    ["Evan", r"\text{Evan}", r"\text{evan}"],
    [r"\text{all real numbers}", "All real numbers."],
    ["7", "007", "7.", "7.0", "+7", "$7$", "$$7$$", r"\(7\)", r"\[ 7 \]", "７", r"\text{7}", "= 7"],
    ["0", "-0", "0.0", "00"],
    ["12", r"2 \cdot 6", "2(6)", "3 + 9", "20 - 8", "24/2", "(2)(6)", r"2^3 + 4", "144/12"],
    [r"\text{Yes}", "yes", "YES", "Yes.", r"\mathrm{yes}", r"\textbf{Yes}"],
    ["No solution", r"\text{no solution}", "NO SOLUTION"],
    ["(C)", "C", r"\text{(C)}", r"\textbf{C}"],
    [r"\sqrt2", r"\sqrt{2}", "√2", "sqrt(2)", "sqrt 2", r"\sqrt 2"],
    ["√15", "sqrt15", r"\sqrt{15}", r"\sqrt(15)"],
    [r"\sqrt[3]{2}", r"\sqrt[3]2"],
    [r"2\pi", "2π", "2pi", r"2 \pi", r"2\,\pi"],
    [r"x^2", "x²", "x^{2}", "x ^ 2", "x**2"],
    ["x^12", "x^{12}", "x¹²"],
    [r"x^{-1}", "x^-1", "x^{ - 1 }"],
    ["x_1", "x_{1}", "x₁"],
    ["3, 5", "3 and 5", r"3 \text{ or } 5", "3; 5", "3,5", r"$3$ and $5$", "3, and 5", r"3 \lor 5"],
    [r"1 \le x \le 2", "1 <= x <= 2", r"1\leq x\leqslant 2", "1 ≤ x ≤ 2"],
    [r"\left[0, \infty\right)", "[0, infinity)", "[0,∞)", r"[0,+\infty)"],
    [r"\pm 4", "±4", "+/-4", "+-4"],
    ["14 - x", "14 + -x", "14+-x"],
    [r"\{1, 2\}", r"\left\{1,\,2\right\}", r"\lbrace 1, 2 \rbrace"],
    [r"\frac{a}{\pi}", r"\frac a\pi"],
    ["5cm", "5 cm", r"5\text{ cm}", r"5\,\mathrm{cm}"],
    [r"90^\circ", "90°", r"90^{\circ}", r"90\degree"],
    ["x=5", "x = 5", "$x = 5$.", r"x\;=\;5"],
    [r"\emptyset", r"\varnothing", "∅"],
    [r"\mathbb{R}", "ℝ"],
]  # fmt: skip


@pytest.mark.parametrize("answers", ONE_ANSWER, ids=lambda answers: answers[0])
def test_spellings_of_one_answer_have_one_normal_form(answers):
    forms = {answer: normal(answer) for answer in answers}
    assert len(set(forms.values())) == 1, forms


def test_no_two_of_these_answers_have_one_normal_form():
    assert len({normal(answers[0]) for answers in ONE_ANSWER}) == len(ONE_ANSWER)


@pytest.mark.parametrize("kind", DIFFERENT)
def test_different_answers_have_different_normal_forms(kind):
    same = [(one, other) for one, other in pairs(DIFFERENT[kind]) if normal(one) == normal(other)]
    assert same == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1 2", "12"),
        ("1. 5", "1.5"),
        ("1 .5", "1.5"),
        ("R", "r"),
        ("AB", "ab"),
        ("ABC", "abc"),
        (r"5 \text{ mW}", r"5 \text{ MW}"),
        (r"5\text{ m}", "5m"),
        ("2x", "x2"),
        ("(1,000)", "1000"),
        ("1,23,456", "123456"),
        ("3–5", "3-5"),
        (r"3\overline{5}", r"3.\overline{5}"),
        ("0.3", r"0.\overline{3}"),
        ("2 5/3", "11/3"),  # not a mixed number, because 5/3 exceeds 1
        ("$5", "5"),
        ("2^{1/2}", "2^1/2"),
        ("x=5", "5"),
        ("3, 5", "5, 3"),
        ("3-5", "-2"),
        ("2024-01-05", "2018"),
        ("1/2/2024", "1/4048"),
        ("0.333...", "0.333"),
        ("1,2,3,...", "1,2,3"),
        ("abcd", "ABCD"),
        ("am", "AM"),
        ("on", "no"),
        ("x<1 or x>3", "x<1 and x>3"),
        ("0^0", "1"),
        ("4abcd", "4 ABCD"),
        ("(1,2)", "(1,2]"),
        ("(1,2)(3,4)", "(1,2),(3,4)"),
        (r"\sqrt{12}", r"\sqrt12"),
    ],
)
def test_differences_that_may_matter_are_kept(one, other):
    assert normal(one) != normal(other)


@pytest.mark.parametrize("nothing", ["", " ", ".", "$$", r"\text{}", r"\,", "$ $", ", .", "{}", '""', r"\text"])
def test_nothing_has_no_normal_form(nothing):
    assert normal(nothing) == ""


@given(st.fractions(max_denominator=10**9))
def test_all_spellings_of_a_number_have_its_value(value):
    spellings = [
        decimal(value),
        str(value),
        rf"\frac{{{value.numerator}}}{{{value.denominator}}}",
        f"{100 * value} \\%",
    ]
    assert [rational(tokens(spelled)) for spelled in spellings] == [value] * 4
    assert {normal(spelled) for spelled in spellings} == {decimal(value)}


@given(st.integers(-(10**12), 10**12))
def test_separators_are_dropped_between_thousands_only(value):
    assert normal(f"{value:,}") == normal(f"{value:,}".replace(",", r",\!")) == str(value)


@given(st.lists(st.sampled_from([*"12xR,.{}()[]^_-+= $/%", r"\frac", r"\text{", r"\pm", "and", "½", r"\{"])))
def test_any_text_has_a_normal_form_and_outer_white_space_does_not_matter(pieces):
    text = "".join(pieces)
    assert normal(f" {text} ") == normal(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2^{10}", 1024),
        ("(-2)^2", 4),
        ("-2^2", -4),
        ("2^{3^2}", 512),
        ("6/2(1+2)", 9),
        ("2^{-2}", Fraction(1, 4)),
        ("(2/3)^2", Fraction(4, 9)),
        ("1 - 2 + 3", 2),
        ("{7}", 7),
        ("2^{80}/2^{81}", Fraction(1, 2)),
        ("1/0", None),
        ("0^{-1}", None),
        ("2^{1/2}", None),
        ("0^0", None),
        ("3-5", None),
        ("3 - 5", -2),
        ("1/2/3", Fraction(1, 6)),
        ("1/2/2024", None),
        (r"2\frac{1+1}{3}", None),
        ("1/3^{6000} + 1/7^{3500}", None),
        (r"2 \cdot -3", -6),
        ("(1+2)/3", 1),
        ("(3^2)/4", Fraction(9, 4)),
        ("2^{9^{9^9}}", None),
        ("10^{9999}", None),
        ("9" * 2000, None),
        ("10^{2000} 10^{2000}", None),
        (r"10^{2000} \times 10^{2000}", None),
        ("1e5000", None),
        ("(1", None),
        (r"\frac{1}", None),
        (r"\frac{1}{x}", None),
        ("2 3", None),
        ("2 x/3", None),
        (r"2\frac{x}{3}", None),
        (r"2\frac{5}{3}", None),
        ("5!", None),
        ("x", None),
        ("", None),
        ("2^", None),
        ("1e", None),
    ],
)
def test_constants_of_rational_value_are_evaluated_exactly(text, value):
    assert rational(tokens(text)) == value


def test_a_decimal_without_end_stays_a_fraction():
    assert [decimal(Fraction(*value)) for value in ((1, 3), (-1, 3), (-1, 20), (25, 1), (1, 2**1001))] == [
        "1/3", "-1/3", "-0.05", "25", f"1/{2**1001}"
    ]  # fmt: skip


def test_a_list_is_split_outside_brackets():
    listed = parts(tokens(r"(1,2), [3,4) and \{5, 6\}; \begin{pmatrix}7,8\end{pmatrix}"))
    assert [render(part) for part in listed] == [
        "(1,2)", "[3,4)", r"\{5,6\}", r"\begin{pmatrix}7,8\end{pmatrix}"
    ]  # fmt: skip


def test_the_normal_form_of_an_answer_too_long_or_too_deep_is_its_text():
    for endless in ("9 " * 5000, "(" * 5000, r"\frac{" * 5000, "{" * 50 + "1" + "}" * 50):
        assert normal(endless) == " ".join(endless.split())


@pytest.mark.parametrize(
    ("broken", "form"),
    [
        (r"\frac{1", r"\frac{1}{}"),
        ("x^", "x^{}"),
        ("}x{", "x"),
        (r"\sqrt[3", r"\sqrt[3]{}"),
        (r"\text{ab", "ab"),
        (r"a\\", "a"),
        ("\\", "\\"),
        (r"\begin", r"\begin"),
        (r"\left. x \right|", "x|"),
        (r"\binom{5}{2}", r"\binom{5}{2}"),
        (r"\frac{12}34", r"\frac{12}{3}4"),
        (r"\sqrt xy", r"\sqrt{x}y"),
        (r"\text{a\{b}", r"a\{b"),
        (r"2\mathrm{i}", "2i"),
        ("Mon", "mon"),
        (r"\text{MHz}", "MHz"),
        (r"\text{SUN}", "sun"),
        ("1.5.2", "1.5 0.2"),
    ],
)
def test_broken_and_rare_spellings(broken, form):
    assert normal(broken) == form
