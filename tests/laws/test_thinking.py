"""Thinking: no step spans the close, a forced close changes no ratio, and the thinking is no answer.

The models are tables over eight tokens (`helpers.thinkers`), so every probability is known.
"""

import json
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from helpers import thinkers
from helpers.fitting import make_with
from helpers.thinkers import BOX, BREAK, CLOSE, END, PIECES, STOP, TEXT, THINKING, A, B
from helpers.toy import chi_square, chi_square_bound
from specs import api
from specs.config import Limits, SolveConfig
from specs.core.sampling import log_law
from specs.core.selection import log_ratio
from specs.core.text import readable
from specs.decoding.closing import LONGEST_PERIOD, closed
from specs.decoding.stream import stream
from specs.engines.local.tabular import TabularPolicy
from specs.errors import InputError
from specs.methods.registry import make
from specs.traces.codec import result_from
from specs.traces.replay import ReplayEnd, replay
from specs.traces.schema import result_json
from specs.types import Candidate, End, Finish, Phase, Role, SamplingParams, StepPolicy, Trace

LAW = SamplingParams(1.0, 1.0, StepPolicy(max_tokens=6), StepPolicy(max_tokens=5))
STEPWISE = ("target", "draft", "specs", "gsi", "rsd", "prm-free", "beam", "soft-beam", "one-first", "oracle-route")
ROOMY = Limits(max_steps=60, max_tokens=40, max_thinking_tokens=40)

table = partial(thinkers.table, again=True)


def models(draft=None, target=None, text=TEXT):
    return thinkers.thinkers(text, draft=draft or table(1), target=target or table(2))


def solve(name="target", seed=0, limits=ROOMY, law=LAW, models_=None, **options):
    config = SolveConfig(make_with(name, {"n": 3, **options}), law, limits, seed)
    return stream("q", models_ or models(), config).result


def trace_of(result):
    trace = Trace.start("q", True)
    for record in result.accepted:
        trace = trace.extend(record.step, record.writer)
    return trace


@pytest.mark.parametrize("name", [*STEPWISE, "target+speculation", "specs+speculation"])
def test_no_step_spans_the_close_and_the_answer_follows_it(name):
    finishes = set()
    for seed in range(25):
        result = solve(name, seed)
        assert result.error is None
        for record in result.steps:
            for candidate in record.candidates:
                inner = candidate.sampled_ids[:-1]
                if record.phase is Phase.THINKING:
                    assert CLOSE not in inner
                    assert (candidate.end is End.CLOSE) == (candidate.token_ids[-1] == CLOSE or candidate.forced > 0)
                else:
                    assert candidate.end is not End.CLOSE
        trace = trace_of(result)
        phases = [record.phase for record in result.accepted]
        assert phases == sorted(phases, key=[Phase.THINKING, Phase.ANSWER].index)
        assert phases.count(Phase.THINKING) == (len(phases) if trace.answer_from is None else trace.answer_from)
        assert result.text == readable(trace.text) == result.thinking + result.answer_text
        assert result.thinking == readable(trace.thinking_text)
        assert result.thinking_tokens == sum(len(step.token_ids) for step in trace.steps[: trace.answer_from])
        assert (result.answer is not None) == ("\\boxed" in result.answer_text)
        finishes.add(result.finish_reason)
    assert Finish.ANSWER in finishes


@pytest.mark.parametrize("name", ["target", "draft", "target+speculation"])
def test_tokens_follow_the_model_across_the_close(name):
    """Chi-square of the third token of 3,000 solves against the exact law (false alarms 3e-7).

    Thinking closes early here, so the token is of the thinking or of the answer, and the close lies before or after it.
    """
    look_up = table(1, close=1.5) if name == "draft" else table(2, close=1.5)
    own = models(draft=table(1, close=1.5), target=table(2, close=1.5))
    law = {}
    for first in range(8):
        for second in range(8):
            mass = 0.0 if END in (first, second) else 1.0
            if mass:
                mass = np.exp(log_law(look_up(()))[first] + log_law(look_up((first,)))[second])
            if mass and not _answered((first, second)):
                law[first, second] = mass * np.exp(log_law(look_up((first, second))))
    expected = np.concatenate([[1 - sum(row.sum() for row in law.values())], sum(law.values())])
    counts = np.zeros(1 + len(PIECES))
    for seed in range(3000):
        ids = trace_of(solve(name, seed, models_=own, limits=replace(ROOMY, max_thinking_tokens=4))).token_ids
        counts[1 + ids[2] if len(ids) > 2 else 0] += 1
    statistic, degrees = chi_square(counts, 3000 * expected)
    assert degrees >= 6
    assert statistic < chi_square_bound(degrees)


def _answered(ids):
    """Whether a solve ends after these tokens: with a box after the close."""
    return CLOSE in ids and BOX in ids[ids.index(CLOSE) :]


@pytest.mark.parametrize("name", ["prm-free", "specs", "gsi"])
def test_the_log_ratio_is_0_throughout_if_both_models_are_equal(name):
    """Also of steps with a forced close, whose tail counts for neither model."""
    forced = 0
    for seed in range(15):
        equal = models(draft=table(1, close=-3.0), target=table(1, close=-3.0))
        result = solve(name, seed, replace(ROOMY, max_thinking_tokens=12), models_=equal)
        for record in result.steps:
            for candidate in record.candidates:
                if record.writer is Role.DRAFT and candidate.log_p is not None:
                    assert log_ratio(candidate) == pytest.approx(0, abs=1e-5)
                    forced += candidate.forced > 0
    assert forced


def test_a_forced_tail_has_no_log_probability_and_what_follows_reads_it():
    """Log-probabilities are sums over the sampled tokens; the answer's law is that after the whole closing."""
    found = 0
    for seed in range(20):
        result = solve(
            "prm-free",
            seed,
            replace(ROOMY, max_thinking_tokens=9),
            models_=models(table(1, close=-4.0), table(2, close=-4.0)),
        )
        before = ()
        for record in result.accepted:
            for candidate in record.candidates if record.writer is Role.DRAFT else [record.step]:
                for own, look_up in (("log_p", table(2, close=-4.0)), ("log_q", table(1, close=-4.0))):
                    if getattr(candidate, own) is not None:
                        ids = candidate.sampled_ids
                        terms = [log_law(look_up((*before, *ids[:k])))[token] for k, token in enumerate(ids)]
                        assert getattr(candidate, own) == pytest.approx(sum(terms), abs=1e-4)
                found += candidate.forced > 0
            before += record.step.token_ids
        trace = trace_of(result)
        if trace.answer_from is not None and trace.steps[trace.answer_from - 1].forced:
            assert trace.token_ids[9:13] == THINKING.closing_ids
            assert result.thinking.endswith(THINKING.closing)
            assert result.thinking_tokens == 9 + len(THINKING.closing_ids)
    assert found


def test_the_budget_closes_after_the_same_tokens_whoever_writes():
    """A function of the tokens: no writer, candidate number, seed or method changes where the tail comes."""
    limits = replace(ROOMY, max_thinking_tokens=7)
    for name in STEPWISE:
        for seed in range(10):
            result = solve(name, seed, limits, models_=models(table(1, close=-6.0), table(2, close=-6.0)))
            before = 0
            for record in result.accepted:
                for candidate in record.candidates if record.phase is Phase.THINKING else ():
                    count = before + candidate.length
                    assert count <= 7
                    ended = candidate.end in (End.CLOSE, End.END_OF_TEXT) and not candidate.forced
                    assert (candidate.forced > 0) == (count == 7 and not ended)
                before += len(record.step.token_ids)


def test_loops_close_the_thinking():
    step = Candidate((A, B, BREAK), "ab\n\n", End.DELIMITER)
    trace = Trace.start("q", True).extend(step, Role.DRAFT)
    assert closed(trace, step, THINKING, ROOMY) is step
    assert closed(trace.extend(step, Role.TARGET), step, THINKING, ROOMY).forced == 4
    other = Candidate((B, A, BREAK), "ba\n\n", End.DELIMITER)
    assert closed(trace.extend(other, Role.TARGET), step, THINKING, ROOMY) is step
    roomy = Limits()
    for period in (1, 2, 7, LONGEST_PERIOD, LONGEST_PERIOD + 1):
        ids = tuple(np.random.default_rng(period).integers(0, 3, period).tolist())
        whole = (ids * (200 // period + 1))[: 3 * LONGEST_PERIOD]
        for length in (3 * LONGEST_PERIOD - 1, 3 * LONGEST_PERIOD):
            last = Candidate(whole[:length], "", End.CAP)
            found = closed(Trace.start("q", True), last, THINKING, roomy)
            assert (found.forced > 0) == (length == 3 * LONGEST_PERIOD and period <= LONGEST_PERIOD)
    assert closed(replace(trace, answer_from=1), Candidate(whole, "", End.CAP), THINKING, roomy).forced == 0


def test_what_ended_by_itself_is_not_forced():
    spent = replace(ROOMY, max_thinking_tokens=1)
    for end in (End.END_OF_TEXT, End.CONTEXT, End.CLOSE):
        step = Candidate((A, CLOSE), "a", end)
        assert closed(Trace.start("q", True), step, THINKING, spent) is step
    assert closed(Trace.start("q", False), Candidate((A,), "a", End.CAP), None, spent).forced == 0


def test_thinking_that_is_cut_off_is_no_answer():
    """End-of-text or the last step inside the thinking, a box in it notwithstanding."""
    ends = models(target=table(2, close=-20.0, end=1.0, box=3.0))
    results = [solve("target", seed, models_=ends) for seed in range(20)]
    boxed = [one for one in results if "\\boxed" in one.thinking]
    assert boxed
    for result in results:
        if result.finish_reason is Finish.END_OF_TEXT and not result.answer_text:
            assert result.answer is None
    assert any(one.finish_reason is Finish.END_OF_TEXT and one.answer is None for one in boxed)
    short = solve("target", limits=replace(ROOMY, max_steps=2), models_=models(target=table(2, close=-20.0, end=-20.0)))
    assert (short.finish_reason, short.answer, short.answer_text) == (Finish.MAX_STEPS, None, "")
    result = solve("beam", limits=replace(ROOMY, max_steps=3), models_=ends, width=3)
    assert result.answer is None or "\\boxed" in result.answer_text


def test_a_deadline_forces_nothing():
    class Slow:
        def __call__(self, ids):
            time.sleep(0.01)
            return table(2, close=-20.0, end=-20.0)(ids)

    result = solve(limits=replace(ROOMY, deadline_s=0.08), models_=models(target=Slow()))
    assert result.finish_reason is Finish.DEADLINE
    assert result.answer is None
    assert all(not candidate.forced for record in result.steps for candidate in record.candidates)


def test_the_limits_of_answer_and_thinking_are_apart():
    """40 tokens of thinking do not count for the answer's 3."""
    calm = models(target=table(2, close=-20.0, end=-20.0, box=-20.0))
    result = solve(limits=replace(ROOMY, max_tokens=3), models_=calm)
    assert result.finish_reason is Finish.MAX_TOKENS
    assert result.thinking_tokens == 40 + len(THINKING.closing_ids)
    assert sum(len(r.step.token_ids) for r in result.accepted if r.phase is Phase.ANSWER) == 3
    assert max(len(r.step.token_ids) for r in result.accepted if r.phase is Phase.ANSWER) <= 3


@pytest.mark.parametrize("name", ["specs", "gsi", "prm-free", "rsd"])
def test_the_target_alone_answers(name):
    answers = 0
    for seed in range(10):
        for record in solve(name, seed).steps:
            if record.phase is Phase.ANSWER:
                answers += 1
                assert record.writer is Role.TARGET
                assert len(record.candidates) == 1
                assert record.candidates[0].reward is None
    assert answers


@pytest.mark.parametrize("name", [*STEPWISE, "target+speculation", "specs+speculation"])
def test_nothing_is_computed_twice(name):
    for seed in range(4):
        result = solve(name, seed, replace(ROOMY, max_thinking_tokens=15))
        for role, use in result.usage.items():
            assert use.processed == use.minimum + use.speculated, role


@pytest.mark.parametrize("name", [*STEPWISE, "specs+speculation"])
def test_traces_come_back_and_replay(name):
    for seed in range(3):
        result = solve(name, seed, replace(ROOMY, max_thinking_tokens=15))
        record = json.loads(result.to_json())
        assert result_from(record, "here").to_json() == result.to_json()
        assert record.get("thinking", "") == result.thinking
        assert replay(result).ended is ReplayEnd.COMPLETE


def test_a_solve_without_thinking_records_nothing_of_it():
    result = solve(law=replace(LAW, thinking=None))
    text = str(result_json(result, candidates=True))
    assert not any(word in text for word in ("thinking", "'phase'", "forced", "'think'"))
    assert result.thinking == ""
    assert result.answer_text == result.text


def test_what_cannot_think_is_refused_by_name():
    for name in (
        "best-of-n",
        "soft-best-of-n",
        "majority",
        "weighted-majority",
        "adaptive-majority",
        "cascade",
        "specs-released",
    ):
        with pytest.raises(InputError, match=f"method {name} chooses among whole solutions"):
            solve(name)
    with pytest.raises(InputError, match=r"method majority\+speculation chooses among whole solutions"):
        solve("majority+speculation")
    silent = replace(TEXT, thinking=None)
    with pytest.raises(InputError, match="target p has no way to think"):
        solve(models_=models(text=silent))
    other = replace(THINKING, closing_ids=(STOP, CLOSE, BREAK))
    pair = replace(models(), draft=TabularPolicy("q", replace(TEXT, thinking=other), table(1)))
    with pytest.raises(InputError, match="marks its thinking differently"):
        solve("prm-free", models_=pair)
    with pytest.raises(InputError, match="cannot think; leave out 'think'"):
        api.solve("1 + 1 = ", models(), SolveConfig(make("target"), LAW), chat=api.Chat(template=False))


def test_steps_of_the_thinking_end_by_their_own_policy():
    """Its cap is 5 tokens, that of the answer 6."""
    longest = {Phase.THINKING: 0, Phase.ANSWER: 0}
    calm = models(target=table(2, close=-1.0, end=-20.0, box=-20.0))
    for seed in range(20):
        for record in solve(seed=seed, models_=calm).steps:
            longest[record.phase] = max(longest[record.phase], record.step.length)
    assert longest == {Phase.THINKING: 5, Phase.ANSWER: 6}
