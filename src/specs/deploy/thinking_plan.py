"""The memory plan of models that think: how long a trace gets, and what to change if none fits.

    context  =  thinking + answer + PROMPT_TOKENS

`PROMPT_TOKENS` are for the question and for the text that closes the thinking when its budget is spent. A trace is
planned at its full length, although most end before: a server whose KV cache is full preempts sequences, and computes
them again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from specs.config import Limits
from specs.config.solve_config import MAX_THINKING_STEP_TOKENS
from specs.deploy.memory_plan import Gpu, Model, Plan, Workload, plan
from specs.errors import InputError, NoRoom
from specs.types import Role

PROMPT_TOKENS = 2048
"""Tokens of a context for what is neither thinking nor answer."""
BUDGET_UNIT = 1024
"""Budgets that errors propose are multiples of this."""


def thinking_context(thinking_tokens: int) -> int:
    """Tokens of the longest sequence of a solve whose models think for at most `thinking_tokens`."""
    return PROMPT_TOKENS + thinking_tokens + Limits().max_tokens


def thinking_load(
    n: int, thinking_tokens: int | None = None, step_tokens: int | None = None, context: int | None = None
) -> Workload:
    """The largest solve of models that think; None stands for the defaults of a solve.

    Args:
        context: tokens of prompt, thinking and answer together, if it shall be more than `thinking_context`.

    Raises:
        InputError: the context is too small for thinking and answer, or a step is longer than the thinking.
    """
    budget = Limits().max_thinking_tokens if thinking_tokens is None else thinking_tokens
    steps = MAX_THINKING_STEP_TOKENS if step_tokens is None else step_tokens
    least = thinking_context(budget)
    if context is not None and context < least:
        raise InputError(
            f"context {context}: thinking of {budget} tokens, an answer of {Limits().max_tokens} and a question take "
            f"{least}; leave context out, or give a smaller thinking_tokens"
        )
    return Workload(context or least, steps, n, budget)


def plan_thinking(models: Mapping[Role, Model], gpus: Sequence[Gpu], load: Workload) -> Plan:
    """`plan`, whose error says with what budget or number of candidates one trace would fit."""
    try:
        return plan(models, gpus, load)
    except NoRoom as shortage:
        raise NoRoom(f"no trace of {load.context:,} tokens fits: {shortage}; {_mend(models, gpus, load)}") from None


def _mend(models: Mapping[Role, Model], gpus: Sequence[Gpu], load: Workload) -> str:
    if load.n > 1 and _fits(models, gpus, replace(load, n=1)):
        return "with n=1 one fits"
    assert load.thinking_tokens is not None
    fitting, too_large = 0, -(-load.thinking_tokens // BUDGET_UNIT)
    while too_large - fitting > 1:
        middle = (fitting + too_large) // 2
        shorter = _shorter(load, BUDGET_UNIT * middle)
        fitting, too_large = (middle, too_large) if _fits(models, gpus, shorter) else (fitting, middle)
    if not fitting:
        return f"not even {BUDGET_UNIT:,} tokens of thinking fit, so a shorter context does not help"
    return f"with thinking_tokens={BUDGET_UNIT * fitting} one fits"


def _shorter(load: Workload, budget: int) -> Workload:
    assert load.thinking_tokens is not None
    return replace(load, context=load.context - load.thinking_tokens + budget, thinking_tokens=budget)


def _fits(models: Mapping[Role, Model], gpus: Sequence[Gpu], load: Workload) -> bool:
    try:
        plan(models, gpus, load)
    except NoRoom:
        return False
    return True
