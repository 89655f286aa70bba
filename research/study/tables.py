"""The tables of the documentation, made from the committed rows: `python -m research.study tables`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from research.benchmarks.bundled import t_interval
from research.study import rows
from research.study.plan import BESIDE_WORSE, FRONT, FRONT_N, GROUPS, ORACLE, TIERS, WORSE, at_n
from research.study.timing import SPECULATING, THREADS, with_speculation
from research.study.tuning import Solves, by_setting, chosen, difference, mean, tried
from specs.core.statistics import wilson

Z = 1.959964
SUMMARY = (
    ("specs", False), ("specs-released", False), ("gsi", False), ("beam", False), ("beam", True), ("soft-beam", False),
    ("soft-beam", True), ("one-first", False), ("one-first", True), ("best-of-n", False), ("majority", False),
)  # fmt: skip
"""Groups in the README's table, and whether with token-level speculation."""
PLACES = {
    "both": "specs", "the acceptance": "specs:select_weight=0", "the draw": "specs:accept_weight=0",
    "neither": "specs:select_weight=0:accept_weight=0",
}  # fmt: skip
"""Settings of `specs`, all with the same `tau`, by the places in which they use the log-ratio."""
BARS = {"hard": (0.78, 0.62), "medium": (0.80, 0.65)}
"""The latency of `specs` / rival that we want to be sure of, on one core and on two."""


def tables() -> Iterator[str]:
    """The page docs/study/tables.md: every table that there are rows for."""
    yield "# Tables of the study"
    yield ""
    yield "Made by `python -m research.study tables` from the rows in `research/records/study`."
    for title, lines in _sections():
        if made := list(lines):
            yield from ("", f"## {title}", "", *made)


def _sections() -> Iterator[tuple[str, Iterator[str]]]:
    for tier in TIERS:
        yield f"Right answers, {tier}", accuracy("main", tier)
    yield "Claims", accuracy("pairs", "hard")
    yield "An oracle", oracle()
    if rows.read("main"):
        yield "The log-ratio, by place", places()
    for name in WORSE:
        yield f"Worse models: {name}", accuracy(f"worse-{name}", "medium")
    for tier in TIERS:
        for cores, name in ((1, "one core"), (2, "two cores")):
            yield f"Latency, {tier}, {name}", latency(rows.read(f"time-{tier}-{cores}"))
    for tier in TIERS:
        for cores, name in ((1, "one core"), (2, "two cores")):
            yield f"Phases, {tier}, {name}", phases(rows.read(f"time-{tier}-{cores}"))
    for tier in TIERS:
        yield f"Bars, {tier}", bars(tier)
    yield "Several n", front()
    yield "Cost of a draft token", cost()
    yield "Tuning", tuning()


def summary() -> Iterator[str]:
    """The table of the README: what tuning chose, on `hard`, and right answers on `medium`."""
    settings = chosen()
    cells = by_setting(rows.read("main"))
    timed = [rows.read(f"time-hard-{cores}") for cores in (1, 2)]
    yield (
        "| method | setting | right, % | latency on one core, ms | on two cores, ms | core-seconds | GFLOPs "
        "| `medium`: right, % |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for group, faster in SUMMARY:
        base = settings[group]
        setting = with_speculation(base) if faster else base
        on = {tier: {place: row for place, row in cells[base].items() if place[0] == tier} for tier in TIERS}
        one, two = (means(found, best_of(found, setting)) for found in timed)
        flops = np.mean([row["mflops"] for row in timed[0] if row["method"] == setting]) / 1e3
        name, *options = setting.split(":")
        took = 1e3 * one["latency_s"].mean()
        yield (
            f"| `{name}` | {', '.join(options) or 'default'} | {share(on['hard'])} | {took:.0f} | "
            f"{1e3 * two['latency_s'].mean():.0f} | {one['core_s'].mean():.2f} | {flops:.1f} | {share(on['medium'])} |"
        )


def front() -> Iterator[str]:
    """Right answers of a group with several n, and the latency on one core."""
    cells, timed, settings = by_setting(rows.read("front")), rows.read("time-front-1"), chosen()
    if not cells or not timed:
        return
    yield "| group | " + " | ".join(f"n = {n}" for n in FRONT_N) + " |"
    yield "| --- |" + " --- |" * len(FRONT_N)
    for group in FRONT:
        shown: list[str] = []
        for n in FRONT_N:
            one = at_n(settings[group], n)
            took = means(timed, one)["latency_s"].mean()
            shown.append(f"{100 * mean(cells[one], 'right'):.0f}%, {1e3 * took:.0f} ms" if one in cells else "")
        yield f"| {group} | {' | '.join(shown)} |"


def tuning() -> Iterator[str]:
    """The settings that were tried; those in bold were chosen."""
    yield "| group | setting | `hard`, right, % | `medium`, right, % | GFLOPs |"
    yield "| --- | --- | --- | --- | --- |"
    for one in tried():
        name = f"**`{one['setting']}`**" if one["chosen"] else f"`{one['setting']}`"
        shares = " | ".join(
            f"{100 * one['right'][tier]:.0f}" if tier in one["right"] else "" for tier in ("hard", "medium")
        )
        yield f"| {one['group']} | {name} | {shares} | {one['gflops']:.1f} |"


def accuracy(part: str, tier: str) -> Iterator[str]:
    """One row for each setting: right answers, the paired difference from the chosen `specs`, FLOPs, who wrote."""
    cells = by_setting([row for row in rows.read(part) if row["tier"] == tier])
    settings = chosen()
    if not {settings.get("specs"), settings.get("beam")} <= cells.keys():
        return
    group_of = {setting: group for group, setting in settings.items()}
    specs, beam = cells[settings["specs"]], cells[settings["beam"]]
    yield "| setting | chosen for | right, % | minus `specs`, points | GFLOPs | FLOPs / `beam` | steps by the draft |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for method in ordered(cells, settings):
        solves = cells[method]
        minus = "" if solves is specs else points(*difference(solves, specs))
        drafted = sum(row["drafted"] for row in solves.values()) / max(1, sum(row["steps"] for row in solves.values()))
        flops = mean(solves, "mflops")
        yield (
            f"| `{method}` | {group_of.get(method, '')} | {share(solves)} | {minus} | {flops / 1e3:.1f} "
            f"| {flops / mean(beam, 'mflops'):.2f} | {100 * drafted:.0f}% |"
        )


def oracle() -> Iterator[str]:
    """Right answers of one of the target's whole solutions: any one, the vote's, and an oracle's."""
    found = rows.read("oracle")
    if not found:
        return
    n = int(ORACLE.rpartition("=")[2])
    yield f"| of {n} solutions of the target | " + " | ".join(f"`{tier}`: right, %" for tier in TIERS) + " |"
    yield "| --- |" + " --- |" * len(TIERS)
    cells = [[row for row in found if row["tier"] == tier] for tier in TIERS]
    single = [f"{100 * np.mean([row['solutions_right'] / n for row in solves]):.1f}" for solves in cells]
    voted = [_share([row["right"] for row in solves]) for solves in cells]
    picked = [_share([row["solutions_right"] > 0 for row in solves]) for solves in cells]
    for name, shown in (("one at random", single), ("the weighted vote", voted), ("an oracle", picked)):
        yield f"| {name} | {' | '.join(shown)} |"


def places() -> Iterator[str]:
    """`specs` with its defaults, and without the log-ratio in the draw, in the acceptance, or in both; paired."""
    found = rows.read("main")
    yield "| log-ratio in | `hard`: right, % | minus both, points | `medium`: right, % | minus both, points |"
    yield "| --- | --- | --- | --- | --- |"
    for place, setting in PLACES.items():
        shown: list[str] = []
        for tier in ("hard", "medium"):
            cells = by_setting([row for row in found if row["tier"] == tier])
            minus = "" if setting == "specs" else points(*difference(cells[setting], cells["specs"]))
            shown += [share(cells[setting]), minus]
        yield f"| {place} | {' | '.join(shown)} |"


def worse() -> Iterator[str]:
    """Right answers with worse models, and the paired difference from `specs` with its interval."""
    settings = chosen()
    parts = {name: by_setting(rows.read(f"worse-{name}")) for name in WORSE}
    problems = {row["problem"] for row in rows.read(f"worse-{WORSE[0]}")}
    main = [row for row in rows.read("main") if row["tier"] == "medium" and row["problem"] in problems]
    parts = {"unchanged": by_setting(main), **parts}
    yield "| tuned | " + " | ".join(f"`{name}`" if name != "unchanged" else name for name in parts) + " |"
    yield "| --- |" + " --- |" * len(parts)
    for group in BESIDE_WORSE:
        shown: list[str] = []
        for cells in parts.values():
            own, specs = cells[settings[group]], cells[settings["specs"]]
            right = f"{100 * mean(own, 'right'):.1f}"
            shown.append(right if group == "specs" else f"{right}, {points(*difference(own, specs))}")
        yield f"| {group} | {' | '.join(shown)} |"


def ordered(cells: Mapping[str, Any], settings: Mapping[str, str]) -> list[str]:
    """Chosen settings in the order of the plan, then the others."""
    first = [settings[group] for group in GROUPS if settings[group] in cells]
    return list(dict.fromkeys([*first, *cells]))


def share(solves: Solves) -> str:
    return _share([row["right"] for row in solves.values()])


def _share(right: Sequence[int]) -> str:
    low, high = wilson(sum(right), len(right))
    return f"{100 * sum(right) / len(right):.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def points(value: float, error: float) -> str:
    return f"{100 * value:+.1f} [{100 * (value - Z * error):+.1f}, {100 * (value + Z * error):+.1f}]"


def latency(found: Sequence[rows.Row]) -> Iterator[str]:
    """Ratios of `specs` to every setting, and what a solve takes."""
    if not found:
        return
    ours = means(found, chosen()["specs"])
    yield "| setting | latency, ms | core-seconds | `specs` / setting, latency | `specs` / setting, core-seconds |"
    yield "| --- | --- | --- | --- | --- |"
    for method in dict.fromkeys(row["method"] for row in found):
        own = means(found, method)
        ratios = [t_interval(ours[what] / own[what]) for what in ("latency_s", "core_s")]
        shown = " | ".join(f"{mid:.2f} [{low:.2f}, {high:.2f}]" for mid, low, high in ratios)
        yield f"| `{method}` | {1e3 * own['latency_s'].mean():.0f} | {own['core_s'].mean():.2f} | {shown} |"


PHASES = {
    "draft": "draft writes", "target_generate": "target writes", "target_score": "target scores", "prm": "PRM",
    "orchestration": "rest",
}  # fmt: skip


def phases(found: Sequence[rows.Row]) -> Iterator[str]:
    """What a solve spends in each phase, in ms; phases may overlap, so their sum may exceed the latency."""
    if not found:
        return
    yield "| setting | latency, ms | " + " | ".join(PHASES.values()) + " |"
    yield "| --- | --- |" + " --- |" * len(PHASES)
    for method in dict.fromkeys(row["method"] for row in found):
        own = [row for row in found if row["method"] == method]
        took = 1e3 * np.mean([row["latency_s"] for row in own])
        busy = [1e3 * np.mean([row["busy_s"][phase] for row in own]) for phase in PHASES]
        yield f"| `{method}` | {took:.0f} | {' | '.join(f'{each:.0f}' for each in busy)} |"


COSTS = (0.05, 0.1, 0.2, 0.3, 0.4)
"""Cost of a draft token divided by that of a target token; for models of 1.5 B and 7 B parameters it is about 0.2."""


def cost() -> Iterator[str]:
    """Latency on one core relative to `beam` with n = 8, if a draft token cost another share of a target token.

    On one core nothing overlaps with drafting, so a draft k times as slow adds k - 1 times its seconds. The measured
    cost is the seconds a drawn token of `beam-draft` divided by those of `beam`, with the same n.
    """
    found, settings = rows.read("time-front-1"), chosen()
    if not found:
        return
    at_8 = {group: at_n(settings[group], 8) for group in ("beam", "beam-draft", "specs", "gsi", "rsd of n")}
    cells = {group: [row for row in found if row["method"] == setting] for group, setting in at_8.items()}

    def busy(group: str, phase: str) -> float:
        return float(np.mean([row["busy_s"][phase] for row in cells[group]]))

    def drawn(group: str, role: str) -> float:
        return float(np.mean([row["drawn"][role] for row in cells[group]]))

    per_token = busy("beam", "target_generate") / drawn("beam", "target")
    measured = busy("beam-draft", "draft") / drawn("beam-draft", "draft") / per_token
    ratios = " | ".join(f"{ratio:g}" for ratio in COSTS)
    yield f"| cost of a draft token / target token | {ratios} | {measured:.2f}, as measured |"
    yield "| --- |" + " --- |" * (len(COSTS) + 1)
    whole = np.mean([row["latency_s"] for row in cells["beam"]])
    for group in ("specs", "gsi", "rsd of n"):
        took = np.mean([row["latency_s"] for row in cells[group]])
        shares = [(took + (ratio / measured - 1) * busy(group, "draft")) / whole for ratio in (*COSTS, measured)]
        yield f"| `{at_8[group]}` | {' | '.join(f'{share:.2f}' for share in shares)} |"


def bars(tier: str) -> Iterator[str]:
    """How `specs` stands beside every target-side search: which bar it meets, of accuracy or latency.

    The accuracy of a rival is lower if the 95% interval of rival - `specs` is below 0; a latency bar is met if the
    upper end of the interval of `specs` / rival is at most `BARS`. Speculation changes no token, so a rival has the
    accuracy of its own without it. On two cores the faster of one and of two threads counts.
    """
    settings = chosen()
    cells = by_setting([row for row in rows.read("main") if row["tier"] == tier])
    timed = {cores: rows.read(f"time-{tier}-{cores}") for cores in (1, 2)}
    if not cells or not any(timed.values()):
        return
    yield "| rival | right, minus `specs`, points | latency `specs` / rival, one core | two cores | met |"
    yield "| --- | --- | --- | --- | --- |"
    for group in SPECULATING:
        value, error = difference(cells[settings[group]], cells[settings["specs"]])
        for rival in (settings[group], with_speculation(settings[group])):
            met, shown = ["accuracy"] if value + Z * error < 0 else [], []
            for (cores, found), name in zip(timed.items(), ("one core", "two cores"), strict=True):
                if not found:
                    shown.append("")
                    continue
                mid, low, high = ratio(found, settings["specs"], best_of(found, rival))
                shown.append(f"{mid:.2f} [{low:.2f}, {high:.2f}]")
                met += [f"latency ({name})"] if high <= BARS[tier][cores - 1] else []
            yield f"| `{rival}` | {points(value, error)} | {' | '.join(shown)} | {', '.join(met) or 'none'} |"


def best_of(found: Sequence[rows.Row], rival: str) -> str:
    """The rival with one thread or with two, whichever is faster."""
    timed = {row["method"] for row in found}
    ways = [one for one in (rival, rival + THREADS) if one in timed]
    return min(ways, key=lambda one: means(found, one)["latency_s"].mean())


def ratio(found: Sequence[rows.Row], ours: str, theirs: str) -> tuple[float, float, float]:
    """Ratio of mean latencies over runs, with its 95% interval."""
    return t_interval(means(found, ours)["latency_s"] / means(found, theirs)["latency_s"])


def means(found: Sequence[rows.Row], method: str) -> dict[str, Any]:
    """[runs] means of a setting over the problems of each run."""
    runs = sorted({row["seed"] for row in found})
    own = [[row for row in found if row["method"] == method and row["seed"] == run] for run in runs]
    return {what: np.array([np.mean([row[what] for row in run]) for run in own]) for what in ("latency_s", "core_s")}
