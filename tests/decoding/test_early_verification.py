"""Verification that begins while candidates are written: the solve is the same, each candidate is verified once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from helpers import tiny, toy
from helpers.fitting import make_with
from specs.config import Limits, SolveConfig
from specs.decoding.stream import stream
from specs.engines.protocol import Models
from specs.types import Finish, SamplingParams, StepPolicy

LAW, LIMITS = SamplingParams(1.0, 1.0, StepPolicy(max_tokens=6)), Limits(max_steps=5)
MODELS = toy.models(toy.table(3, end=-3.0), toy.table(4, end=-3.0))


@dataclass
class Background:
    """A model that verifies in background threads, at `seconds` a candidate.

    Attributes:
        submitted: trace and candidate of each call of `submit`, in order.
        prefilled: the tokens of each trace given to `prefill`; a PRM's prompt has none.
        answers: whether submitted work ever finishes.
    """

    inner: Any
    seconds: float = 0.0
    answers: bool = True
    submitted: list[Any] = field(default_factory=list)
    prefilled: list[Any] = field(default_factory=list)
    futures: list[Future[Any]] = field(default_factory=list)
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(16))

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def open(self, *args):
        return BackgroundSession(self, self.inner.open(*args))

    def work(self, compute):
        def one():
            time.sleep(self.seconds)
            return compute()

        self.futures.append(self.pool.submit(one) if self.answers else Future())
        return self.futures[-1]


class BackgroundSession:
    def __init__(self, model, inner):
        self.model, self.inner, self.lock, self.early = model, inner, threading.Lock(), {}

    def __getattr__(self, name):
        return getattr(self.inner, name)

    @property
    def overlap(self):
        return self

    def prefetch(self, *args):
        return None

    def prefill(self, trace=None):
        self.model.prefilled.append(() if trace is None else trace.token_ids)
        return self.model.work(lambda: None)

    def submit(self, trace, candidate, *args):
        key = (trace.token_ids, candidate.token_ids)
        self.model.submitted.append(key)
        if key in self.early:  # traces side by side may be equal
            return None

        def compute():
            with self.lock:
                return self.inner.score([(trace, [candidate])], args[0])[0]

        self.early[key] = self.model.work(compute)
        return self.early[key]

    def score(self, groups, *args):
        found = [self.early[t.token_ids, c.token_ids].result() for t, candidates in groups for c in candidates]
        self.early.clear()
        return found


def in_background(**options):
    return Models(MODELS.draft, Background(MODELS.target, **options), Background(MODELS.prm, **options))


def solve(models, name="gsi", seed=0, limits=LIMITS, law=LAW, **options):
    options = {"verify": "all", **options} if name == "specs" else options
    return stream("q", models, SolveConfig(make_with(name, options), law, limits, seed=seed)).result


@pytest.mark.parametrize(
    "name",
    [
        "specs",
        "beam",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("gsi", "dvts", "best-of-n", "hard-reject", "oracle-route")
        ),
    ],
)
def test_the_solve_is_the_same_and_each_distinct_candidate_is_verified_once(name):
    for seed in range(6):
        plain, models = solve(MODELS, name, seed), in_background()
        early = solve(models, name, seed)
        assert early.text == plain.text
        assert [r.decision for r in early.steps] == [r.decision for r in plain.steps]
        assert {role: use.minimum for role, use in early.usage.items()} == {
            role: use.minimum for role, use in plain.usage.items()
        }
        for model, field_name in ((models.target, "log_p"), (models.prm, "reward")):
            scored = Counter(
                c.token_ids
                for r in early.steps
                for c in r.candidates
                if c.duplicates_of is None and getattr(c, field_name) is not None
                and not (field_name == "log_p" and c.log_q is None)
            )  # fmt: skip
            assert Counter(ids for _, ids in model.submitted) == scored


def test_finished_candidates_are_verified_while_others_are_written():
    """The wall time is shorter than sampling and verification in sequence; the phases hold all of both."""

    draft = MODELS.draft
    slow = type(draft)(draft.name, draft.text, draft.backend.table)
    slow.backend = tiny.SlowBackend(slow.backend, 0.03)
    gained = 0.0
    for seed in range(4):
        models = replace(in_background(seconds=0.06), draft=slow)
        result = solve(models, seed=seed, n=6, threshold=-9.0)
        for record in result.steps:
            s = record.seconds
            assert max(s.draft, s.target_score, s.prm) <= s.wall - s.orchestration + 1e-9
            assert min(s.target_score, s.prm) >= 0.06
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


def test_background_work_ends_with_the_solve():
    """Verification never finishes, and the deadline passes while candidates are written: all of it is cancelled."""
    models = in_background(answers=False)
    law, limits = (
        SamplingParams(1.0, 1.0, StepPolicy(max_tokens=200)),
        Limits(max_steps=5, max_tokens=400, deadline_s=0.2),
    )

    class Endless(Background):
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

    result = solve(replace(models, draft=Endless(MODELS.draft)), law=law, limits=limits, n=4)
    assert result.finish_reason is Finish.DEADLINE
    futures = models.target.futures + models.prm.futures
    assert len(futures) > 2
    assert all(future.cancelled() for future in futures)


def test_an_error_in_background_verification_ends_the_solve():
    models = in_background()

    def fail():
        raise MemoryError("no room to score")

    models.prm.work = lambda compute: models.prm.pool.submit(fail)
    result = solve(models)
    assert result.finish_reason is Finish.ERROR
    assert result.error == "no room to score"
