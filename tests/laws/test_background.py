"""Background work in this process: the solve is the same, and no position is computed twice.

Verifiers prefill the prompt while another model writes the first step. The draft prefetches behind the candidate
that will probably be chosen while the target still scores.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from helpers import tiny
from helpers.fitting import make_with
from helpers.rows import check_same_steps
from specs.config import Limits, SolveConfig
from specs.decoding.stream import stream
from specs.engines.loading import Names, load_models
from specs.engines.local import background, prefetch
from specs.methods.registry import make
from specs.types import Finish, Role, SamplingParams, StepPolicy

QUESTION = "What is 2 + 2?"
LAW, LIMITS = SamplingParams(1.0, 1.0, StepPolicy(max_tokens=12)), Limits(max_steps=4)


@pytest.fixture(scope="module")
def light(trio):
    return load_models(Names(*(str(trio[role]) for role in ("draft", "target", "prm"))), engine="light")


class Seen(tiny.CountingBackend):
    """Takes `seconds()` for every pass, and records when each one ran and how many positions it had."""

    def __init__(self, backend, concurrent_calls=2, seconds=lambda: 0.0):
        super().__init__(backend)
        self.concurrent_calls, self.seconds, self.passes = concurrent_calls, seconds, []

    def forward(self, cache, ids, *args):
        start = time.perf_counter()
        time.sleep(self.seconds())
        rows = super().forward(cache, ids, *args)
        self.passes.append((start, time.perf_counter(), len(ids)))
        return rows


def seen(models, concurrent_calls=2, **seconds):
    """The same models, recording the passes of every role."""
    roles = {role: getattr(models, role) for role in Role}
    slow = {role: seconds.get(role, lambda: 0.0) for role in Role}
    return replace(
        models,
        **{role: replace(one, backend=Seen(one.backend, concurrent_calls, slow[role])) for role, one in roles.items()},
    )


def solve(models, name="gsi", seed=0, **options):
    return stream(QUESTION, models, SolveConfig(make_with(name, options), LAW, LIMITS, seed=seed)).result


@pytest.mark.parametrize(
    ("name", "options"),
    [("specs", {"beta": 1.0}), ("specs", {"start": "target", "accept_weight": 0.0}), ("gsi", {}), ("beam", {}),
     ("specreason", {}), ("best-of-n", {})],
)  # fmt: skip
def test_background_work_changes_no_step_and_computes_nothing_twice(light, name, options):
    for seed in range(3):
        apart = solve(seen(light, 0), name, seed, n=4, **options)
        along = solve(models := seen(light), name, seed, n=4, **options)
        assert along.error is None
        check_same_steps(along, apart)
        for role, use in along.usage.items():
            assert use.processed == use.minimum + use.speculated == getattr(models, role).backend.positions
            assert role is Role.DRAFT or not use.speculated


def test_verifiers_prefill_the_prompt_while_the_first_step_is_written(light):
    for name, writer in (("gsi", Role.DRAFT), ("beam", Role.TARGET)):
        models = seen(light, **{writer: lambda: 0.02})
        (first, *_) = solve(models, name, n=4).steps
        for role in {Role.TARGET, Role.PRM} - {writer}:
            if name == "gsi" or role is Role.PRM:
                start, _, count = getattr(models, role).backend.passes[0]
                assert start < getattr(models, writer).backend.passes[1][0]
                assert count == len(getattr(models, role).prompt(QUESTION))
                assert first.seconds.draft + first.seconds.target_generate > 0.02


def test_an_error_in_prefill_ends_the_solve(light):
    models = seen(light)

    def fail():
        raise MemoryError("no room to read")

    models.target.backend.seconds = fail
    result = solve(models)
    assert result.finish_reason is Finish.ERROR
    assert result.error == "no room to read"


def test_the_next_step_is_prefetched_while_this_one_is_scored(light):
    """Right guesses are reused and save their time; wrong ones are counted as speculated and change nothing."""
    gained = wasted = 0.0
    for seed in range(4):
        models = seen(light, draft=lambda: 0.004, target=lambda: 0.06)
        result = solve(models, "gsi", seed, n=3, threshold=-99.0)
        apart = solve(seen(light, 0), "gsi", seed, n=3, threshold=-99.0)
        assert [r.step.token_ids for r in result.steps] == [r.step.token_ids for r in apart.steps]
        gained += sum(r.seconds.draft + r.seconds.target_score - (r.seconds.wall - r.seconds.orchestration)
                      for r in result.steps[1:])  # fmt: skip
        wasted += result.usage[Role.DRAFT].speculated
        assert apart.usage[Role.DRAFT].speculated == 0
    assert gained > 0.05
    assert wasted > 0


@pytest.mark.parametrize("limits", [Limits(max_steps=1), Limits(max_tokens=5), Limits(deadline_s=0.15)])
def test_nothing_is_prefetched_beyond_the_end_and_nothing_keeps_running(light, limits):
    models = seen(light, draft=lambda: 0.004, target=lambda: 0.06)
    result = stream(QUESTION, models, SolveConfig(make("gsi", n=3, threshold=-99.0), LAW, limits, seed=0)).result
    assert result.error is None
    passes = models.draft.backend.positions
    if limits.deadline_s is None:
        assert result.usage[Role.DRAFT].speculated == 0
    time.sleep(0.05)
    assert models.draft.backend.positions == passes == result.usage[Role.DRAFT].processed


def test_work_without_a_free_thread_is_done_when_its_result_is_needed(light, monkeypatch):
    """All threads of the pool are busy, as with many solves on servers."""
    busy, freed = ThreadPoolExecutor(1), threading.Event()
    busy.submit(freed.wait)
    for module in (prefetch, background):
        monkeypatch.setattr(module, "POOL", busy)
    try:
        found = solve(models := seen(light, target=lambda: 0.03), n=3, threshold=-99.0)
    finally:
        freed.set()
    wanted = solve(seen(light, 0), n=3, threshold=-99.0)
    assert found.text == wanted.text
    assert found.error is None
    for role, use in found.usage.items():
        assert use.processed == use.minimum == getattr(models, role).backend.positions
