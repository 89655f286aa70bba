"""The published rule: worked decisions of the authors' code, cases for what these leave out, and a re-statement."""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from helpers import toy
from helpers.rows import check_same_steps
from specs import api
from specs.bundled.problems import generate
from specs.cli.show import Screen
from specs.config import Limits, SolveConfig
from specs.core.keys import Key
from specs.core.sampling import log_law
from specs.decoding.stream import stream
from specs.engines.local.tabular import TabularText
from specs.methods.gsi import Gsi
from specs.methods.specs_released import SpecsReleased
from specs.methods.speculative import Step
from specs.traces.codec import result_from
from specs.traces.replay import ReplayEnd, replay
from specs.traces.schema import json_text, result_json
from specs.types import (
    Accept,
    Branch,
    Candidate,
    End,
    Finish,
    Proposal,
    Propose,
    Role,
    SamplingParams,
    SelectTrace,
    StepPolicy,
    Trace,
)

CASES = Path(__file__).parents[3] / "shared/data/released_rule_cases.json"
EXACT = {"ratio": "sum", "ratio_law": "sampling", "end_ratio": "exact"}


@dataclass
class Draws:
    """Takes the place of a key; its numbers are those that are given."""

    uniforms: list[float]
    draws = 2
    """By inversion, as the published code draws."""

    def fold(self, *_, **__):
        return self

    def uniform(self):
        return self.uniforms.pop(0) if self.uniforms else 0.5


@dataclass
class Ran:
    """What a policy did on given candidates."""

    finish: Finish
    answer: Trace | None
    requests: list[Propose] = field(default_factory=list)
    decisions: list = field(default_factory=list)

    @property
    def writers(self):
        return [str(request.writer) for request in self.requests]


def run(policy, rounds, uniforms=(), temperature=1.0, limits=None):
    """Solve a question whose candidates, round by round, are given."""
    flow = policy.solve("q", SamplingParams(temperature, 1.0), Draws(list(uniforms)))
    rounds, ran, reply = list(rounds), Ran(None, None), None
    while True:
        try:
            request = flow.send(reply)
        except StopIteration as stop:
            ran.finish = stop.value
            return ran
        match request:
            case Propose():
                ran.requests.append(request)
                candidates = rounds.pop(0)
                reply = Proposal(tuple(candidates))
            case Accept():
                ran.decisions.append(request.decision)
                reply = None
            case Branch():
                ran.decisions.append(request.decision)
                reply = tuple(_finish(candidates[idx], ran.requests[-1].trace, limits) for idx in request.kept)
            case SelectTrace():
                ran.answer, reply = request.trace, None


def _finish(candidate, trace, limits):
    if candidate.end is End.END_OF_TEXT:
        return Finish.END_OF_TEXT
    return Finish.MAX_STEPS if limits is not None and len(trace.steps) + 1 >= limits else None


def step(text, reward, log_p=-1.0, log_q=-1.0, end=None, tokens=1):
    """A candidate; `log_p` and `log_q` are those of each of its tokens."""
    end = end or (End.DELIMITER if text.endswith("\n\n") else End.END_OF_TEXT)
    ids = tuple(range(tokens))
    return Candidate(ids, text, end, log_p * tokens, log_q * tokens, reward, log_p_by_token=(log_p,) * tokens)


# Worked decisions of the published function --------------------------------------------------


def candidates_of(step, prefix_log_p):
    """The candidates of a recorded round, and the log p of the token before them."""
    made = []
    for one in step["candidates"]:
        q, echo = one["draft_token_logprobs"], one["target_echo_logprobs"]
        own, end = tuple(echo[-len(q) :]), End.DELIMITER
        if one["complete"]:  # the echo of a text without end-of-text begins one token early
            end = End.END_OF_TEXT if len(echo) > len(q) else End.CAP
            if end is End.END_OF_TEXT:
                prefix_log_p.append(own[0])
                own = (*own[1:], -99.0)
        made.append(
            Candidate(
                tuple(range(len(q))), one["text"], end, sum(own), sum(q), one["reward"], log_p_by_token=own,
            )
        )  # fmt: skip
    return made


RECORDED = json.loads(CASES.read_text())["cases"] if CASES.is_file() else []


@pytest.mark.skipif(not RECORDED, reason="the worked cases are not beside this checkout")
@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case["name"])
def test_the_published_function_decides_so(case):
    settings, expect = case["settings"], case["expect"]
    prefix: list[float] = []
    rounds = [candidates_of(step, prefix) for step in case["steps"]]
    if prefix:
        (log_p,) = set(prefix)
        rounds[0] = [
            Candidate(c.token_ids, c.text, c.end, c.log_p, c.log_q, c.reward, log_p_by_token=(log_p,))
            for c in rounds[0]
        ]
    policy = SpecsReleased(
        settings["n"],
        settings["beta"],
        settings["rejection_threshold"],
        settings["switch_back_threshold"],
        rounds=settings.get("num_iterations", 30),
        answer="best" if settings["sort_completed"] else "first-n",
    )
    uniforms = [
        (sum(odds[:draw]) + odds[draw] / 2) / sum(odds)
        for odds, draw in zip(expect["probabilities_of_draws"], case["draws"], strict=True)
    ]
    ran = run(policy, rounds, spread(policy, case, uniforms), settings["temperature"])
    assert ran.writers == expect["writers"]
    assert ran.answer.text == expect["pred"]
    # They note every step that the target writes, and of the draft's those that are kept.
    kept = [decision.chosen is not None for decision in ran.decisions]
    noted = [int(writer == "draft") for writer, one in zip(ran.writers, kept, strict=True) if one or writer == "target"]
    assert noted == expect["from_draft"]
    drafted = [decision for decision, writer in zip(ran.decisions, ran.writers, strict=True) if writer == "draft"]
    odds = [found for decision in drafted if (found := [p for p in decision.probabilities if p > 0])]
    assert [pytest.approx(wanted, abs=1e-6) for wanted in expect["probabilities_of_draws"]] == odds
    if "top_score" in expect:
        assert max(ran.decisions[-1].scores) == pytest.approx(expect["top_score"], abs=1e-4)
    if "stops" in expect:
        stops = [request.sampling.steps.delimiter for request in ran.requests]
        assert stops == [stop and stop[0] for stop in expect["stops"]]


def spread(policy, case, uniforms):
    """A number for each draft round: only those in which a candidate passes draw with it."""
    uniforms, found = list(uniforms), []
    for one in case["steps"]:
        if one["writer"] == "draft":
            left = [c for c in one["candidates"] if not c["complete"]]
            found.append(uniforms.pop(0) if left and uniforms else 0.5)
    return found


# What these cases leave out ------------------------------------------------------------------


def test_a_finished_target_candidate_stands_aside_and_the_best_of_the_others_goes_on():
    """A mixed target round: the finished one has the highest reward of all, and is the answer in the end."""
    rounds = [
        [step("done", 0.95), step("a\n\n", 0.8), step("b\n\n", 0.75)],
        [step("x", 0.05), step("y", 0.01), step("z", 0.02)],
    ]
    ran = run(SpecsReleased(3), rounds)
    assert ran.writers == ["target", "draft"]
    assert ran.requests[1].trace.text == "a\n\n"
    assert ran.answer.text == "done"


def test_the_target_goes_on_after_a_rewrite_with_a_low_reward():
    low = [step("c\n\n", 0.6), step("d\n\n", 0.5)]
    rounds = [[step("a\n\n", 0.9), step("b\n\n", 0.1)], low, low, [step("e", 0.3), step("f", 0.2)]]
    ran = run(SpecsReleased(2), rounds)
    assert ran.writers == ["target", "draft", "target", "target"]
    assert [request.attempt for request in ran.requests] == [0, 0, 1, 0]
    assert ran.answer.text == "a\n\nc\n\ne"


@pytest.mark.parametrize(("choice", "text"), [("last", "b\n\n"), ("first", "a\n\n")])
def test_of_equal_target_steps_the_last_goes_on(choice, text):
    rounds = [[step("a\n\n", 0.9), step("b\n\n", 0.9), step("c\n\n", 0.2)], [step("x", 0.1)] * 3]
    assert run(SpecsReleased(3, target_choice=choice), rounds).requests[1].trace.text == text


def test_of_equal_scores_in_the_pool_the_first_is_the_answer():
    rounds = [[step("a\n\n", 0.9), step("first", 0.6)], [step("second", 0.06), step("third", 0.06)]]
    assert run(SpecsReleased(2), rounds).answer.text == "first"  # 10 * 0.06 beside 0.6


def test_without_a_finished_candidate_there_is_no_solution():
    """The solve has room for two steps; nothing is finished by then."""
    rounds = [[step("a\n\n", 0.9), step("b\n\n", 0.1)], [step("c\n\n", 0.9), step("d\n\n", 0.8)]]
    ran = run(SpecsReleased(2), rounds, limits=2)
    assert (ran.answer, ran.finish) == (Trace("q"), Finish.MAX_STEPS)


def test_the_length_cap_finishes_and_so_does_an_empty_text():
    rounds = [[step("long", 0.2, end=End.CAP), step("", 0.3), step("full", 0.1, end=End.CONTEXT)]]
    ran = run(SpecsReleased(3), rounds)
    assert ran.writers == ["target"]
    assert (ran.answer.text, ran.answer.steps[-1].text) == ("", "")
    assert run(SpecsReleased(3), [rounds[0][:1] * 3]).finish is Finish.MAX_TOKENS


def test_of_equal_texts_in_a_target_round_the_first_takes_part():
    """With its own reward, though a copy has a higher one; in their code the PRM reads each copy."""
    rounds = [[step("a\n\n", 0.5), step("b\n\n", 0.6), step("a\n\n", 0.9)], [step("x", 0.1)] * 3]
    assert run(SpecsReleased(3), rounds).requests[1].trace.text == "b\n\n"
    assert run(SpecsReleased(3, duplicates="all"), rounds).requests[1].trace.text == "a\n\n"


def test_tokens_that_the_target_lacks_are_left_out_of_the_mean():
    lacking = Candidate((0, 1), "a\n\n", End.DELIMITER, -math.inf, -2.0, 0.8, log_p_by_token=(-1.5, -math.inf))
    ran = run(SpecsReleased(1), [[step("t\n\n", 0.9)], [lacking], [step("x", 0.1)]])
    assert ran.decisions[1].scores == pytest.approx((8.0 - 0.5,))
    assert ran.writers == ["target", "draft", "draft"]


def test_the_target_scores_at_temperature_1_and_the_draft_as_it_sampled():
    """Against both models' own rows: the switch, and that log q stays under the law of sampling."""
    models = toy.models(toy.table(1, end=-3.0), toy.table(2, end=-3.0))
    law = SamplingParams(0.5, 0.9, StepPolicy(max_tokens=4))
    for ratio_law, scored in (("temperature-1", SamplingParams()), ("sampling", law)):
        policy = SpecsReleased(4, threshold=-100.0, start="draft", ratio_law=ratio_law)
        result = stream("q", models, SolveConfig(policy, law, Limits(max_steps=3), seed=3)).result
        checked = 0
        for record in result.steps:
            if record.writer is Role.DRAFT and record.candidates[0].text != "":
                before = () if record.step_idx == 0 else _prefix(result, record)
                for candidate in record.candidates:
                    assert candidate.log_p_by_token == pytest.approx(_terms(2, before, candidate, scored), abs=1e-6)
                    assert candidate.log_q == pytest.approx(sum(_terms(1, before, candidate, law)), abs=1e-6)
                    checked += 1
        assert checked >= 4


def test_with_filters_the_target_scores_without_them_under_the_law_of_sampling_too():
    """Token by token, also those of the target's own steps, whose last one the shifted ratio reads."""
    models = toy.models(toy.table(1, end=-3.0), toy.table(2, end=-3.0))
    law = SamplingParams(0.5, 0.9, StepPolicy(max_tokens=4), top_k=2)
    for ratio_law, scored in (("temperature-1", SamplingParams()), ("sampling", SamplingParams(0.5))):
        policy = SpecsReleased(4, threshold=-100.0, switch_back=0.0, ratio_law=ratio_law)
        result = stream("q", models, SolveConfig(policy, law, Limits(max_steps=3), seed=3)).result
        writers = set()
        for record in result.steps:
            before = () if record.step_idx == 0 else _prefix(result, record)
            for candidate in record.candidates:
                assert candidate.log_p_by_token == pytest.approx(_terms(2, before, candidate, scored), abs=1e-6)
                writers.add(record.writer)
        assert writers == {Role.DRAFT, Role.TARGET}


def _prefix(result, record):
    """Tokens before a record: of each earlier step, what the last round at this step continues with."""
    last = {one.step_idx: one for one in result.steps if one.step_idx < record.step_idx}
    return tuple(token for _, one in sorted(last.items()) for token in one.candidates[one.kept[-1]].token_ids)


def _terms(seed, before, candidate, law):
    table = toy.table(seed, end=-3.0)
    return tuple(
        float(log_law(table((*before, *candidate.token_ids[:idx])), law)[token])
        for idx, token in enumerate(candidate.token_ids)
    )


# Whole solves --------------------------------------------------------------------------------


def test_with_all_switches_the_other_way_it_is_gsi():
    """Token by token and score by score, on models whose steps are kept and rewritten."""
    models = toy.models(toy.table(1, end=-4.0), toy.table(2, end=-4.0))
    law, limits = SamplingParams(0.9, 1.0, StepPolicy(max_tokens=4)), Limits(max_steps=6, max_tokens=60)
    policy = SpecsReleased(
        4, 3.0, math.nextafter(1.5, 0), -math.inf, start="draft", **EXACT, filter="after", softmax_temperature=1.0,
        target_choice="soft", duplicates="all", answer="trace", last_round="step",
    )  # fmt: skip
    rewritten = 0
    for seed in range(30):
        found, wanted = (
            stream("q", models, SolveConfig(one, law, limits, seed=seed)).result for one in (policy, Gsi(4, 3.0, 0.5))
        )
        check_same_steps(found, wanted)
        assert [record.decision for record in found.steps] == [record.decision for record in wanted.steps]
        assert found.finish_reason is wanted.finish_reason
        rewritten += sum(not record.accepted for record in wanted.steps)
    assert rewritten > 10


def restated(policy, writer, candidates, shift, temperature, noise):
    """The rule in other words: (index of what goes on or None, {index: score in the pool}, whether any is left)."""
    pool, left, seen = {}, [], []
    for k, c in enumerate(candidates):
        if writer == "target":
            s = c.reward
        else:
            terms = list(c.log_p_by_token)
            if c.end == "end_of_text":
                terms = ([] if shift is None else [shift]) + terms[:-1]
            s = policy.beta * c.reward + sum(terms) / len(terms) - c.log_q / len(c.token_ids) if terms else -math.inf
        if c.end != "delimiter" or c.text == "":
            pool[k] = s
        elif c.text not in seen:
            seen.append(c.text)
            left.append((k, s))
    if writer == "target":
        top = max((s for _, s in left), default=None)
        return next((k for k, s in reversed(left) if s == top), None), pool, bool(left)
    passing = [(k, s) for k, s in left if s > policy.threshold]
    ahead = max(passing, key=lambda one: one[1] / temperature + noise[one[0]], default=(None, 0.0))
    return ahead[0], pool, bool(left)


def check_against_restatement(result, policy, temperature):
    """Every decision of a solve and its answer, from the recorded candidates alone."""
    key = Key.for_method(result.seed, result.prompt_token_ids)
    pool, trace, draft_next, attempt = [], Trace(result.question), policy.start == "draft", 0
    for place, record in enumerate(result.steps):
        writer = "draft" if draft_next and not attempt else "target"
        assert str(record.writer) == writer
        shift = trace.steps[-1].log_p_by_token[-1] if trace.steps else None
        noise = key.fold("select", trace.token_ids, attempt=attempt).gumbels(len(record.candidates))
        chosen, finished, left = restated(policy, writer, record.candidates, shift, temperature, noise)
        pool += [(score, trace.extend(record.candidates[k], record.writer)) for k, score in finished.items()]
        kept = (*finished, *([] if chosen is None else [chosen]))
        assert (record.kept or ()) == kept, place
        if chosen is None:
            attempt = 1
            if not left:
                assert place == len(result.steps) - 1
            continue
        trace, attempt = trace.extend(record.candidates[chosen], record.writer), 0
        draft_next = writer == "draft" or record.candidates[chosen].reward > policy.switch_back
    best = max(score for score, _ in pool)
    answer = next(trace for score, trace in pool if score == best)
    assert result.text == answer.text
    return len(result.steps)


def test_recorded_steps_are_decided_as_the_rule_says_in_other_words():
    """At least 300 steps: of exact models, of which many finish, and of the bundled ones."""
    models = toy.models(toy.table(1, end=-2.0), toy.table(2, end=-2.0))
    law, decided = SamplingParams(0.7, 1.0, StepPolicy(max_tokens=5)), 0
    for seed in range(60):
        policy = SpecsReleased(4, beta=4.0, threshold=(1.0, 2.0, 3.0)[seed % 3], switch_back=0.5, rounds=8)
        result = stream("q", models, SolveConfig(policy, law, Limits(max_steps=9), seed=seed)).result
        decided += check_against_restatement(result, policy, law.temperature)
    assert decided >= 240
    loaded, policy = api.load(), SpecsReleased(4, threshold=6.0)
    for seed in range(12):
        config = SolveConfig(policy, SamplingParams(0.7, 1.0, StepPolicy(max_tokens=64)), Limits(), seed=seed)
        result = stream(generate("medium", seed).question, loaded, config).result
        decided += check_against_restatement(result, policy, 0.7)
    assert decided >= 300


def test_a_trace_outlasts_a_file_and_is_replayed():
    models = toy.models(toy.table(1, end=-2.0), toy.table(2, end=-2.0))
    law = SamplingParams(0.7, 1.0, StepPolicy(max_tokens=5))
    for seed in range(10):
        policy = SpecsReleased(4, beta=4.0, threshold=2.0, switch_back=0.5, rounds=8)
        result = stream("q", models, SolveConfig(policy, law, Limits(max_steps=9), seed=seed)).result
        again = result_from(json.loads(json_text(result_json(result, candidates=True))), "a trace")
        assert again.steps == result.steps
        assert replay(again).ended is ReplayEnd.COMPLETE
        assert replay(again, ratio_law="sampling").ended is ReplayEnd.NO_LOG_P


LAW = SamplingParams(0.7, 1.0, StepPolicy(max_tokens=5))
FEW = toy.models(toy.table(1, end=-2.0), toy.table(2, end=-2.0))


def solved(seed, models=FEW, limits=Limits(max_steps=9), **options):  # noqa: B008
    policy = SpecsReleased(**{"n": 4, "beta": 4.0, "threshold": 2.0, "switch_back": 0.5, "rounds": 8, **options})
    return stream("q", models, SolveConfig(policy, LAW, limits, seed=seed)).result


FAST = [{"rounds": 2}, {"ratio_law": "sampling"}, {"ratio": "sum"}, {"answer": "first-n"}]
CHANGES = [
    {"last_round": "step"},
    {"ratio": "sum", "ratio_law": "sampling"},
    {"end_ratio": "exact"},
    {"beta": 1.0},
    {"switch_back": 0.9},
    {"duplicates": "all"},
    {"target_choice": "first"},
]


@pytest.mark.parametrize(
    "change", [*FAST, *(pytest.param(change, marks=pytest.mark.slow) for change in CHANGES)], ids=str
)
def test_a_complete_replay_is_the_solve_with_these_options(change):
    """Other delimiters, another law, and another answer from the pool: what the record lacks ends the replay."""
    outcomes = set()
    for seed in range(30):
        found = replay(solved(seed), **change)
        outcomes.add(found.ended)
        if found.ended is ReplayEnd.COMPLETE:
            other = solved(seed, **change)
            assert [(r.writer, r.kept) for r in other.steps] == [(r.writer, r.kept) for r in solved(seed).steps]
            assert (other.text, other.finish_reason) == (solved(seed).text, solved(seed).finish_reason)
    assert outcomes != {ReplayEnd.COMPLETE}


def boxed_models():
    """Models that often write a box and go on, and seldom end their text."""
    text = TabularText(["a", "b", "\\boxed{1}", "\n\n", ""], end_id=4)

    def table(seed):
        usual = toy.table(seed, end=-9.0)
        return lambda ids: np.add(usual(ids), [0.0, 0.0, 1.0, 2.0, 0.0])

    return toy.models(table(1), table(2), text=text)


def test_a_step_with_an_answer_goes_on_within_the_limits_of_the_solve():
    """Only finished candidates are answers; the limits hold all the same, and then the pool has the answer."""
    options = {"n": 2, "threshold": -100.0, "switch_back": 0.3, "rounds": 30}
    went_on = 0
    for seed in range(20):
        for limits in (Limits(max_steps=4), Limits(max_steps=30, max_tokens=20)):
            result = solved(seed, boxed_models(), limits, **options)
            assert result.error is None
            assert max(record.step_idx for record in result.steps) < limits.max_steps
            assert sum(len(r.candidates[r.kept[-1]].token_ids) for r in result.steps if r.kept) <= 4 * limits.max_tokens
            went_on += any("boxed" in c.text for record in result.steps[:-1] for c in record.candidates)
    assert went_on > 10


def test_a_cancelled_solve_answers_from_the_pool():
    checked = 0
    for seed in range(30):
        running = stream("q", FEW, SolveConfig(SpecsReleased(4, 4.0, 2.0, 0.5, rounds=8), LAW, Limits(), seed=seed))
        seen = []
        for record in running:
            seen.append(record)
            if len(seen) == 2:
                running.cancel()
        if running.result.finish_reason is not Finish.CANCELLED:
            continue
        pool = [
            (record.decision.scores[idx], record.candidates[idx])
            for record in seen
            for idx in record.kept or ()
            if record.candidates[idx].end is not End.DELIMITER
        ]
        if pool:
            checked += 1
            best = max(score for score, _ in pool)
            assert running.result.accepted[-1].step in [c for score, c in pool if score == best]
    assert checked > 5


def test_a_round_without_a_step_is_handed_out_as_such():
    """Not accepted, though some of its candidates are set aside; the final record tells which one is the answer."""
    found = 0
    for seed in range(20):
        running = stream("q", FEW, SolveConfig(SpecsReleased(4, 4.0, 2.0, 0.5, rounds=8), LAW, Limits(), seed=seed))
        handed = list(running)
        for record, final in zip(handed, running.result.steps, strict=True):
            assert record.accepted == (record.decision.chosen is not None)
            found += final.accepted and not record.accepted
        assert "".join(record.step.text for record in running.result.accepted) == running.result.text
    assert found > 5


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"filter": "after", "ratio": "sum", "ratio_law": "sampling", "end_ratio": "exact"},
        pytest.param({"ratio": "sum", "threshold": 0.5}, marks=pytest.mark.slow),
        pytest.param({"answer": "trace", "target_choice": "soft"}, marks=pytest.mark.slow),
        {"start": "draft", "end_ratio": "exact", "duplicates": "all"},
        pytest.param(
            {"ratio_law": "sampling", "softmax_temperature": 2.0, "answer": "first-n"}, marks=pytest.mark.slow
        ),
    ],
    ids=str,
)
def test_every_decision_is_the_same_if_the_target_reads_only_what_it_must(options):
    """The published filter, before or after the draw, and the pool; the answers too. Finished candidates are read."""
    sharp = toy.models(toy.table(1, 2.0, end=-1.0), toy.table(2, 2.0, end=-1.0))
    read, unread, rejected, sides = {"all": 0, "drawn": 0}, 0, 0, ("chosen", "accepted", "kept", "writer")
    for models in (FEW, sharp):
        for seed in range(20):
            whole, lazy = (solved(seed, models, verify=verify, **options) for verify in read)
            assert (whole.text, whole.finish_reason) == (lazy.text, lazy.finish_reason)
            for one, other in zip(whole.steps, lazy.steps, strict=True):
                assert [getattr(one, side, one.decision.chosen) for side in sides] == [
                    getattr(other, side, other.decision.chosen) for side in sides
                ]
                unread += any(c.log_p is None for c in other.candidates)
                rejected += other.writer is Role.DRAFT and other.decision.chosen is None
            for verify, result in (("all", whole), ("drawn", lazy)):
                use = result.usage[Role.TARGET]
                assert use.processed == use.minimum + use.speculated
                read[verify] += use.processed
            assert replay(lazy).ended is replay(whole, verify="drawn").ended is ReplayEnd.COMPLETE
    assert unread > 20
    assert rejected > 5
    assert read["drawn"] < read["all"]


def test_a_step_that_the_target_cannot_read_never_passes():
    """Also behind end-of-text, where the token before the step takes part in the mean."""
    before = Candidate((1,), "t\n\n", End.DELIMITER, reward=0.9, log_p_by_token=(-0.5,))
    unread = Candidate((7, 8), "x", End.END_OF_TEXT, -math.inf, -1.0, 0.99, log_p_by_token=(-math.inf,))
    step = Step(Trace("q").extend(before, Role.TARGET), Role.DRAFT, LAW, Key.from_seed(0))
    assert SpecsReleased(1).score(step, unread) == -math.inf
    outside = Candidate((1, 2), "x\n\n", End.DELIMITER, -math.inf, -1.0, 0.99, log_p_by_token=(-0.1, -math.inf))
    assert SpecsReleased(1, ratio_law="sampling").score(step, outside) == -math.inf
    assert SpecsReleased(1).score(step, outside) == pytest.approx(9.9 - 0.1 + 0.5)


def test_the_screen_says_what_was_set_aside_and_shows_the_answer_whole():
    shown = 0
    for seed in range(10):
        out = io.StringIO()
        screen = Screen(out, candidates=False)
        running = stream("q", FEW, SolveConfig(SpecsReleased(4, 4.0, 2.0, 0.5, rounds=8), LAW, Limits(), seed=seed))
        handed = list(running)
        for record in handed:
            screen.step(record)
        screen.result(running.result)
        for record, line in zip(handed, out.getvalue().splitlines(), strict=False):
            if record.decision.chosen is None and record.kept:
                assert line.endswith(f"({len(record.kept)} finished, set aside)")
                shown += 1
        assert f"trace    {' '.join(running.result.text.split())}\n" in out.getvalue()
    assert shown > 3
