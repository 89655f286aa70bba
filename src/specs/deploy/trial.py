"""Trial steps, by each model alone and by all together: they show faults that would make every solve fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from specs import api
from specs.engines.protocol import LanguageModel, Models, RewardModel, never_stop
from specs.errors import SpecsError, described
from specs.types import Candidate, End, Result, Role, SamplingParams, Trace

QUESTION = "What is 2 + 2?"
STEPS = ("2 + 2 is 4.\n\n", "So the answer is \\boxed{4}.")
TOKENS = 16
"""The most tokens of a trial step."""
_METHODS: dict[frozenset[Role], tuple[str, dict[str, Any]]] = {
    frozenset(Role): ("specs", {"start": "draft"}),
    frozenset({Role.DRAFT, Role.TARGET}): ("prm-free", {}),
    frozenset({Role.TARGET, Role.PRM}): ("beam", {}),
    frozenset({Role.DRAFT, Role.PRM}): ("beam-draft", {}),
}
"""For each set of models, a method whose steps use all of them, with its options."""


def try_alone(role: Role, model: LanguageModel | RewardModel, sampling: SamplingParams) -> str | None:
    """Why a model cannot do its part of a step (a policy writes one, a PRM rewards two); None if it can."""
    if role is Role.PRM:
        return _failure(lambda: _reward_two_steps(model))
    return _failure(lambda: _solve({role: model}, role.value, sampling, {}))


def try_together(models: Mapping[Role, Any], sampling: SamplingParams) -> str | None:
    """Why two or three models cannot do a step with two candidates together; None if they can."""
    name, options = _METHODS[frozenset(models)]
    return _failure(lambda: _solve(models, name, sampling, {"n": 2, **options}))


def _failure(work: Callable[[], Iterator[str]]) -> str | None:
    try:
        return next(work(), None)
    except Exception as error:  # an engine may raise anything, and a solve would fail in the same way
        return reason(error)


def reason(error: Exception) -> str:
    """An error in one line, with its type unless it is a `SpecsError`."""
    return str(error) if isinstance(error, SpecsError) else described(error)


def _solve(
    models: Mapping[Role, Any], method: str, sampling: SamplingParams, options: Mapping[str, Any]
) -> Iterator[str]:
    result = api.solve(
        QUESTION,
        Models(**models),
        method,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        max_steps=1,
        max_step_tokens=TOKENS,
        max_tokens=TOKENS,
        **options,
    )
    yield from _faults(result)


def _faults(result: Result) -> Iterator[str]:
    """The faults in the result of a solve of one step."""
    if result.error is not None:
        yield result.error
    if not result.accepted:
        yield f"no step was written ({result.finish_reason}): check the model's context"
    for candidate in (candidate for record in result.steps for candidate in record.candidates):
        for name, value in (("p", candidate.log_p), ("q", candidate.log_q)):
            if value is not None and not value <= 0:
                yield f"log {name} of a step is {value}; check that the weights are complete, or give another dtype"
        if candidate.reward is not None:
            yield from _reward_faults(candidate.reward)


def _reward_two_steps(prm: Any) -> Iterator[str]:
    """The faults of the rewards of two consecutive steps."""
    session = prm.open(prm.prompt(QUESTION), never_stop)
    trace = Trace(QUESTION)
    for text in STEPS:
        step = Candidate((), text, End.DELIMITER if text.endswith("\n\n") else End.END_OF_TEXT)
        (reward,) = session.score([(trace, [step])], "\n\n")
        yield from _reward_faults(reward)
        trace = trace.extend(step, Role.TARGET)


def _reward_faults(reward: float) -> Iterator[str]:
    if not 0 <= reward <= 1:
        yield f"the reward of a step is {reward}; check that the weights are complete and the head fits the format"
