"""The measurements of the suite: steps of fixed length, draft shares, replayed solves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import lru_cache
from statistics import fmean, median
from typing import Any

from research.cost_suite.blank import Blank, blank_models, question
from research.cost_suite.limits import Floor, Rates, core_rates, device_rates
from research.cost_suite.naive import naive_step
from research.cost_suite.replayed import record, replay
from research.cost_suite.scales import PROBLEM_SEED, Scale
from research.cost_suite.shapes import TRIOS, Engine, free, random_model
from specs import api
from specs.bundled.problems import generate
from specs.config import Limits, SolveConfig
from specs.config.solve_config import MAX_STEP_TOKENS, TEMPERATURE
from specs.core.statistics import median_ratio_interval, percentiles
from specs.decoding.stream import stream
from specs.engines.local.backend import Backend
from specs.engines.local.background import cores
from specs.engines.local.buffers import release_spare_buffers
from specs.engines.protocol import Models
from specs.errors import EngineError
from specs.methods import Method
from specs.methods.beam import Beam
from specs.methods.gsi import Gsi
from specs.methods.rsd import Rsd
from specs.methods.specs import Specs
from specs.types import Result, Role, SamplingParams, Seconds, StepPolicy

WAYS: dict[str, Callable[[int], Method]] = {
    "specs": lambda n: Specs(n, draft_share=1.0, accept_weight=0.0, verify="all"),
    "beam": Beam,
    "gsi": lambda n: Gsi(n, threshold=-math.inf),
    "gsi, rejected": lambda n: Gsi(n, threshold=math.inf),
    "rsd": lambda n: Rsd(tau=0.0),
    "rsd, rejected": lambda n: Rsd(tau=1.0),
}
"""For each kind of step, a method that makes only this kind.

With random weights rewards mean nothing, so a coin or a threshold decides who writes.
"""
NAIVE = {"specs, naive": Role.DRAFT, "beam, naive": Role.TARGET}
"""Writers of the steps of `naive_step`."""
NAIVE_REPEATS = 2
"""Repeats of naive steps: few, since these are slow; other steps have warmed up the models before."""
REPLAYED: dict[str, Method] = {"specs": Specs(verify="all"), "beam": Beam(), "gsi": Gsi(threshold=0.7), "rsd": Rsd()}
"""Methods whose solves are replayed: the defaults, but for gsi the threshold of the comparison in the docs' results."""
PHASES = ("draft", "target_generate", "target_score", "prm", "wall")


_held: dict[tuple[Scale, str], dict[Role, Backend]] = {}


def sized(scale: Scale, trio: str) -> dict[Role, Backend]:
    """The models of a trio. Frees those of the trio before first, since a GPU may not hold both."""
    if (scale, trio) not in _held:
        release(scale.engine)
        backends = {}
        for role, size in TRIOS[trio].items():
            backends[role] = random_model(size, scale.engine, scale.device, f"{trio} {role}")
            backends[role].concurrent_calls = 0  # no look-ahead: random rewards cannot tell the likely winner
        _held[scale, trio] = backends
    return _held[scale, trio]


def release(engine: Engine) -> None:
    """Free the models and their memory."""
    _held.clear()
    free(engine)


@lru_cache
def rates(scale: Scale, trio: str) -> Rates:
    """The best rates of the machine, for the trio's largest model: small weights may fit into a processor cache."""
    largest = max(size.parameters for size in TRIOS[trio].values())
    if scale.engine == "light":
        return core_rates(largest, cores())
    return device_rates(largest, scale.device)


def steps(scale: Scale, ways: Sequence[str], trio: str, n: int, context: int) -> dict[str, Any]:
    """Times of steps of `scale.tokens` tokens, for each kind of step in `ways`, measured in turn.

    Args:
        n: candidates a step.
        context: tokens of the prefix.
    """
    release_spare_buffers()  # earlier measurements must not decide how large buffers are
    backends = sized(scale, trio)
    models, asked = blank_models(backends), question(context)
    prefix = Blank().encode(asked)
    found: dict[str, list[list[Seconds]]] = {way: [] for way in ways}
    results: dict[str, Result] = {}
    for repeat in range(-1, scale.repeats):  # the first one warms up
        for way in ways if repeat % 2 else reversed(ways):
            if way in NAIVE:
                if 0 <= repeat < NAIVE_REPEATS:
                    found[way].append([naive_step(backends, NAIVE[way], prefix, n, scale.tokens)])
                continue
            results[way] = _solve(asked, models, WAYS[way](n), scale.tokens, scale.steps, seed=repeat + 1)
            if repeat >= 0:
                found[way].append(_steps_of(results[way]))
    limits = rates(scale, trio)
    floors = _floors(Floor(limits, TRIOS[trio], context), n, scale.tokens)
    means = {way: [fmean(one.wall for one in made) for made in found[way]] for way in ways}
    rows = {}
    for way in ways:
        made = [one for solve in found[way] for one in solve]
        rows[way] = {
            **_summary(made),
            "floor_ms": _ms(floors[way.removesuffix(", naive")]),
            "over_beam": _ratio(means[way], means["beam"][: len(means[way])]),
        }
        if way in results:
            rows[way]["outside"] = round(sum(one.orchestration for one in made) / sum(one.wall for one in made), 4)
            rows[way]["over_minimum"] = _over_minimum(results[way])
    return {"trio": trio, "n": n, "context": context, "tokens": scale.tokens, "rates": asdict(limits), "ways": rows}


def shares(scale: Scale) -> dict[str, Any]:
    """Time of a step relative to that of `beam`, when a coin lets the draft write a share of the steps."""
    models, asked = blank_models(sized(scale, scale.trio)), question(scale.context)
    ways: dict[float | str, Method] = {"beam": Beam(scale.n)}
    ways |= {share: Specs(scale.n, draft_share=share, accept_weight=0.0, verify="all") for share in scale.shares}
    walls: dict[float | str, list[float]] = {way: [] for way in ways}
    drafted: dict[float | str, list[bool]] = {way: [] for way in ways}
    for repeat in range(-1, scale.repeats):
        for way in list(ways) if repeat % 2 else reversed(ways):
            result = _solve(asked, models, ways[way], scale.tokens, 2 * scale.steps, seed=repeat + 1)
            if repeat >= 0:
                walls[way] += [one.wall for one in _steps_of(result)]
                drafted[way] += [one.writer is Role.DRAFT for one in result.accepted if one.step_idx]
    beam = fmean(walls["beam"])
    draft = fmean(walls[max(scale.shares)]) / beam
    rows = []
    for share in scale.shares:
        written = fmean(drafted[share])
        predicted = written * draft + 1 - written
        rows.append({"asked": share, "share": written, "predicted": predicted, "measured": fmean(walls[share]) / beam})
    return {"trio": scale.trio, "rows": [{name: round(value, 4) for name, value in row.items()} for row in rows]}


def replays(scale: Scale, tier: str) -> dict[str, Any]:
    """Solves of the bundled models in the time that the trio `scale.replayed_on` takes, the methods in turn."""
    law = SamplingParams(TEMPERATURE, steps=StepPolicy(max_tokens=MAX_STEP_TOKENS))
    models, sizes = api.load(), sized(scale, scale.replayed_on)
    found: dict[str, list[Result]] = {name: [] for name in REPLAYED}
    for k in range(-1, scale.problems):
        asked = generate(tier, PROBLEM_SEED + k).question
        for name, method in REPLAYED.items() if k % 2 else reversed(REPLAYED.items()):
            recorded, kept = record(asked, models, method, law)
            result = replay(asked, models, method, law, kept, sizes)
            if result.error is not None or result.text != recorded.text:
                raise EngineError(
                    f"a replayed solve failed: {result.error or 'its text differs from the recorded one'}"
                )
            if k >= 0:
                found[name].append(result)
    beam = [one.latency_s for one in found["beam"]]
    rows = {}
    for name, results in found.items():
        accepted = [step for result in results for step in result.accepted]
        rows[name] = {
            "latency_s": round(fmean(one.latency_s for one in results), 4),
            "over_beam": _ratio([one.latency_s for one in results], beam),
            "draft_share": round(fmean(one.writer is Role.DRAFT for one in accepted), 3),
            "steps": round(len(accepted) / len(results), 2),
            "rejected": round(sum(len(one.steps) for one in results) / len(results) - len(accepted) / len(results), 2),
        }
    return {"trio": scale.replayed_on, "tier": tier, "problems": scale.problems, "methods": rows}


def _solve(asked: str, models: Models, method: Method, tokens: int, count: int, seed: int) -> Result:
    """A solve of `count` steps after the first one, which also reads the prompt and is not measured."""
    law = SamplingParams(steps=StepPolicy.chunks(tokens))
    limits = Limits(max_steps=count + 1, max_tokens=(count + 1) * tokens + 1)
    result = stream(asked, models, SolveConfig(method, law, limits, seed=seed)).result
    if result.error is not None:
        raise EngineError(f"a solve of the suite failed: {result.error}")
    return result


def _steps_of(result: Result) -> list[Seconds]:
    """Busy seconds of every step but the first, its rejected version included."""
    found: dict[int, Seconds] = {}
    for one in result.steps:
        if one.step_idx:
            found[one.step_idx] = found.get(one.step_idx, Seconds()) + one.seconds
    return list(found.values())


def _summary(made: list[Seconds]) -> dict[str, Any]:
    """Milliseconds of a step: median, 10th and 90th percentile, and the mean of each phase."""
    walls = [one.wall for one in made]
    low, high = percentiles(walls, (10, 90))
    phases = {phase: _ms(fmean(getattr(one, phase) for one in made)) for phase in PHASES}
    return {"steps": len(made), "ms": _ms(median(walls)), "low": _ms(low), "high": _ms(high), "phases_ms": phases}


def _floors(floor: Floor, n: int, tokens: int) -> dict[str, float]:
    draft, target = floor.draft_step(n, tokens), floor.target_step(n, tokens)
    single = floor.draft_step(1, tokens, target=False)
    return {
        "specs": draft,
        "beam": target,
        "gsi": draft,
        "gsi, rejected": draft + target,
        "rsd": single,
        "rsd, rejected": single + floor.target_step(1, tokens, prm=False),
    }


def _over_minimum(result: Result) -> float:
    """Computed token positions divided by the minimum, over all roles."""
    fewest = {role: use.minimum for role, use in result.usage.items() if use.minimum}
    return round(sum(result.usage[role].processed for role in fewest) / sum(fewest.values()), 4)


def _ratio(one: Sequence[float], other: Sequence[float]) -> dict[str, float | None]:
    """Median of paired ratios with its 95% interval; the interval of a single pair is None."""
    found = median_ratio_interval(one, other)
    return {name: round(value, 3) if math.isfinite(value) else None for name, value in found._asdict().items()}


def _ms(value: float) -> float:
    return round(1e3 * value, 3)
