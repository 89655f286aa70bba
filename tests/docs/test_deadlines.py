"""docs/deadlines.md quotes research/records/deadlines-TIER.json and crowd.json.

python tests/docs/test_deadlines.py     prints the rows
"""

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS, RECORDS = ROOT / "docs", ROOT / "research/records"
FOUND = {
    tier: json.loads(path.read_text())
    for tier in ("medium", "hard")
    if (path := RECORDS / f"deadlines-{tier}.json").is_file()
}
OTHERS = ("specs n=8", "specs score=raw n=2", "beam-draft n=8", "draft")


def share(one):
    return f"{100 * one['mean']:.1f} [{100 * one['low']:.1f}, {100 * one['high']:.1f}]"


def rival(one):
    """A fixed setting, its accuracy, and the deadline's accuracy minus it, with the one-sided lower bound."""
    if one is None:
        return "none fits"
    minus = one["minus_rival"]
    return (
        f"`{one['setting']}` {100 * one['accuracy']['mean']:.1f}: "
        f"{100 * minus['mean']:+.1f}, at least {100 * minus['lower_bound']:+.1f}"
    )


def rows():
    for tier, found in FOUND.items():
        yield f"| `{tier}`, {found['problems']} problems, {1000 * found['usual_s']:.0f} ms usual"
        for name, one in found["deadlines"].items():
            yield (
                f"| {name} | {share(one['in_time'])} | {share(one['before_the_deadline'])} | {share(one['answered'])} "
                f"| {share(one['accuracy'])} | {rival(one['rival_deadline'])} | {rival(one['rival_with_a_step'])} |"
            )
        for name, one in found["deadlines"].items():
            met = one["right_in_time"]
            cells = [share(met[setting]) for setting in ("with the deadline", *OTHERS)]
            yield f"| `{tier}`, {name} | {' | '.join(cells)} |"


def crowded():
    """The table of many solves at once."""
    found = json.loads((RECORDS / "crowd.json").read_text())
    yield "| solves | ended within deadline + step, % | late, median | 95% | at most | say so |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for way, one in found["ways"].items():
        late = " | ".join(f"{1000 * one[f'late_{which}_s']:.0f} ms" for which in ("p50", "p95", "max"))
        yield f"| {way} | {share(one['in_time'])} | {late} | {one['noted']} of {one['solves']} |"


def test_the_page_quotes_the_record_of_many_solves_at_once():
    found = json.loads((RECORDS / "crowd.json").read_text())
    page = (DOCS / "deadlines.md").read_text()
    assert "\n".join(crowded()) in page
    said = f"{found['runs']} runs of {found['solves']} solves, {found['cores']} cores"
    assert (
        f"{said}, a deadline of {1000 * found['deadline_s']:.0f} ms, a step of {1000 * found['step_s']:.0f} ms" in page
    )


def test_the_page_quotes_the_records():
    page = (DOCS / "deadlines.md").read_text()
    assert FOUND
    assert [row for row in rows() if row not in page] == []
    for found in FOUND.values():
        assert f"{found['tuning_problems']} tuning problems" in page


if __name__ == "__main__":
    print("\n".join([*rows(), *crowded()]))
