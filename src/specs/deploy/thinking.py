"""Checks of models that can think: how they mark it, whether their context holds it, and whether servers end steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from specs.config import Limits
from specs.deploy.thinking_plan import PROMPT_TOKENS, thinking_context
from specs.engines.event_loop import wait
from specs.engines.local.models import LocalPolicy
from specs.engines.protocol import never_stop
from specs.engines.vllm.answers import Field
from specs.engines.vllm.server import NEUTRAL, Server
from specs.engines.vllm.session import RemotePolicy
from specs.types import Chat

_BLANK_LINE, _TOKENS = "\n\n", 8


def about(model: LocalPolicy | RemotePolicy) -> str:
    """How a model marks its thinking; empty if it cannot think."""
    if (thinking := model.thinking) is None:
        return ""
    return f"can think (--think): {thinking.opening.strip()} opens a block, token {thinking.close_id} closes it"


def context_hint(context: int, mend: str) -> str:
    """What to do about a context that cuts off solves with the default limits of thinking; empty if it holds them.

    Args:
        context: tokens of the longest sequence.
        mend: how the model gets a longer context, with `{}` for its tokens; empty if it cannot.
    """
    limits, needed = Limits(), thinking_context(Limits().max_thinking_tokens)
    if context >= needed:
        return ""
    left = limits.max_thinking_tokens - (needed - context)
    ways = [*([mend.format(needed)] if mend else []), *([f"solve with --thinking-tokens {left}"] if left > 0 else [])]
    return (
        f"a context of {context:,} tokens cuts off long thinking: with --think a solve may take {needed:,} "
        f"({limits.max_thinking_tokens:,} of thinking, {limits.max_tokens:,} of answer, {PROMPT_TOKENS:,} for the "
        f"question); {' or '.join(ways) or 'choose a model with a longer one'}"
    )


def deaf(model: RemotePolicy) -> Iterator[str]:
    """What is wrong with each server of a model that does not stop at blank lines inside the thinking."""
    if model.thinking is None:
        return
    prompt = model.prompt("What is 1 + 1?", Chat(think=True))
    for server in model.replicas.servers:
        if wait(_stops(server, prompt, model.text.encode(_BLANK_LINE)), never_stop) != "stop":
            yield (
                f"{server.client.url} does not stop at blank lines inside the thinking (steps end at their cap): "
                "start it without --reasoning-parser"
            )


async def _stops(server: Server, prompt: Sequence[int], blank_line: Sequence[int]) -> str:
    """The finish reason of a text that can hold nothing but line breaks."""
    body = {
        **NEUTRAL,
        "model": server.facts.model,
        "prompt": list(prompt),
        "max_tokens": _TOKENS,
        "temperature": 0.0,
        "allowed_token_ids": list(blank_line),
        "stop": [_BLANK_LINE],
        "include_stop_str_in_output": True,
    }
    answer = Field(server.client.url, await server.client.post("/v1/completions", body))
    return str(answer["choices"][0]["finish_reason"].value)
