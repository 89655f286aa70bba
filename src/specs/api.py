"""The Python interface: load models once, solve many questions.

from specs import load, solve
models = load()
print(solve("Maya has 12 shells. She buys 3 bags with 5 shells each. How many now?", models).answer)
"""

from __future__ import annotations

from typing import Any

from specs.decoding import stream as streams
from specs.decoding.latency_model import Pace
from specs.decoding.limits import Limits
from specs.decoding.stream import AsyncStream, Stream
from specs.engines.loading import Engine, Names, load_models
from specs.engines.protocol import Models
from specs.errors import InputError
from specs.methods import Method
from specs.methods.registry import make
from specs.rewards.families import PRMFormatName
from specs.types import ALONE, Chat, Law, Result, StepPolicy

TEMPERATURE = 0.7
MAX_STEP_TOKENS = 64


def load(
    draft: str | None = "bundled",
    target: str | None = "bundled",
    prm: str | None = "bundled",
    *,
    engine: Engine = "auto",
    device: str = "auto",
    dtype: str = "auto",
    allow_text_scoring: bool = False,
    draft_system: str | None = None,
    target_system: str | None = None,
    tokenizer: str | None = None,
    timeout_s: float = 120.0,
    prm_format: PRMFormatName = "auto",
) -> Models:
    """Load a draft, a target and a PRM: `bundled`, a folder, a hub id, a GGUF file, a server's URL, or None for none.

    See `specs.engines.loading.load_models` for the engines and for what it raises, and
    `specs.rewards.families` for the formats that a PRM may read a trace in.
    """
    names = Names(draft, target, prm, draft_system, target_system, tokenizer, prm_format)
    return load_models(
        names,
        engine=engine,
        device=device,
        dtype=dtype,
        allow_text_scoring=allow_text_scoring,
        timeout_s=timeout_s,
    )


def configure(
    method: str | Method = "specs",
    *,
    temperature: float = TEMPERATURE,
    top_p: float = 1.0,
    max_steps: int = 32,
    max_step_tokens: int = MAX_STEP_TOKENS,
    max_tokens: int = 2048,
    deadline_s: float | None = None,
    delimiter: str | None = "\n\n",
    enough: float = 1.0,
    **options: Any,
) -> tuple[Method, Law, Limits]:
    """Plain options as a method, a law and limits.

    Args:
        method: a name (`specs.methods.registry.NAMES`) or a configured method.
        temperature: >= 0; top_p: in (0, 1].
        max_steps, max_tokens: caps of the whole solve; max_step_tokens: of one step.
        deadline_s: seconds until there is to be an answer (docs/deadlines.md); None for none.
        delimiter: closes a step; None for fixed chunks of `max_step_tokens`.
        enough: share of the candidates in (0, 1]; those that are longer than so many are cut off.
        options: the method's own (`n`, `beta`, `tau`, ...; see `specs.methods`).

    Raises:
        InputError: an unknown method or option, or a value out of its range.
    """
    try:
        law = Law(temperature, top_p, StepPolicy(delimiter=delimiter, max_tokens=max_step_tokens, enough=enough))
        limits = Limits(max_steps, max_tokens, deadline_s)
    except ValueError as error:
        raise InputError(str(error)) from None
    if not isinstance(method, str):
        if options:
            raise InputError(f"give {', '.join(options)} to the method itself, or name the method")
        return method, law, limits
    return make(method, **options), law, limits


def stream(
    question: str,
    models: Models,
    method: str | Method = "specs",
    *,
    seed: int = 0,
    chat: Chat = ALONE,
    pace: Pace | None = None,
    **options: Any,
) -> Stream:
    """Start a solve; iterate over its steps as they are accepted, then read `.result`.

    Args:
        chat: the conversation that the question ends.
        pace: what earlier solves with these models have taught about their speed, for a deadline; it learns
            from this one too. None for a new one.
        options: as for `configure`.
    """
    chosen, law, limits = configure(method, **options)
    return streams.stream(question, models, chosen, law=law, limits=limits, seed=seed, chat=chat, pace=pace or Pace())


def solve(question: str, models: Models, method: str | Method = "specs", **options: Any) -> Result:
    """Solve one question; `options` as of `stream`."""
    return stream(question, models, method, **options).result


def astream(
    question: str,
    models: Models,
    method: str | Method = "specs",
    *,
    seed: int = 0,
    chat: Chat = ALONE,
    pace: Pace | None = None,
    **options: Any,
) -> AsyncStream:
    """`stream` for asyncio: `async for step in ...`, then `.result`."""
    chosen, law, limits = configure(method, **options)
    return streams.astream(question, models, chosen, law=law, limits=limits, seed=seed, chat=chat, pace=pace or Pace())


async def asolve(question: str, models: Models, method: str | Method = "specs", **options: Any) -> Result:
    """`solve` for asyncio."""
    running = astream(question, models, method, **options)
    async for _ in running:
        pass
    assert running.result is not None
    return running.result
