"""The Python interface: load models once, solve many questions.

from specs import load, solve
models = load()
print(solve("Maya has 12 shells. She buys 3 bags with 5 shells each. How many now?", models).answer)
"""

from __future__ import annotations

import re
from typing import Any

from specs.config import SolveConfig, configure
from specs.decoding import stream as streams
from specs.decoding.latency_model import LatencyModel
from specs.decoding.stream import AsyncStream, Stream
from specs.engines.loading import Dtype, Engine, Names, load_models
from specs.engines.protocol import Models
from specs.errors import InputError
from specs.methods import Method
from specs.rewards.families import PRMFormatName
from specs.types import NO_CONTEXT, Chat, Result
from specs.types.checks import OptionValue, above, check_value, shown

DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


def load(
    draft: str | None = "bundled",
    target: str | None = "bundled",
    prm: str | None = "bundled",
    *,
    engine: Engine = "auto",
    device: str = "auto",
    dtype: Dtype = "auto",
    allow_text_scoring: bool = False,
    draft_system: str | None = None,
    target_system: str | None = None,
    tokenizer: str | None = None,
    timeout_s: float = 120.0,
    prm_format: PRMFormatName = "auto",
) -> Models:
    """Load a draft, a target and a PRM.

    Args:
        draft, target, prm: `bundled`, a folder, a hub id, a GGUF file, or the URL of a vLLM server; None for no model.
        engine, device, dtype: where models that are not on a server run; see `specs.engines.loading.load_models`.
        allow_text_scoring: whether the target may score a draft with another vocabulary through its text (inexact).
        draft_system, target_system: the writers' system prompts.
        tokenizer: folder or hub id with the tokenizer of draft and target if they run on servers; None for the names
            from which the servers have loaded them.
        timeout_s: the most seconds that one request to a server may take, > 0.
        prm_format: how the PRM reads a trace (`specs.rewards.families`); `auto` chooses by architecture and name.

    Raises:
        InputError: a wrong value, or draft and target have different vocabularies without `allow_text_scoring`.
        ModelError: there is no such model, or a model cannot play its role.
    """
    check_value("engine", engine, Engine)
    check_value("device", device, str)
    if not DEVICE.fullmatch(device):
        raise InputError(f"device is {shown(device)}; give 'auto', 'cpu', 'cuda' or 'cuda:1'")
    check_value("dtype", dtype, Dtype)
    check_value("timeout_s", timeout_s, float, above(0))
    names = Names(draft, target, prm, draft_system, target_system, tokenizer, prm_format)
    return load_models(
        names,
        engine=engine,
        device=device,
        dtype=dtype,
        allow_text_scoring=allow_text_scoring,
        timeout_s=timeout_s,
    )


def stream(
    question: str,
    models: Models,
    method: str | Method | SolveConfig = "specs",
    *,
    chat: Chat = NO_CONTEXT,
    latency_model: LatencyModel | None = None,
    **options: OptionValue,
) -> Stream:
    """Start a solve; iterate over its steps as they are accepted, then read `.result`.

    Args:
        method: a name, a configured method, or a whole `SolveConfig`.
        chat: the turns before the question, and whether a chat template is used.
        latency_model: estimates the time of steps from earlier solves with these models, to plan for a deadline; it
            learns from this solve too. None for a new one.
        options: the keyword arguments of `configure`; not allowed with a `SolveConfig`.

    Raises:
        InputError: a wrong argument or option, or the method needs a model that is not loaded.
    """
    return streams.stream(
        question, models, _configured(method, options), chat=chat, latency_model=latency_model or LatencyModel()
    )


def solve(
    question: str,
    models: Models,
    method: str | Method | SolveConfig = "specs",
    *,
    chat: Chat = NO_CONTEXT,
    latency_model: LatencyModel | None = None,
    **options: OptionValue,
) -> Result:
    """Solve one question; the arguments are those of `stream`."""
    return stream(question, models, method, chat=chat, latency_model=latency_model, **options).result


def astream(
    question: str,
    models: Models,
    method: str | Method | SolveConfig = "specs",
    *,
    chat: Chat = NO_CONTEXT,
    latency_model: LatencyModel | None = None,
    **options: OptionValue,
) -> AsyncStream:
    """`stream` for asyncio: iterate with `async for`, then read `.result`."""
    return AsyncStream(stream(question, models, method, chat=chat, latency_model=latency_model, **options))


async def asolve(
    question: str,
    models: Models,
    method: str | Method | SolveConfig = "specs",
    *,
    chat: Chat = NO_CONTEXT,
    latency_model: LatencyModel | None = None,
    **options: OptionValue,
) -> Result:
    """`solve` for asyncio."""
    running = astream(question, models, method, chat=chat, latency_model=latency_model, **options)
    async for _ in running:
        pass
    assert running.result is not None
    return running.result


def _configured(method: str | Method | SolveConfig, options: dict[str, Any]) -> SolveConfig:
    if not isinstance(method, SolveConfig):
        return configure(method, **options)
    if options:
        raise InputError(f"{', '.join(options)} cannot be combined with a SolveConfig; change the config")
    return method
