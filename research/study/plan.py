"""The study as data: which methods solve which problems, part by part.

A part is a few runs, a run is one folder of `specs.eval`. Parts a to h use the same problems, from
`TEST_SEED` on, so rows of different parts can be compared pairwise; settings are tuned on other problems.
Runs that count right answers may share the machine; runs that measure latency (`alone`) may not.

Sizes: two methods that are equally good and disagree on 16% of the problems have a difference with a
standard error of 0.4 / sqrt(problems): 1.2 points on 1,100, 1.8 on 500, 2 on 400, 2.8 on 200, 4 on 100.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from specs.bundled.problems import TIERS
from specs.config import Limits
from specs.config.solve_config import MAX_STEP_TOKENS, TEMPERATURE
from specs.eval.grid import GridPoint
from specs.methods import Method
from specs.methods.beam import Beam
from specs.methods.best_of_n import BestOfN, Majority
from specs.methods.gsi import Gsi
from specs.methods.oracle_route import OracleRoute
from specs.methods.prm_free import PrmFree
from specs.methods.rsd import Rsd
from specs.methods.single import Single
from specs.methods.specs import Specs
from specs.types import Role, SamplingParams, StepPolicy

TUNING_SEED, TEST_SEED = 2_200_000, 1_005_000
"""First problem seeds. Training left out the questions of seeds 1,000,000 to 1,019,999, and no earlier result used
those of the study.
"""
LAW = SamplingParams(TEMPERATURE, steps=StepPolicy(max_tokens=MAX_STEP_TOKENS))
LIMITS = Limits()
N = 8
"""Candidates a step where a part does not vary n."""
WIDTHS = (4, 8, 16)
ALL_WIDTHS = (1, 2, 4, 8, 16, 32, 64)
BETAS, TAUS = (2.0, 8.0, 32.0, 128.0), (0.5, 0.7, 0.8, 0.9, 0.95)
CHUNKS = (10, 20, 50, 100, 200)
START_DRAFT = "specs start=draft"

TITLES = {
    "a": "The main table",
    "b": "Which part helps: tilting and the first writer",
    "c": "Who writes: switching by reward, by coin, and by an oracle",
    "d": "Without the target's scores",
    "e": "Sensitivity to beta and tau",
    "f": "From 1 to 64 candidates",
    "g": "Weaker models, and a draft that costs more",
    "h": "Longer steps",
}


@dataclass(frozen=True, slots=True)
class Weaker:
    """A bundled model made worse by noise (`research.study.weaker`).

    Attributes:
        noise: of a draft the standard deviation as a multiple of each weight matrix's own; of a PRM in nats.
    """

    role: Literal["draft", "prm"]
    noise: float

    @property
    def name(self) -> str:
        return f"{self.role}-noise-{self.noise:g}"


WEAKER = (Weaker("prm", 2.0), Weaker("prm", 4.0), Weaker("draft", 0.07), Weaker("draft", 0.1))


@dataclass(frozen=True, slots=True)
class Run:
    """One folder: `part/name`.

    Attributes:
        part: a letter of `TITLES`, or "tuning".
        problems: how many, >= 1, from problem seed `first` on.
        points: the methods and settings that solve them.
        law: sampling parameters.
        weaker: the weaker model that replaces a bundled one; None for the unchanged trio.
        alone: whether the run measures latency, so that nothing else may run at the same time.
    """

    part: str
    name: str
    tier: str
    problems: int
    points: tuple[GridPoint, ...]
    law: SamplingParams = LAW
    weaker: Weaker | None = None
    first: int = TEST_SEED
    alone: bool = False

    @property
    def path(self) -> str:
        return f"{self.part}/{self.name}"


@dataclass(frozen=True, slots=True)
class Known:
    """What earlier runs of the study decide for later ones. The defaults serve to plan runs before that is known.

    Attributes:
        tuned: the configuration chosen for each method of `GRIDS`, with `N` candidates.
        draft_share: by tier, the share in [0, 1] of the steps after the first one that the draft wrote.
    """

    tuned: dict[str, Method] = field(default_factory=lambda: dict(DEFAULTS))
    draft_share: dict[str, float] = field(default_factory=lambda: dict.fromkeys(TIERS, 0.5))

    def at(self, label: str, n: int) -> GridPoint:
        """The tuned method with `n` candidates; `rsd` always has one."""
        method = self.tuned[label]
        return GridPoint(label, method if isinstance(method, Rsd) else replace(method, n=n))  # type: ignore[type-var]

    @property
    def specs(self) -> Specs:
        method = self.tuned["specs"]
        assert isinstance(method, Specs)
        return method


def by_step(beta: float = 32.0, tau: float = 0.8) -> Specs:
    """SPECS as studied: the target writes the first step, and `tau` is compared with the step's own reward alone."""
    return Specs(N, beta, tau, accept_weight=0.0, start="target", verify="all")


DEFAULTS: dict[str, Method] = {"specs": by_step(), "gsi": Gsi(N), "rsd": Rsd()}
"""The published settings of gsi and rsd, and the package's defaults of specs when the study was run."""
TILTED = GridPoint("specs tilted", Specs(N, 20.0, 0.8, start="draft", verify="all"))
"""The package's later defaults, chosen on other problems."""
GRIDS: dict[str, tuple[Method, ...]] = {
    "rsd": tuple(Rsd(tau) for tau in (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)),
    "gsi": tuple(Gsi(N, beta, threshold) for beta in (10.0, 20.0) for threshold in (0.3, 0.5, 0.7, 0.9)),
    "specs": tuple(by_step(beta, tau) for beta in (16.0, 32.0) for tau in (0.5, 0.7, 0.8, 0.9)),
}
"""The configurations that tuning tries: the same number for each method."""


def tuning(known: Known) -> list[Run]:
    """Every configuration of `GRIDS` on the same problems, which no other part uses."""
    return [
        Run("tuning", f"{tier}-{label}", tier, 100,
            tuple(GridPoint(f"{label} {k + 1}", method) for k, method in enumerate(grid)), first=TUNING_SEED)
        for tier in ("medium", "hard") for label, grid in GRIDS.items()
    ]  # fmt: skip


def main_table(known: Known) -> list[Run]:
    """Few methods on many problems, to detect differences of 3 points; all methods and n on some of these problems."""
    untuned = [point for point in _defaults(known, N) if point.label == "specs default"]
    head = (known.at("specs", N), GridPoint("beam", Beam(N)), known.at("gsi", N), known.at("rsd", N), *untuned)
    grid = tuple(point for point in _table(known) if point not in head)
    return [
        Run("a", "medium", "medium", 1100, head),
        Run("a", "hard", "hard", 500, head),
        Run("a", "easy-all", "easy", 100, _table(known)),
        Run("a", "medium-all", "medium", 200, grid),
        Run("a", "hard-all", "hard", 100, grid),
    ]


def _defaults(known: Known, n: int) -> tuple[GridPoint, ...]:
    """The untuned version of each method whose setting tuning has changed."""
    untuned = Known()
    return tuple(
        GridPoint(f"{label} default", untuned.at(label, n).method)
        for label in DEFAULTS
        if untuned.at(label, n) != known.at(label, n)
    )


def _table(known: Known) -> tuple[GridPoint, ...]:
    """All methods of the main table."""
    points = {
        point.setting.key: point for point in (GridPoint("draft", Single(Role.DRAFT)), GridPoint("target", Single()))
    }
    for n in WIDTHS:
        made = (
            GridPoint("majority", Majority(n)),
            GridPoint("best-of-n", BestOfN(n)),
            GridPoint("beam-draft", Beam(n, writer=Role.DRAFT)),
            GridPoint("beam", Beam(n)),
            *(known.at(label, n) for label in DEFAULTS),
            *(_defaults(known, n) if n == N else ()),
        )
        points |= {point.setting.key: point for point in made}
    return tuple(points.values())


def ablation(known: Known) -> list[Run]:
    """{raw, tilted} x {first step by target, draft}; rsd with a first step by the target.

    Part a already has the combination of tilted and target.
    """
    specs, rsd = known.specs, known.tuned["rsd"]
    assert isinstance(rsd, Rsd)
    points = (
        GridPoint(START_DRAFT, replace(specs, start="draft")),
        GridPoint("specs score=raw", replace(specs, select_weight=0.0)),
        GridPoint("specs score=raw start=draft", replace(specs, select_weight=0.0, start="draft")),
        GridPoint("rsd start=target", replace(rsd, start="target")),
    )
    return _both("b", lambda tier: points)


def routing(known: Known) -> list[Run]:
    """A coin that lets the draft write as often as under specs; and the better of both models' steps."""
    shares = {tier: round(share, 4) for tier, share in known.draft_share.items()}
    return _both(
        "c",
        lambda tier: (
            GridPoint("random-switch", replace(known.specs, draft_share=shares[tier])),
            GridPoint("oracle-route", OracleRoute(N)),
        ),
    )


def no_target(known: Known) -> list[Run]:
    """The draft writes every step: candidates chosen by the reward alone, or by the log-ratio alone."""
    alone = replace(known.specs, select_weight=0.0, start="draft", tau=0.0)
    return _both("d", lambda tier: (GridPoint("specs no target", alone), GridPoint("prm-free", PrmFree(N))))


def _both(part: str, points: Callable[[str], tuple[GridPoint, ...]]) -> list[Run]:
    return [Run(part, tier, tier, problems, points(tier)) for tier, problems in (("medium", 400), ("hard", 200))]


def sensitivity(known: Known) -> list[Run]:
    """Every pair of beta and tau. The standard error of a cell is 4 to 6 points: it shows slopes, not the best cell."""
    points = tuple(
        GridPoint(f"specs beta={beta:g} tau={tau:g}", replace(known.specs, beta=beta, tau=tau))
        for beta in BETAS for tau in TAUS
    )  # fmt: skip
    return [Run("e", tier, tier, problems, points) for tier, problems in (("medium", 100), ("hard", 50))]


def candidates(known: Known) -> list[Run]:
    """The values of n that the main table leaves out."""
    return [Run("f", "medium", "medium", 100, _over_n(known, (1, 2, 32, 64)))]


def _over_n(known: Known, widths: tuple[int, ...]) -> tuple[GridPoint, ...]:
    return tuple(
        point
        for n in widths
        for point in (
            known.at("specs", n),
            GridPoint("beam", Beam(n)),
            GridPoint("beam-draft", Beam(n, writer=Role.DRAFT)),
        )
    )


def weaker_models(known: Known) -> list[Run]:
    """The settings tuned on the unchanged trio, with one model made worse."""
    points = (known.at("specs", N), GridPoint("beam", Beam(N)), known.at("gsi", N), known.at("rsd", N), TILTED)
    own = {"prm": GridPoint("best-of-n", BestOfN(N)), "draft": GridPoint("draft", Single(Role.DRAFT))}
    return [Run("g", one.name, "medium", 200, (*points, own[one.role]), weaker=one) for one in WEAKER]


def step_lengths(known: Known) -> list[Run]:
    """Steps of a fixed number of tokens instead of lines.

    The draft writes the first step; otherwise long steps by the target would leave it none to write.
    """
    point = GridPoint(START_DRAFT, replace(known.specs, start="draft"))
    return [
        Run("h", f"chunks-{tokens}", "hard", 80, (point,),
            law=replace(LAW, steps=StepPolicy.chunks(tokens)))
        for tokens in CHUNKS
    ]  # fmt: skip


def timed(known: Known) -> list[Run]:
    """Runs that measure latency: fewer problems, methods in turn, each run alone on the machine."""
    beside = (known.at("specs", N), GridPoint("beam", Beam(N)))
    table = _table(known)
    runs = [Run("a", f"{tier}-timed", tier, size, table) for tier, size in (("easy", 40), ("medium", 40), ("hard", 24))]
    for make, size in ((ablation, 40), (routing, 40), (no_target, 40), (sensitivity, 20)):
        one = next(run for run in make(known) if run.tier == "medium")
        runs.append(replace(one, name="medium-timed", problems=size, points=(*beside, *one.points)))
    runs.append(Run("f", "medium-timed", "medium", 16, _over_n(known, ALL_WIDTHS)))
    return [replace(run, alone=True) for run in runs]


STAGES: tuple[tuple[Callable[[Known], list[Run]], ...], ...] = (
    (tuning,),
    (main_table, ablation, no_target, sensitivity, candidates, weaker_models, step_lengths),
    (routing,),
    (timed,),
)
"""A stage needs what earlier stages decide; the runs of one stage are independent of each other."""


def stage(makers: tuple[Callable[[Known], list[Run]], ...], known: Known, parts: str, scale: float) -> list[Run]:
    """The runs of a stage that belong to `parts`, and those of tuning, with at least two problems each."""
    return [
        replace(run, problems=max(2, round(scale * run.problems)))
        for make in makers for run in make(known) if run.part in parts or run.part == "tuning"
    ]  # fmt: skip
