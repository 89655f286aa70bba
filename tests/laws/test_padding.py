"""Padding rows: the law is the same as without them, and no model reads a token for which it has no row."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from helpers import tiny, toy
from helpers.fitting import make_with
from helpers.rows import check_same_steps, log_probabilities, outputs_of
from specs.config import Limits, SolveConfig
from specs.core.keys import Key
from specs.core.sampling import log_law
from specs.decoding.stream import stream
from specs.engines.local.onnx.backend import load_light
from specs.engines.protocol import never_stop
from specs.engines.text import HubText
from specs.errors import ModelError
from specs.methods.registry import make
from specs.types import Candidate, End, Finish, Judge, Role, SamplingParams, StepPolicy, Trace

LAW = SamplingParams(0.8, 0.9, StepPolicy(max_tokens=10))
LIMITS = Limits(max_steps=6, max_tokens=60)
QUESTION = "a b c"
MORE = {"draft": 9, "target": 4}
"""Rows beyond the tokenizer: the draft has more than the target."""


@pytest.fixture(scope="session")
def size(trio):
    return HubText(trio["draft"]).size


@pytest.fixture(scope="session")
def padded(load_on, trio, size, tmp_path_factory):
    """The trio with wider tables, in which padding is likelier than all tokens; the PRM's embedding is wider too."""
    folder = tmp_path_factory.mktemp("padded")
    folders = {role: tiny.resized(trio[role], folder / role, size + more) for role, more in MORE.items()}
    return load_on(*folders.values(), tiny.resized(trio["prm"], folder / "prm", size + 2))


def opened(policy, question=QUESTION):
    return policy.open(policy.prompt(question), frozenset({policy.fingerprint}), never_stop)


def candidates_of(samples):
    return [Candidate(one.token_ids, one.text, one.end) for one in samples]


@pytest.mark.parametrize("law", [SamplingParams(1.0), SamplingParams(0.6, 0.8)])
def test_the_law_is_normalised_without_padding(padded, size, law):
    """4,000 first tokens by chi-square at 5 sigma (odds 3e-7), against a softmax over the tokenizer's tokens only."""
    policy = padded.draft
    prompt = np.array(policy.prompt(QUESTION))
    assert policy.backend.width == size
    last = np.array([len(prompt) - 1])
    (row,) = outputs_of(policy.backend, policy.backend.cache(), prompt, np.arange(len(prompt)), None, last)
    exact = np.exp(log_law(row.astype(np.float64), law))
    assert exact.sum() == pytest.approx(1)
    steps = replace(law, steps=StepPolicy.chunks(1))
    samples = opened(policy).sample([Trace(QUESTION)], 4000, steps, [Key.from_seed(1)])
    counts = Counter(sample.token_ids[0] for sample in samples)
    assert max(counts) < size
    statistic, degrees = toy.chi_square([counts[token] for token in range(size)], 4000 * exact)
    assert statistic < toy.chi_square_bound(degrees)
    for sample in samples[:50]:
        assert sample.log_probability == pytest.approx(math.log(exact[sample.token_ids[0]]), abs=1e-4)
    scored = log_probabilities(opened(policy), [(Trace(QUESTION), candidates_of(samples[:50]))], steps)
    assert scored == pytest.approx([sample.log_probability for sample in samples[:50]], abs=1e-4)


def test_padding_rows_would_have_much_probability(trio, size, tmp_path):
    """Otherwise the tests of this file would show nothing."""
    backend = load_light(tiny.resized(trio["target"], tmp_path / "wide", size + MORE["target"]))
    ids = np.random.default_rng(0).integers(6, size, 40)
    rows = backend.forward(backend.cache(), ids, np.arange(40), None, np.arange(40))
    assert np.exp(log_law(rows))[:, size:].sum(axis=1).mean() > 0.3


@pytest.mark.parametrize("name", ["specs", "specs+speculation", "dvts", "specreason", "best-of-n"])
def test_a_solve_with_padding_equals_the_solve_without(models, padded, name):
    """Tokens sampled, scored, rated, guessed and rewarded are the same, whichever model has more rows."""
    found, wanted = (
        stream(QUESTION, one, SolveConfig(make_with(name, {"n": 4}), LAW, LIMITS, seed=2)).result
        for one in (padded, models)
    )
    assert found.error is None
    check_same_steps(found, wanted)
    assert [use.minimum for use in found.usage.values()] == [use.minimum for use in wanted.usage.values()]


def test_steps_of_one_token_are_the_same_with_padding(models, padded):
    law = replace(LAW, steps=StepPolicy.chunks(1))
    found, wanted = (
        stream(QUESTION, one, SolveConfig(make("specs", n=4), law, LIMITS, seed=1)).result for one in (padded, models)
    )
    assert found.error is None
    check_same_steps(found, wanted)


FEWER, SHORT = 40, "b c"
"""Rows of a model that lacks a third of the tokenizer's tokens, and a question that needs none of these."""


@pytest.fixture(scope="session")
def short(load_on, trio, tmp_path_factory):
    """The trio with too few rows in one of the writers, by the role of that writer."""
    if load_on.engine == "llama":
        pytest.skip("a GGUF file has a row for each token")
    folder = tmp_path_factory.mktemp("short")
    cut = {role: tiny.resized(trio[role], folder / role, FEWER) for role in MORE}
    return {role: load_on(*{**{one: trio[one] for one in (*MORE, "prm")}, role: cut[role]}.values()) for role in MORE}


def test_a_solve_continues_with_the_candidates_that_the_target_can_write(short):
    lost = 0
    for seed in range(3):
        config = SolveConfig(make("specs", n=6, verify="all"), LAW, LIMITS, seed=seed)
        result = stream(SHORT, short["target"], config).result
        assert result.error is None
        for record in result.steps:
            lacking = [candidate for candidate in record.candidates if max(candidate.token_ids) >= FEWER]
            assert all(candidate.log_p == -math.inf and candidate is not record.step for candidate in lacking)
            assert not (lacking and record.writer is Role.TARGET)
            lost += len(lacking)
    assert lost > 0


def test_tokens_without_a_row_are_impossible_and_the_law_of_the_others_is_normalised(models, short):
    """Compared with the whole model when its other logits are minus infinity."""
    law, whole = SamplingParams(1.3, 1.0, StepPolicy.chunks(2)), models.target
    candidates = candidates_of(opened(models.draft, SHORT).sample([Trace(SHORT)], 40, law, [Key.from_seed(1)]))
    scores = log_probabilities(opened(short["target"].target, SHORT), [(Trace(SHORT), candidates)], law)
    prompt, wanted = whole.prompt(SHORT), []
    for candidate in candidates:
        path = candidate.token_ids
        ids = np.array([*prompt, *path[:-1]])
        last = np.arange(len(prompt) - 1, len(ids))
        rows = outputs_of(whole.backend, whole.backend.cache(), ids, np.arange(len(ids)), None, last)
        rows[:, FEWER:] = -np.inf
        wanted.append(float(log_law(rows, law)[np.arange(len(path)), path].sum()))
    assert scores == pytest.approx(wanted, abs=1e-4)
    assert {score == -math.inf for score in scores} == {True, False}


def test_if_all_candidates_are_impossible_the_target_computes_nothing(short):
    session = opened(short["target"].target, SHORT)
    session.score([(Trace(SHORT), [Candidate((20,), "", End.CAP)])], LAW)
    before = session.counts.processed
    lacking = [Candidate(ids, "", End.CAP) for ids in ((FEWER,), (20, FEWER + 1, 20))]
    assert log_probabilities(session, [(Trace(SHORT), lacking)], LAW) == [-math.inf] * 2
    assert session.counts.processed == before


def test_a_step_that_the_target_cannot_read_has_the_lowest_rating(short):
    judge = Judge("abc", "{", tuple("0123456789"))
    session, trace = opened(short["target"].target, SHORT), Trace(SHORT)
    readable = [Candidate((20, 21), "", End.CAP), Candidate((22,), "", End.CAP)]
    lacking = Candidate((20, FEWER + 3), "", End.CAP)
    alone = opened(short["target"].target, SHORT).judge([(trace, readable)], judge)
    assert session.judge([(trace, [readable[0], lacking, readable[1]])], judge) == [alone[0], 0.0, alone[1]]


@pytest.mark.parametrize("role", MORE)
@pytest.mark.parametrize("name", ["target+speculation", "beam+speculation"])
def test_speculation_changes_no_token_if_one_model_lacks_some(short, role, name):
    for seed in range(3):
        plain, guessed = (
            stream(SHORT, short[role], SolveConfig(make(one), LAW, LIMITS, seed=seed)).result
            for one in (name.removesuffix("+speculation"), name)
        )
        assert guessed.error is None
        check_same_steps(guessed, plain)


def test_text_that_a_model_cannot_read_ends_the_solve_with_its_name(short):
    """A step that the other model has written, or the question."""
    name = short["draft"].draft.name
    errors = {
        stream(SHORT, short["draft"], SolveConfig(make("specs", n=4), LAW, LIMITS, seed=seed)).result.error
        for seed in range(6)
    }
    assert errors - {None}
    assert all(name in error and "vocabulary" in error for error in errors - {None})
    with pytest.raises(ModelError, match="tokenizer and model do not belong together"):
        short["draft"].draft.prompt("a b c")
    result = stream("a b c", short["target"], SolveConfig(make("beam", n=2), LAW, LIMITS)).result
    assert (result.finish_reason, result.steps) == (Finish.ERROR, ())
    assert f"{short['target'].target.name} has no token" in result.error
