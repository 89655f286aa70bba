"""Verifiers compute their prompts while the first step is written: the solve is the same, and the work ends with it."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from helpers import tiny, toy
from helpers.fitting import make_with
from specs.config import Limits, SolveConfig
from specs.decoding.stream import stream
from specs.engines.protocol import Models
from specs.errors import EngineError
from specs.types import Finish, SamplingParams, StepPolicy

LAW, LIMITS = SamplingParams(1.0, 1.0, StepPolicy(max_tokens=6)), Limits(max_steps=5)
MODELS = toy.models(toy.table(3, end=-3.0), toy.table(4, end=-3.0))


@dataclass
class Background:
    """A model that computes its prompt in a background thread, in `seconds`, before it scores anything.

    Attributes:
        prefilled: the tokens of each trace given to `prefill`; a PRM's prompt has none.
        answers: whether this ever finishes.
    """

    inner: Any
    seconds: float = 0.0
    answers: bool = True
    prefilled: list[Any] = field(default_factory=list)
    futures: list[Future[Any]] = field(default_factory=list)
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(16))

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def open(self, *args):
        return BackgroundSession(self, self.inner.open(*args))

    def work(self):
        self.futures.append(self.pool.submit(time.sleep, self.seconds) if self.answers else Future())
        return self.futures[-1]


class BackgroundSession:
    def __init__(self, model, inner):
        self.model, self.inner = model, inner

    def __getattr__(self, name):
        return getattr(self.inner, name)

    @property
    def overlap(self):
        return self

    def prefetch(self, *args):
        return None

    def prefill(self, trace=None):
        self.model.prefilled.append(() if trace is None else trace.token_ids)
        return self.model.work()

    def score(self, *args):
        for future in self.model.futures:
            future.result()
        return self.inner.score(*args)


def in_background(**options):
    return Models(MODELS.draft, Background(MODELS.target, **options), Background(MODELS.prm, **options))


def solve(models, name="gsi", seed=0, limits=LIMITS, law=LAW, **options):
    return stream("q", models, SolveConfig(make_with(name, options), law, limits, seed=seed)).result


@pytest.mark.parametrize("name", ["specs", "beam", "gsi", "hard-reject"])
def test_the_solve_is_the_same(name):
    for seed in range(6):
        plain, early = solve(MODELS, name, seed), solve(in_background(), name, seed)
        assert early.text == plain.text
        assert [r.decision for r in early.steps] == [r.decision for r in plain.steps]
        assert {role: use.minimum for role, use in early.usage.items()} == {
            role: use.minimum for role, use in plain.usage.items()
        }


def test_prompts_are_computed_while_the_first_step_is_written():
    """The wall time is shorter than both in sequence; the phases hold all of both."""
    draft = MODELS.draft
    slow = type(draft)(draft.name, draft.text, draft.backend.table)
    slow.backend = tiny.SlowBackend(slow.backend, 0.03)
    gained = 0.0
    for seed in range(4):
        models = replace(in_background(seconds=0.06), draft=slow)
        s = solve(models, seed=seed, n=6, threshold=-9.0).steps[0].seconds
        assert max(s.draft, s.target_score, s.prm) <= s.wall - s.orchestration + 1e-9
        assert min(s.target_score, s.prm) >= 0.04  # the clock starts a little after the thread
        gained += s.draft + max(s.target_score, s.prm) - (s.wall - s.orchestration)
    assert gained > 0.1


def test_verifiers_prefill_the_prompt_only_while_another_model_writes():
    for name, start, prefilled in (
        ("gsi", None, [()]),
        ("specs", "draft", [()]),
        ("specs", "target", []),
        ("beam", None, []),
    ):
        models = in_background()
        solve(models, name, start=start)
        assert models.target.prefilled == prefilled
        assert models.prm.prefilled == [()]


class Endless(Background):
    """A model that never ends a step."""

    def open(self, *args):
        session = self.inner.open(*args)
        sample = session.sample

        def sampled(*rest):
            sample(*rest)
            while True:
                args[-1]()
                time.sleep(0.01)

        session.sample = sampled
        return session


def test_background_work_ends_with_the_solve():
    """It never finishes, and the deadline passes while candidates are written: all of it is cancelled."""
    models = in_background(answers=False)
    limits = Limits(max_steps=5, max_tokens=400, deadline_s=0.2)
    result = solve(replace(models, draft=Endless(MODELS.draft)), limits=limits, n=4)
    assert result.finish_reason is Finish.DEADLINE
    futures = models.target.futures + models.prm.futures
    assert len(futures) == 2
    assert all(future.cancelled() for future in futures)


class Broken(Background):
    """A model that cannot score."""

    def open(self, *args):
        session = super().open(*args)

        def score(*rest):
            raise EngineError("the engine is gone")

        session.score = score
        return session


def test_background_work_ends_with_a_solve_that_has_used_another_verifier():
    """The PRM has rewarded the candidates before the target is asked about the drawn one."""
    target = Broken(MODELS.target, answers=False)
    result = solve(Models(MODELS.draft, target, MODELS.prm), "specs", start="draft")
    assert result.error == "the engine is gone"
    assert [future.cancelled() for future in target.futures] == [True]


def test_an_error_in_background_work_ends_the_solve():
    models = in_background()

    def fail():
        raise MemoryError("no room for the prompt")

    def work():
        models.prm.futures.append(models.prm.pool.submit(fail))
        return models.prm.futures[-1]

    models.prm.work = work
    result = solve(models)
    assert result.finish_reason is Finish.ERROR
    assert result.error == "no room for the prompt"
