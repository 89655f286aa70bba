"""Token-level speculation: no token changes, and wrong guesses are counted."""

from dataclasses import replace

import pytest

from helpers import tiny
from helpers.fitting import make_with
from helpers.rows import check_same_steps
from specs.config import Limits, SolveConfig
from specs.decoding.stream import stream
from specs.engines.loading import Names, load_models
from specs.engines.protocol import Models
from specs.engines.vllm.session import OF_SERVERS
from specs.errors import InputError
from specs.methods.registry import NAMES, SPECULATING, make
from specs.types import Finish, Role, SamplingParams, StepPolicy

LAW, LIMITS = SamplingParams(0.8, 0.9, StepPolicy(max_tokens=10)), Limits(max_steps=4, max_tokens=40)
QUESTION = "a b c"
FAST = {"specs+speculation", "beam+speculation", "best-of-n+speculation", "target+speculation"}
FEW_FAST = [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in SPECULATING]


def solve(models, name, seed=0, law=LAW, **options):
    return stream(QUESTION, models, SolveConfig(make_with(name, options), law, LIMITS, seed=seed)).result


def counted(models):
    return Models(**{role: replace(one, backend=tiny.CountingBackend(one.backend)) for role in Role
                     if (one := getattr(models, role))})  # fmt: skip


@pytest.mark.parametrize("name", FEW_FAST)
def test_it_changes_no_token_and_every_position_is_accounted_for(models, name):
    """Up to one draw of some hundred on the border between two tokens."""
    ties = 0
    for seed, tokens in enumerate((1, 3, 8)):
        plain = solve(models, name.removesuffix("+speculation"), seed)
        result = solve(along := counted(models), name, seed, speculate=tokens)
        assert result.error is None
        assert result.method == name
        assert result.settings["method"]["speculate"] == tokens
        ties += check_same_steps(result, plain, ties=1)
        assert ties <= 1
        for role, use in result.usage.items():
            assert use.processed == use.minimum + use.speculated == getattr(along, role).backend.positions


def test_every_method_whose_target_writes_can_speculate():
    assert {name.removesuffix("+speculation") for name in SPECULATING} == set(NAMES) - {"draft", "beam-draft"}


@pytest.mark.parametrize("name", ["target", "beam", "best-of-n"])
def test_if_draft_and_target_are_the_same_model_every_guess_is_right(models, name):
    """No position of the target is wasted, and a pass writes `speculate` + 1 tokens."""
    same = Models(models.target, models.target, models.prm)
    for seed in range(3):
        passes = []

        class Noting(tiny.CountingBackend):
            def forward(self, *args, passes=passes):
                passes.append(len(args[1]))
                return super().forward(*args)

        watched = replace(same, target=replace(same.target, backend=Noting(same.target.backend)))
        result = solve(watched, f"{name}+speculation", seed, speculate=4, **({"n": 3} if name != "target" else {}))
        assert result.usage[Role.TARGET].speculated == 0
        longest = [max(len(c.token_ids) for c in record.candidates) for record in result.steps]
        # In each step, one pass for the new tokens of the trace, then one for every 5 tokens except the last.
        assert len(passes) <= sum(1 + -(-(length - 1) // 5) for length in longest)


def test_greedy_decoding_is_unchanged_too(models):
    cold = SamplingParams(0.0, 1.0, StepPolicy(max_tokens=10))
    assert solve(models, "target+speculation", law=cold).text == solve(models, "target", law=cold).text


def test_with_filters_the_text_is_unchanged_too(models):
    law = SamplingParams(0.8, 0.9, StepPolicy(max_tokens=10), top_k=12, min_p=0.05)
    assert solve(models, "beam+speculation", law=law).text == solve(models, "beam", law=law).text


def test_a_draft_without_room_guesses_nothing(models):
    class Short(tiny.CountingBackend):
        context = len(models.draft.prompt(QUESTION)) + 12

    short = replace(models, draft=replace(models.draft, backend=Short(models.draft.backend)))
    plain, along = solve(models, "beam", 1), solve(short, "beam+speculation", 1)
    assert len(plain.text) > 12
    assert (along.text, along.finish_reason) == (plain.text, plain.finish_reason)
    for use in along.usage.values():
        assert use.processed == use.minimum + use.speculated


def test_models_without_token_speculation_are_refused(models):
    class Served(type(models.draft)):
        lacks = OF_SERVERS

    draft = Served(models.draft.backend, models.draft.text)
    with pytest.raises(InputError, match="runs on a server, which does its own token-level speculation"):
        solve(replace(models, draft=draft), "target+speculation")
    with pytest.raises(InputError, match=r"target\+speculation needs a draft model"):
        solve(replace(models, draft=None), "target+speculation")
    with pytest.raises(InputError, match="speculate is 0; give a whole number of at least 1"):
        make("beam+speculation", speculate=0)


def test_different_vocabularies_are_refused(models):
    class Other(type(models.draft)):
        fingerprint = "another"

    draft = Other(models.draft.backend, models.draft.text)
    with pytest.raises(InputError, match="with the same vocabulary"):
        solve(replace(models, draft=draft), "target+speculation")


@pytest.mark.parametrize(
    "name", ["specs", *(pytest.param(name, marks=pytest.mark.slow) for name in ("target", "beam", "best-of-n"))]
)
def test_guesses_end_at_the_context_of_the_writer(models, name):
    """A draft with more context than the target guesses further, which changes nothing."""
    cut = set()
    for room in (4, 7, 12, 19):

        class Short(tiny.CountingBackend):
            context = len(models.target.prompt(QUESTION)) + room

        short = replace(models, target=replace(models.target, backend=Short(models.target.backend)))
        for seed in range(3):
            plain, along = solve(short, name, seed), solve(short, f"{name}+speculation", seed)
            check_same_steps(along, plain)
            cut.add(plain.finish_reason)
            if name != "specs":  # there scoring may end the solve: a draft's candidate may exceed the target's context
                for use in along.usage.values():
                    assert use.processed == use.minimum + use.speculated
    assert Finish.CONTEXT in cut


@pytest.mark.parametrize("name", ["beam+speculation", "specs+speculation"])
def test_in_half_precision_every_position_is_accounted_for(trio, name, device):
    """Passes of other sizes round differently, so tokens may differ, but the counts must add up."""
    pytest.importorskip("torch")
    folders = Names(*(str(trio[role]) for role in ("draft", "target", "prm")))
    models = load_models(folders, engine="torch", device=device, dtype="bf16")
    for seed in range(3):
        result = solve(along := counted(models), name, seed)
        assert result.error is None
        for role, use in result.usage.items():
            assert use.processed == use.minimum + use.speculated == getattr(along, role).backend.positions
