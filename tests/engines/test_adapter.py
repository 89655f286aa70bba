"""Python classes as models: the same decisions as on an engine, and errors that name the class and the method."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

import specs
from helpers import toy
from helpers.toy_solves import LAW, LIMITS
from specs.config import SolveConfig
from specs.core.keys import Key
from specs.decoding.stream import stream
from specs.engines.adapter.sessions import SEEDS
from specs.engines.adapter.steps import contents, sample_of
from specs.engines.protocol import Models, never_stop
from specs.engines.vllm.reward import RemoteReward
from specs.errors import EngineError, InputError
from specs.methods import needs_of
from specs.methods.registry import NAMES, SPECULATING, make
from specs.traces.codec import result_from
from specs.traces.replay import replay
from specs.types import Candidate, Capability, Chat, End, Finish, Propose, Role, StepPolicy, Trace, Turn

NATIVE = toy.models(toy.table(1, end=-3.0), toy.table(2, end=-3.0))
NEED_NO_SCORES = [name for name in NAMES if not needs_of(make(name))]
NEED_STEP_SCORES = [name for name in NAMES if needs_of(make(name)) == {Capability.LOG_PROBABILITIES}]
FIXED = ("beam", "beam-draft", "one-first", "dvts", "best-of-n", "majority", "weighted-majority", "adaptive-majority",
         "cascade", "rsd", "oracle-route", "target", "draft")  # fmt: skip
"""Methods without draws of their own."""


@dataclass
class Writer:
    """A tabular model as a class; `key` makes the key of a call from its arguments."""

    model: object
    key: object = None
    seeds: list[int] = field(default_factory=list)

    def opened(self, solution):
        session = self.model.open(self.model.prompt("q"), frozenset({self.model.fingerprint}), never_stop)
        ids = tuple(self.model.text.encode(solution))
        trace = Trace("q").extend(Candidate(ids, solution, End.DELIMITER), Role.TARGET) if solution else Trace("q")
        return session, trace

    def sample(self, question, solution, n, sampling, seed):
        self.seeds.append(seed)
        session, trace = self.opened(solution)
        key = text_key(self.model.name, solution, n) if self.key is None else self.key(seed)
        return [specs.StepText(s.text, str(s.end)) for s in session.sample([trace], n, sampling, [key])]


class Scorer(Writer):
    def score(self, question, solution, steps, sampling):
        session, trace = self.opened(solution)
        end = [self.model.text.end_id]
        each = [self.model.text.encode(one.text) + end * (one.end == "end_of_text") for one in steps]
        group = [Candidate(tuple(ids), one.text, End.CAP) for ids, one in zip(each, steps, strict=True)]
        return [sum(by_token) for by_token in session.score([(trace, group)], sampling)]


class Rewards:
    def rewards(self, question, solutions):
        return [float(np.float32(toy.reward(tuple(steps)))) for steps in solutions]


def text_key(name, solution, n):
    """A key for draws that depends on text only, so that two engines with different ids draw the same."""
    return Key.from_seed(n).fold(name, list(solution.encode()))


def keyed(model):
    """A tabular model whose draws are keyed by text."""

    class Keyed(type(model)):
        def open(self, *args):
            session = super().open(*args)
            plain = session.sample

            def sample(traces, n, sampling, keys, *more):
                return plain(traces, n, sampling, [text_key(self.name, trace.text, n) for trace in traces], *more)

            session.sample = sample
            return session

    return Keyed(model.name, model.text, model.backend.table)


def solve(models, method, seed=0, **options):
    config = SolveConfig(make(method, **options), LAW, LIMITS, seed=seed)
    return stream("q", models, config).result


def as_classes(kind, key=None):
    draft, target = (kind(model, key) for model in (NATIVE.draft, NATIVE.target))
    return specs.adapt(draft, target, Rewards())


def decided(result):
    """What a method decided: the candidates' texts, ends and rewards, and which one was chosen."""
    return [
        (
            record.writer,
            [(c.text, c.end, c.duplicates_of, c.reward) for c in record.candidates],
            record.decision.chosen,
            record.accepted,
            record.kept,
        )
        for record in result.steps
    ]


@pytest.mark.parametrize("method", [*FIXED, "specs"])
def test_a_class_leads_to_the_same_decisions_as_the_engine_that_it_wraps(method):
    options = {"select": "best", "tau": 0.9} if method == "specs" else {}
    kind = Scorer if method == "specs" else Writer
    native = Models(keyed(NATIVE.draft), keyed(NATIVE.target), NATIVE.prm)
    for seed in range(3):
        ours, theirs = solve(as_classes(kind), method, seed, **options), solve(native, method, seed, **options)
        assert ours.error is theirs.error is None
        assert decided(ours) == decided(theirs)
        assert (ours.text, ours.answer, ours.finish_reason) == (theirs.text, theirs.answer, theirs.finish_reason)
        for one, other in zip(ours.steps, theirs.steps, strict=True):
            draft_scores = [(c.log_p, c.log_q) for c in other.candidates if other.writer is Role.DRAFT]
            found = [(c.log_p, c.log_q) for c in one.candidates if one.writer is Role.DRAFT]
            if method == "specs":
                known = [(a, b) for a, b in zip(found, draft_scores, strict=True) if None not in (*a, *b)]
                assert len(known) >= len(found) / 8
                assert all(a == pytest.approx(b, abs=1e-4) for a, b in known)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["specs", "gsi"])
def test_a_method_with_draws_writes_its_first_step_by_the_same_law(method):
    law = toy.models(toy.table(1), toy.table(2))
    writers = [Scorer(model, Key.from_seed) for model in (law.draft, law.target)]
    ours, theirs = specs.adapt(*writers, Rewards()), law
    counts = []
    for models in (ours, theirs):
        results = [
            specs.solve("q", models, method, n=2, seed=seed, max_step_tokens=1, max_steps=1) for seed in range(300)
        ]
        assert {result.error for result in results} == {None}
        counts.append(Counter(result.text for result in results))
    texts = sorted(counts[0] | counts[1])
    one, other = (np.array([found[text] for text in texts], float) for found in counts)
    # Pearson's statistic of two samples of the same size
    assert ((one - other) ** 2 / (one + other)).sum() < toy.chi_square_bound(len(texts) - 1)


def test_a_class_without_scores_runs_every_method_that_needs_none():
    assert {"beam", "best-of-n", "majority", "target", "rsd"} <= set(NEED_NO_SCORES)
    models = as_classes(Writer)
    for method in NEED_NO_SCORES:
        result = solve(models, method)
        assert (result.error, bool(result.accepted)) == (None, True), method


def test_a_class_with_scores_runs_every_method_that_needs_those_of_steps():
    assert {"specs", "gsi", "hard-reject", "prm-free"} <= set(NEED_STEP_SCORES)
    models = as_classes(Scorer)
    for method in NEED_STEP_SCORES:
        result = solve(models, method)
        assert result.error is None, method
        assert result.text_scoring

    assert solve(models, "specs-released", ratio="sum").error is None


@pytest.mark.parametrize("method", ["specs", "gsi", "soft-best-of-n"])
def test_a_saved_trace_replays_to_the_same_decisions(method):
    result = solve(as_classes(Scorer), method, 3)
    again = replay(result_from(result.to_dict(), "trace"))
    assert [one.chosen for one in again.decisions] == [record.decision.chosen for record in result.steps]


@pytest.mark.parametrize("kind", [Writer, Scorer])
def test_every_other_method_is_refused_by_name_before_anything_is_sampled(kind):
    models = as_classes(kind)
    runs = {*NEED_NO_SCORES, *(NEED_STEP_SCORES if kind is Scorer else ())}
    for method in (*NAMES, *SPECULATING):
        if method not in runs:
            with pytest.raises(InputError, match=rf"method {method.replace('+', '[+]')} needs .*{kind.__name__}"):
                specs.solve("q", models, method)
    assert models.draft.model.seeds == models.target.model.seeds == []
    assert specs.solve("q", models, "specs", select_weight=0.0, accept_weight=0.0, max_steps=1).error is None


def test_a_model_that_lacks_scores_is_named_before_a_missing_role():
    with pytest.raises(
        InputError, match="method gsi needs log-probabilities of steps: target q is of class Writer, which has no"
    ):
        specs.solve("q", specs.adapt(target=named(Writer(NATIVE.target), "q")), "gsi")


def named(model, name):
    model.name = name
    return model


@pytest.mark.parametrize("method", [*NAMES, "specs-released", "beam+speculation", "specs+speculation"])
def test_a_method_needs_what_its_requests_ask(method, monkeypatch):
    asked = []
    monkeypatch.setattr(Models, "check_needs", lambda self, method, needs: asked.append(needs))
    models = toy.models_for(method, toy.table(1, end=-6.0), toy.table(2, end=-6.0))
    for seed in range(4):
        solve(models, method, seed)
    assert frozenset().union(*asked) == needs_of(make(method))


def test_a_method_that_does_not_say_what_it_needs_is_refused_at_its_request():
    @dataclass
    class Reading:
        name, roles = "reading", frozenset({Role.DRAFT, Role.TARGET})

        def solve(self, question, sampling, key):
            yield Propose(Role.DRAFT, Trace(question), 1, frozenset({Role.TARGET}), sampling)

    models = as_classes(Writer)
    result = specs.solve("q", models, Reading())
    assert result.error.startswith("method reading needs log-probabilities of steps: draft Writer is of class Writer")
    assert models.draft.model.seeds == []


@pytest.mark.parametrize(
    ("given", "text", "end"),
    [
        ("one", "one\n\n", End.DELIMITER),
        ("one\n\n", "one\n\n", End.DELIMITER),
        ("one\n\ntwo", "one\n\n", End.DELIMITER),
        ("\n\none\n\ntwo", "\n\none\n\n", End.DELIMITER),
        ("", "", End.END_OF_TEXT),
        (specs.StepText("one", "end_of_text"), "one", End.END_OF_TEXT),
        (specs.StepText("one\n\ntwo", "end_of_text"), "one\n\n", End.DELIMITER),
        (specs.StepText("one", "cap"), "one", End.CAP),
        (specs.StepText("one", "context"), "one", End.CONTEXT),
        (specs.StepText(""), "\n\n", End.DELIMITER),
        ("\ud800", "\ufffd\n\n", End.DELIMITER),
    ],
)
def test_a_text_becomes_a_step_that_ends_where_steps_end(given, text, end):
    sample = sample_of(given, StepPolicy(max_tokens=20))
    assert (sample.text, sample.end) == (text, end)
    assert sample.log_probability is None
    assert (len(sample.token_ids) == 20) is (end is End.CAP)


@pytest.mark.parametrize(
    ("policy", "given", "text", "end"),
    [
        (StepPolicy.chunks(9), "one\n\ntwo", "one\n\ntwo", End.END_OF_TEXT),
        (StepPolicy(pattern=r"[.]\s"), "1. Two. Three", "1. ", End.DELIMITER),
        (StepPolicy(pattern=r"[.]\s"), "Three", "Three", End.END_OF_TEXT),
        (StepPolicy(delimiter=";"), "a; b", "a;", End.DELIMITER),
    ],
)
def test_other_policies_end_texts_elsewhere(policy, given, text, end):
    sample = sample_of(given, policy)
    assert (sample.text, sample.end) == (text, end)


def test_ids_tell_steps_apart_and_count_words_and_signs():
    def ids(text):
        return sample_of(text, StepPolicy()).token_ids

    assert ids("one two") == ids("one two\n\n") != ids("one three")
    assert len(ids("So 3 * 6 = 18 nuts.\n\n")) == 8 + 1
    assert ids("one two")[:2] == ids("one two, three")[:2]
    assert max(ids("one two three")) < 2**53


def test_a_reward_model_gets_the_steps_without_delimiters():
    def step(text, end=End.DELIMITER):
        return Candidate((1,), text, end)

    trace = Trace("q").extend(step("one\n\n"), Role.DRAFT).extend(step(" \n\n"), Role.DRAFT)
    assert contents(trace, step("two\n\n"), "\n\n") == (["one", "two"], True)
    assert contents(trace, step("\n\n"), "\n\n") == (["one"], False)
    assert contents(trace, step("two\n\nthree", End.END_OF_TEXT), "\n\n") == (["one", "two", "three"], True)
    cut = trace.extend(step("tw", End.CAP), Role.DRAFT)
    assert contents(cut, step("o\n\n"), "\n\n") == (["one", "two"], True)
    assert contents(Trace("q"), step("a\n\nb"), None) == (["a\n\nb"], True)


@dataclass
class Returning:
    """Returns what it is given, for each of its methods."""

    samples: object = None
    scores: object = None
    found: object = None

    def sample(self, question, solution, n, sampling, seed):
        return [f"{k}" for k in range(n)] if self.samples is None else self.samples

    def score(self, question, solution, steps, sampling):
        return [-1.0] * len(steps) if self.scores is None else self.scores

    def rewards(self, question, solutions):
        return [0.5] * len(solutions) if self.found is None else self.found


WRONG = [
    ("samples", ["a", "b", "c"], "Returning.sample returned 3 candidates; return 2"),
    ("samples", "ab", "Returning.sample returned 'ab'; return a list of 2 candidates"),
    ("samples", 5, "Returning.sample returned 5; return a list of 2 candidates"),
    ("samples", ["a", 5], "Returning.sample: item 1 is 5; return text or a StepText"),
    ("scores", [-1.0], "Returning.score returned 1 log-probabilities; return 2"),
    ("scores", [-1.0, 0.5], "Returning.score: item 1 is 0.5; give a number of at most 0 nats"),
    ("scores", [float("nan"), -1.0], "Returning.score: item 0 is nan; give a number of at most 0 nats"),
    ("found", [0.5], "Returning.rewards returned 1 rewards; return 2"),
    ("found", [0.5, 1.5], "Returning.rewards: item 1 is 1.5; give a number from 0 to 1"),
    ("found", [0.5, float("nan")], "Returning.rewards: item 1 is nan; give a number from 0 to 1"),
    ("found", ["good", 1], "Returning.rewards: item 0 is 'good'; give a number from 0 to 1"),
    ("found", {"a": 1, "b": 2}, "Returning.rewards returned {'a': 1, 'b': 2}; return a list of 2 rewards"),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG)
def test_a_wrong_answer_ends_the_solve_with_an_error_that_names_class_and_method(name, value, message):
    wrong = Returning(**{name: value})
    result = specs.solve("q", specs.adapt(wrong, wrong, wrong), "specs", n=2)
    assert (result.finish_reason, result.error) == (Finish.ERROR, message)


def test_an_exception_of_the_class_is_an_error_with_its_place():
    class Broken(Returning):
        def sample(self, question, solution, n, sampling, seed):
            return {"choices": []}["texts"]

        async def rewards(self, question, solutions):
            raise ConnectionError("nobody\nanswers")

    said = specs.solve("q", specs.adapt(target=Broken()), "target").error
    assert said.startswith(f"Broken.sample failed with KeyError: 'texts' ({__file__}, line ")
    said = specs.solve("q", specs.adapt(target=Returning(), prm=Broken()), "beam").error
    assert said.startswith(f"Broken.rewards failed with ConnectionError: nobody answers ({__file__}, line ")


def test_rounding_does_not_put_a_reward_outside_its_range():
    result = specs.solve(
        "q", specs.adapt(target=Returning(), prm=Returning(found=[1.000001, -0.000001])), "best-of-n", n=2
    )
    assert [candidate.reward for candidate in result.steps[0].candidates] == [1.0, 0.0]


class NoSample:
    pass


class FewArguments:
    def sample(self, prompt, n):
        return ["a"] * n


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            NoSample(),
            r"target: NoSample has no method sample; define sample\(self, question, solution, n, sampling, seed\)",
        ),
        (Returning, r"target is the class Returning; give an instance, such as Returning\(\)"),
        ("Qwen/Qwen3-8B", r"target is 'Qwen/Qwen3-8B'; adapt takes an object with a method sample, load takes names"),
        (FewArguments(), r"target: FewArguments.sample too many positional arguments; define sample\("),
    ],
)
def test_an_object_without_the_methods_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        specs.adapt(target=given)


def test_a_score_that_cannot_be_called_so_is_refused():
    scorer = Returning()
    scorer.score = None
    with pytest.raises(InputError, match="draft: Returning has no method score"):
        specs.adapt(draft=scorer)


def test_models_refuse_an_object_that_is_not_adapted():
    with pytest.raises(InputError, match=r"target is .*; use load for names, adapt for objects of your own"):
        Models(target=Returning())


def test_what_a_step_text_can_say_is_checked():
    with pytest.raises(InputError, match="end is 'length'; give 'delimiter', 'end_of_text', 'cap' or 'context'"):
        specs.StepText("a", "length")
    with pytest.raises(InputError, match="text is None; give text"):
        specs.StepText(None)


def test_what_nobody_counts_is_unknown_and_not_zero():
    result = specs.solve("q", as_classes(Writer), "rsd", max_steps=1)
    assert (result.usage, result.flops) == ({}, None)
    assert result.to_dict()["flops"] is None
    again = result_from(result.to_dict(), "trace")
    assert (again.usage, again.flops, again.text) == ({}, None, result.text)
    assert RemoteReward.parameters is None


def test_a_class_works_beside_models_of_an_engine():
    mixed = specs.adapt(NATIVE.draft, Scorer(NATIVE.target), NATIVE.prm)
    assert mixed.draft is NATIVE.draft
    assert mixed.prm is NATIVE.prm
    result = solve(mixed, "specs")
    assert result.error is None
    assert set(result.usage) == {Role.DRAFT, Role.PRM}
    assert (result.flops, result.text_scoring) == (None, True)
    heuristic = solve(Models(NATIVE.draft, NATIVE.target, specs.adapt(prm=Rewards()).prm), "specs")
    assert decided(heuristic) == decided(solve(NATIVE, "specs"))


def test_the_seeds_of_a_solve_differ_and_return_when_it_is_repeated():
    def seeds(seed):
        models = as_classes(Writer)
        solve(models, "beam", seed, n=4, width=2)
        return models.target.model.seeds

    assert seeds(1) == seeds(1) != seeds(2)
    assert len(set(seeds(1))) == len(seeds(1)) > 2
    assert all(0 <= seed < SEEDS for seed in seeds(1))


def test_a_class_gets_the_earlier_turns_in_the_question_and_no_system_turn():
    class Noting(Returning):
        def sample(self, question, solution, n, sampling, seed):
            asked.append((question, solution))
            return [f"{len(asked)}"] * n

    asked = []
    models = specs.adapt(target=Noting())
    before = (Turn("user", "2 + 2?"), Turn("assistant", "4"))
    specs.solve("And 3 more?", models, "target", chat=Chat(before), max_steps=2)
    assert asked == [
        ("User: 2 + 2?\n\nAssistant: 4\n\nUser: And 3 more?", ""),
        ("User: 2 + 2?\n\nAssistant: 4\n\nUser: And 3 more?", "1\n\n"),
    ]
    refused = specs.solve("q", models, "target", chat=Chat((Turn("system", "Be brief."),)))
    assert refused.error == "Noting takes no system turn; write it into the class, or into the question"
    refused = specs.solve("q", models, "target", chat=Chat(template=False))
    assert refused.error.startswith("Noting takes questions, not raw text to continue")


def test_asynchronous_calls_of_one_request_run_at_the_same_time():
    class Waiting(Returning):
        async def sample(self, question, solution, n, sampling, seed):
            if solution:  # the two traces of the search
                await asyncio.wait_for(together.wait(), 10)
            return [f"{solution.strip()} {k}" for k in range(n)]

        async def rewards(self, question, solutions):
            return [0.5] * len(solutions)

    together = asyncio.Barrier(2)
    models = specs.adapt(target=Waiting(), prm=Waiting())
    result = specs.solve("q", models, "beam", n=2, width=2, max_steps=2)
    assert (result.error, len(result.accepted)) == (None, 2)


def test_a_deadline_cancels_an_asynchronous_call():
    class Silent(Returning):
        async def sample(self, question, solution, n, sampling, seed):
            try:
                await asyncio.sleep(100)
            finally:
                cancelled.set()

    cancelled = threading.Event()
    result = specs.solve("q", specs.adapt(target=Silent()), "target", deadline_s=0.1)
    assert (result.finish_reason, result.error) == (Finish.DEADLINE, None)
    assert cancelled.wait(10)


def test_target_scores_and_rewards_come_from_two_threads_at_the_same_time():
    class Meeting(Returning):
        def rewards(self, question, solutions):
            met.wait(10)
            return super().rewards(question, solutions)

    class Target(Returning):
        def score(self, question, solution, steps, sampling):
            met.wait(10)
            return [-1.0] * len(steps)

    met = threading.Barrier(2)
    models = specs.adapt(Returning(), Target(), Meeting())
    assert specs.solve("q", models, "gsi", n=2, max_steps=1).error is None


def test_a_rating_is_refused_by_the_session_too():
    session = as_classes(Writer).target.open((113,), frozenset(), never_stop)
    with pytest.raises(InputError, match="Writer rates no steps"):
        session.judge([], None)


def test_a_class_gets_the_law_that_is_sampled_from_or_scored_under():
    """The draft's scores are of the law with filters, the target's of its temperature alone."""
    asked = {}

    class Asked(Scorer):
        def sample(self, question, solution, n, sampling, seed):
            asked[self.model.name, "sample"] = sampling
            return super().sample(question, solution, n, sampling, seed)

        def score(self, question, solution, steps, sampling):
            asked[self.model.name, "score"] = sampling
            return super().score(question, solution, steps, sampling)

    law = replace(LAW, top_p=0.9, top_k=3, min_p=0.1)
    config = SolveConfig(make("specs", n=2, start="draft", verify="all"), law, replace(LIMITS, max_steps=1))
    assert stream("q", as_classes(Asked), config).result.error is None
    found = {who: replace(sampling, steps=law.steps) for who, sampling in asked.items()}
    draft, target = NATIVE.draft.name, NATIVE.target.name
    assert found.pop((target, "score")) == replace(law, top_p=1.0, top_k=0, min_p=0.0)
    assert {(draft, "sample"): law, (draft, "score"): law}.items() <= found.items()


def test_an_exception_of_the_package_is_named_as_well():
    class Inner(Returning):
        def sample(self, question, solution, n, sampling, seed):
            raise EngineError("inner")

    result = specs.solve("q", specs.adapt(target=Inner()), "target")
    assert result.error.startswith("Inner.sample failed with EngineError: inner (")
