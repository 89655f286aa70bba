"""The study as data: which settings solve which problems.

Settings are written as on the command line (`specs:n=4:tau=0.9`). Every rival of `GROUPS` is tuned: eight settings
each, on the same problems, by the same rule (`research.study.tuning`). What was chosen is compared on other
problems. A group that writes with the target is timed with token-level speculation, too (`+speculation`), which changes
no token.

Problem seeds: no earlier result used those from `TUNING_SEED` on.
"""

from __future__ import annotations

from dataclasses import dataclass

TUNING_SEED, TEST_SEED = 3_000_000, 3_010_000
TIERS = ("medium", "hard")

GROUPS: dict[str, tuple[str, ...]] = {
    "specs": (
        "specs:n=4", "specs:n=4:tau=0.9", "specs:tau=0.7", "specs",
        "specs:tau=0.9", "specs:beta=40", "specs:n=16", "specs:n=16:tau=0.9",
    ),
    "specs-released": (
        "specs-released:n=4", "specs-released:threshold=5", "specs-released", "specs-released:threshold=8",
        "specs-released:beta=20:threshold=14", "specs-released:beta=20:threshold=17", "specs-released:n=16",
        "specs-released:n=16:beta=20:threshold=14",
    ),
    "gsi": (
        "gsi:n=4", "gsi:n=4:threshold=0.7", "gsi:threshold=0.3", "gsi",
        "gsi:threshold=0.7", "gsi:threshold=0.9", "gsi:n=16", "gsi:n=16:threshold=0.7",
    ),
    "rsd of n": tuple(
        f"specs:select_weight=0:accept_weight=0:switch_on=trace:select=best:n={n}:tau={tau}"
        for n, tau in ((4, 0.7), (4, 0.8), (8, 0.5), (8, 0.7), (8, 0.8), (8, 0.9), (16, 0.7), (16, 0.8))
    ),
    "rsd": tuple(f"rsd:tau={tau}" for tau in (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)),
    "beam": (
        "beam:n=2", "beam:n=4", "beam", "beam:n=16",
        "beam:n=8:width=2", "beam:n=16:width=2", "beam:n=16:width=4", "beam:n=16:width=4:answer=vote",
    ),
    "soft-beam": (
        "soft-beam:n=2", "soft-beam:n=4", "soft-beam:beta=10", "soft-beam",
        "soft-beam:beta=40", "soft-beam:n=16", "soft-beam:n=16:beta=40", "soft-beam:n=16:width=4",
    ),
    "dvts": (
        "dvts:n=4:width=2", "dvts", "dvts:width=4", "dvts:n=16:width=2",
        "dvts:n=16:width=4", "dvts:n=16:width=8", "dvts:n=16:width=4:answer=vote", "dvts:n=16:width=8:answer=vote",
    ),
    "best-of-n": (
        "best-of-n:n=4", "best-of-n", "best-of-n:n=16", "soft-best-of-n",
        "soft-best-of-n:n=16", "weighted-majority:n=4", "weighted-majority", "weighted-majority:n=16",
    ),
    "majority": (
        "majority:n=4", "majority", "majority:n=16", "adaptive-majority:n=4:batch=1",
        "adaptive-majority:n=8:batch=2", "adaptive-majority:n=8:batch=4", "adaptive-majority:n=16:batch=4",
        "adaptive-majority:n=16:batch=8",
    ),
    "one-first": (
        "one-first:n=4", "one-first:n=4:tau=0.9", "one-first:tau=0.7", "one-first",
        "one-first:tau=0.9", "one-first:tau=0.95", "one-first:n=16", "one-first:n=16:tau=0.9",
    ),
    "cascade": tuple(
        f"cascade:n={n}:tau={tau}"
        for n, tau in ((4, 0.8), (4, 0.9), (8, 0.7), (8, 0.8), (8, 0.9), (8, 0.95), (16, 0.8), (16, 0.9))
    ),
    "beam-draft": (
        "beam-draft", "beam-draft:n=16", "beam-draft:n=32", "beam-draft:n=64",
        "beam-draft:n=16:width=4", "beam-draft:n=32:width=4", "beam-draft:n=64:width=4", "beam-draft:n=64:width=8",
    ),
}  # fmt: skip
"""The settings that tuning tries, by group; the same number for each."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some settings on some problems.

    Attributes:
        name: of the part, and of its file of rows.
        first: the first problem seed.
        problems: their number, by tier.
        methods: settings.
        models: the models that solve: `bundled`, or a worse trio (`research.study.worse`).
    """

    name: str
    first: int
    problems: dict[str, int]
    methods: tuple[str, ...]
    models: str = "bundled"

    def turns(self) -> list[tuple[str, int, str]]:
        """Every solve: tier, problem seed, setting; all settings of a problem one after the other."""
        return [
            (tier, self.first + k, method)
            for tier, problems in self.problems.items()
            for k in range(problems)
            for method in self.methods
        ]


TUNING = Part(
    "tuning", TUNING_SEED, {"hard": 60, "medium": 40}, tuple(one for group in GROUPS.values() for one in group)
)

CONTROLS = (
    "specs:select_weight=0", "specs:accept_weight=0", "specs:select_weight=0:accept_weight=0", "target", "draft",
)  # fmt: skip
"""Beside what tuning chose: the log-ratio in one place or in none, and one solution of each model."""
WORSE = ("prm-noise-2", "prm-large-numbers-1", "prm-large-numbers-3", "draft-noise-0.1")
"""Worse trios: rewards with noise, rewards that like large numbers (a PRM that is wrong in a systematic way), and a
draft with noise on its weights."""
BESIDE_WORSE = ("specs", "gsi", "specs-released", "rsd of n", "beam", "soft-beam", "one-first", "best-of-n")
"""The groups that solve with worse models."""
FRONT = (
    "specs", "specs-released", "gsi", "rsd of n", "beam", "soft-beam", "one-first", "best-of-n", "majority",
    "beam-draft",
)  # fmt: skip
FRONT_N = (2, 4, 8, 16, 32)
ORACLE = "weighted-majority:n=16"
"""The solutions among which an oracle picks a right one if there is one."""
CLAIMS = ("beam", "soft-beam", "gsi", "specs-released")
"""The groups that `specs` is compared with on as many problems as a difference of 2 points takes."""
PER_DISCORDANCE = 15_460
"""Problems with which a one-sided 95% bound excludes a difference of 2 points with a power of 80% if there is none,
divided by the share of problems in which two settings differ: (1.645 + 0.842)^2 / 0.02^2.
"""


def at_n(setting: str, n: int) -> str:
    """A setting with n candidates; a width that does not divide n is left out."""
    name, *options = setting.split(":")
    kept = [
        option
        for option in options
        if not option.startswith(("n=", "batch=")) and not (option.startswith("width=") and n % int(option[6:]))
    ]
    return ":".join([name, f"n={n}", *kept])


def parts(chosen: dict[str, str], rewrite_share: float, pairs: int) -> list[Part]:
    """The parts that need what tuning has chosen.

    Args:
        rewrite_share: the share of draft steps that the chosen `specs` rewrote, for its control.
        pairs: problems of the comparison with `CLAIMS`, from a pilot, the main part.
    """
    claims = tuple(dict.fromkeys(chosen[group] for group in ("specs", *CLAIMS)))
    untuned = [one for one in ("specs", "gsi", "specs-released", "beam", "soft-beam") if one not in chosen.values()]
    specs = chosen["specs"].removeprefix("specs").split(":")
    n = "".join(f":{option}" for option in specs if option.startswith("n="))
    control = f"random-rewrite{n}:rewrite_share={rewrite_share:.3f}"
    main = (*chosen.values(), *untuned, *CONTROLS, control)
    worse = tuple(chosen[group] for group in BESIDE_WORSE)
    return [
        Part("main", TEST_SEED, {"hard": 300, "medium": 200}, tuple(dict.fromkeys(main))),
        Part("pairs", TEST_SEED + 1_000, {"hard": pairs}, claims),
        Part("front", TEST_SEED, {"hard": 150}, tuple(at_n(chosen[group], n) for group in FRONT for n in FRONT_N)),
        Part("oracle", TEST_SEED, {"hard": 300, "medium": 200}, (ORACLE,)),
        *(Part(f"worse-{models}", TEST_SEED, {"medium": 150}, worse, models) for models in WORSE),
    ]
