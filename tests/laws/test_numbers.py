"""A solve that meets NaN or infinity ends with an error that names the model; the next solve is unaffected."""

import math
import re
from itertools import product

import numpy as np
import pytest

from helpers import tiny, toy
from helpers.fitting import make_with
from specs.config import Limits, SolveConfig
from specs.decoding.stream import stream
from specs.engines.loading import Names, load_models
from specs.engines.protocol import never_stop
from specs.engines.text import HubText
from specs.errors import EngineError, ModelError
from specs.methods.registry import make
from specs.types import Candidate, End, Finish, Judge, Role, SamplingParams, StepPolicy, Trace

LAW = SamplingParams(0.8, 0.9, StepPolicy(max_tokens=10))
LIMITS = Limits(max_steps=6, max_tokens=60)
SEEDS = range(4)
QUESTION = "b c"


@pytest.fixture(scope="session")
def broken(trio, tmp_path_factory):
    """The trio's folders by role: intact copies, and copies whose embedding of `a` is NaN."""
    folder = tmp_path_factory.mktemp("broken")
    (token,) = HubText(trio["draft"]).encode("a")

    def spoil(tensors):
        tensors["model.embed_tokens.weight"][token] = np.nan

    whole = {role: tiny.untied(trio[role], folder / role) for role in ("draft", "target")} | {"prm": trio["prm"]}
    return whole, {role: tiny.changed(one, folder / f"{role}-nan", spoil) for role, one in whole.items()}


def solve(models, name, seed):
    options = {} if name == "target" else {"n": 4}
    return stream(QUESTION, models, SolveConfig(make_with(name, options), LAW, LIMITS, seed=seed)).result


def said(result):
    """Whether `a` occurs in any step, accepted or not."""
    return any("a" in c.text for record in result.steps for c in record.candidates)


@pytest.mark.parametrize("role", ["target", *(pytest.param(role, marks=pytest.mark.slow) for role in ("draft", "prm"))])
def test_a_solve_that_meets_nan_ends_with_the_name_of_the_model_and_others_go_on(load_on, broken, role):
    """One row of the embedding is NaN, so it depends on the draws whether a solve meets it."""
    whole, spoilt = broken
    sound, models = load_on(*whole.values()), load_on(*(whole | {role: spoilt[role]}).values())
    name = getattr(models, role).name
    ends = set()
    for method, seed in product(("specs", "beam", "specreason", "beam+speculation", "best-of-n"), SEEDS):
        result, other = (solve(one, method, seed) for one in (models, sound))
        ends.add(result.finish_reason is Finish.ERROR)
        if result.finish_reason is not Finish.ERROR:
            assert (result.text, result.error) == (other.text, None)
            continue
        assert said(other) or "specreason" in method or "speculation" in method  # judged or guessed
        assert other.text.startswith(result.text)
        assert result.error.startswith(f"{name}: ")
        assert "are not finite (NaN); " in result.error
        assert "\n" not in result.error
    assert ends == {True, False}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_model_whose_outputs_are_all_invalid_is_reported(load_on, trio, tmp_path, value):
    """A value in the last norm reaches every output. Engines with a probe report it when the model loads."""

    def spoil(tensors):
        tensors["model.norm.weight"][0] = value

    folder = tiny.changed(trio["draft"], tmp_path / "spoilt", spoil)
    if load_on.engine == "light":
        message = solve(load_on(folder, trio["target"], trio["prm"]), "specs", 1).error
    else:
        with pytest.raises(ModelError) as refused:
            load_on(folder, None, None)
        message = str(refused.value)
    assert re.search(r"(logits|outputs) are not finite \((NaN|infinite)\); .*take another checkpoint$", message)


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_an_overflow_suggests_dtypes_with_a_larger_range(trio, tmp_path, dtype):
    """One layer exceeds 65,504, which fp16 cannot represent and bf16 can."""
    pytest.importorskip("torch")

    def swell(tensors):
        for name in ("gate", "up"):
            tensors[f"model.layers.0.mlp.{name}_proj.weight"] *= 1e4

    folder = tiny.changed(trio["draft"], tmp_path / "swollen", swell)
    names = Names(str(folder), None, None)
    if dtype == "bf16":
        assert load_models(names, engine="torch", device="cpu", dtype=dtype).draft.backend.width
        return
    with pytest.raises(ModelError, match=r"swollen: outputs are not finite .*dtype bf16 or fp32\)$"):
        load_models(names, engine="torch", device="cpu", dtype=dtype)


def nothing(ids):
    return np.full(5, -np.inf)


def unknown(ids):
    return [0.0, math.nan, 0.0, 0.0, 0.0]


def endless(ids):
    return [0.0, 0.0, math.inf, 0.0, 0.0]


@pytest.mark.parametrize(
    "law", [SamplingParams(1.0), SamplingParams(0.7, 0.9), SamplingParams(0.0)], ids=["plain", "nucleus", "greedy"]
)
@pytest.mark.parametrize(
    ("logits", "word"), [(nothing, "-infinity for all tokens"), (unknown, "NaN"), (endless, "infinite")]
)
@pytest.mark.parametrize("role", ["draft", "target"])
def test_invalid_logits_are_refused_under_every_law_and_in_every_call(role, logits, word, law):
    """The draft samples; the target scores and writes."""
    models = toy.models(**{role: logits})
    name = getattr(models, role).name
    for method in ("specs", "gsi", "beam", "target", "specs+speculation"):
        found = make(method, **({} if method == "target" else {"n": 2}))
        if Role(role) not in found.roles:
            continue
        result = stream("q", models, SolveConfig(found, law, LIMITS, seed=1)).result
        assert result.finish_reason is Finish.ERROR
        assert result.error == f"{name}: logits are not finite ({word}); correct its table"


def test_no_rating_is_read_from_invalid_logits():
    judge = Judge("", "", tuple("0123456789"))

    def rate(ids):
        return np.where(np.arange(15) == 7, math.nan, 0.0)

    policy = toy.models(target=rate, text=toy.RATED).target
    session = policy.open(policy.prompt("q"), frozenset({policy.fingerprint}), never_stop)
    with pytest.raises(EngineError, match=r"p: logits are not finite \(NaN\)"):
        session.judge([(Trace("q"), [Candidate((0,), "a", End.CAP)])], judge)


@pytest.mark.parametrize(
    ("reward", "said"),
    [
        (math.nan, r"not finite \(NaN\)"),
        (math.inf, r"not finite \(infinite\)"),
        (-math.inf, r"not finite \(-infinity"),
        (1.5, r"a reward of 1\.5, and rewards lie in \[0, 1\]"),
        (-0.01, r"a reward of -0\.01, and"),
        (1.0 + 1e-7, None),
        (-1e-7, None),
    ],
)
@pytest.mark.parametrize("method", ["specs", "beam", "dvts", "gsi", "rsd", "best-of-n", "weighted-majority"])
def test_an_invalid_reward_never_reaches_the_method(method, reward, said):
    """The reward is invalid from the second step on, and the first step stays."""
    models = toy.models(
        toy.table(1, end=-9.0), toy.table(2, end=-9.0), rate=lambda steps: 0.5 if len(steps) < 2 else reward
    )
    result = stream(
        "q",
        models,
        SolveConfig(make_with(method, {"n": 2}), SamplingParams(1.0, 1.0, StepPolicy(max_tokens=4)), LIMITS, seed=1),
    ).result
    if said is None:
        assert result.error is None
        return
    assert result.finish_reason is Finish.ERROR
    assert result.error.startswith("r")
    assert re.search(said, result.error)
    given = [c.reward for record in result.steps for c in record.candidates if c.reward is not None]
    assert all(0 <= one <= 1 for one in given)


def test_an_infinite_output_for_a_label_gives_no_reward(load_on, trio, tmp_path):
    """For a token minus infinity means that it is impossible; for a label it means nothing."""
    for idx in (0, 1):

        def spoil(tensors, idx=idx):
            tensors["score.bias"][idx] = -np.inf

        prm = tiny.changed(trio["prm"], tmp_path / f"prm-{idx}", spoil)
        models = load_on(trio["draft"], trio["target"], prm)
        for method in ("specs", "beam", "best-of-n", "rsd"):
            result = (
                solve(models, method, 0)
                if method != "rsd"
                else stream(QUESTION, models, SolveConfig(make("rsd"), LAW)).result
            )
            assert result.finish_reason is Finish.ERROR
            assert "rewards are not finite (-infinity for a label)" in result.error
