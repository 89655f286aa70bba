"""The Python interface: load models once, solve many questions.

from specs import load, solve
models = load()
print(solve("Maya has 12 shells. She buys 3 bags with 5 shells each. How many now?", models).answer)
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Mapping, Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

from specs.bundled.grammar import SCOPE, caveat
from specs.config import SolveConfig, configure
from specs.decoding import stream as streams
from specs.decoding.latency_model import LatencyModel
from specs.decoding.many import Many, failed
from specs.decoding.stream import AsyncStream, Stream
from specs.decoding.threads import ON_SERVERS, cores, in_process, threads_for
from specs.engines.loading import Dtype, Engine, Names, load_models
from specs.engines.protocol import Models
from specs.errors import InputError
from specs.methods import Method
from specs.traces.saved import SavedSolves
from specs.types import NO_CONTEXT, Chat, Result
from specs.types.checks import OptionValue, above, at_least, check_value, shown

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
    prm_format: str = "auto",
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
    check_value("allow_text_scoring", allow_text_scoring, bool)
    names = Names(draft, target, prm, draft_system, target_system, tokenizer, prm_format)
    models = load_models(
        names,
        engine=engine,
        device=device,
        dtype=dtype,
        allow_text_scoring=allow_text_scoring,
        timeout_s=timeout_s,
    )
    return replace(models, scope=SCOPE, caveat=caveat) if "bundled" in (draft, target) else models


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

        with stream("...", models, n=16) as steps:
            for step in steps:
                print(step.text)
        print(steps.result.answer)

    Args:
        method: a name (`specs`, `beam`, ...; `specs methods` lists them), a configured method, or a `SolveConfig`.
        chat: the turns before the question, and whether a chat template is used.
        latency_model: estimates the time of steps from earlier solves with these models, to plan for a deadline; it
            learns from this solve too. None for a new one.
        options: of every method `seed`, `temperature`, `top_p`, `top_k`, `min_p`, `max_steps`, `max_step_tokens`,
            `max_tokens`, `deadline_s`, `delimiter` and `think` (`configure` says what they are), and the method's own
            (`n`, `beta`, `tau`, ...; `specs methods NAME` lists them). Not allowed with a `SolveConfig`.

    Raises:
        InputError: a wrong argument or option, or the method needs a model that is not loaded.
    """
    check_value("latency_model", latency_model, LatencyModel | None)
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
    """Solve one question.

        solve("...", models, "specs", n=16, tau=0.9, seed=1).answer

    Args:
        question, models, method, chat, latency_model: as in `stream`.
        options: of every method `seed`, `temperature`, `top_p`, `top_k`, `min_p`, `max_steps`, `max_step_tokens`,
            `max_tokens`, `deadline_s`, `delimiter` and `think`, and the method's own (`n`, `beta`, `tau`, ...), as in
            `stream`.

    Raises:
        InputError: a wrong argument or option, or the method needs a model that is not loaded.
    """
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
    running = stream(question, models, method, chat=chat, latency_model=latency_model, **options)
    return AsyncStream(running, threads_for(models))


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
    return running.result


class Solved(NamedTuple):
    """One of many solves: the question's id, and the result."""

    id: str
    result: Result


Questions = Iterable[str] | Mapping[str, str] | Iterable[tuple[str, str]]
"""Questions, whose ids are their indices; or ids with questions, as a mapping or as pairs. Read one by one."""


def solve_many(
    questions: Questions,
    models: Models,
    method: str | Method | SolveConfig = "specs",
    *,
    concurrency: int | None = None,
    save: str | Path | None = None,
    latency_model: LatencyModel | None = None,
    **options: OptionValue,
) -> SolveMany:
    """Solve many questions, several at a time; iterate over `Solved(id, result)` as they finish.

        for name, result in tqdm(solve_many(questions, models, save="solves.jsonl")):
            print(name, result.answer, result.error)

    Questions are read when there is a free place, and only running solves are in memory. A question that is refused
    and a solve that fails are results with `error`; the others go on. Every result is the same as that of `solve`,
    whatever the order and the concurrency, unless a deadline cuts it.

    Args:
        concurrency: most solves at the same time, >= 1; None for as many as cores if a model that writes runs in this
            process (more would only slow each other down), else 32. A deadline plans for solves that are alone on
            their models, so with more solves than cores it may be exceeded.
        save: file of JSON lines that takes every solve as a full trace with its `id`. The same call continues where it
            was cut: what is in the file is not solved again, except solves that failed.
        method, latency_model, options: as in `stream`.

    Raises:
        InputError: a wrong argument or option, the method needs a model that is not loaded, or `save` cannot be used or
            holds another question or other settings under an id.
    """
    check_value("models", models, Models)
    config = _configured(method, options)
    models.require(config.method, config.sampling)
    check_value("concurrency", concurrency, int | None, at_least(1))
    if isinstance(questions, str):
        raise InputError("questions is one text; give a list of questions, or use solve")
    check_value("questions", questions, Iterable)
    check_value("save", save, str | Path | None)
    check_value("latency_model", latency_model, LatencyModel | None)
    places = concurrency or (cores() if in_process(models) else min(32, ON_SERVERS))
    return SolveMany(questions, models, config, places, Path(save) if save else None, latency_model or LatencyModel())


async def asolve_many(
    questions: Questions,
    models: Models,
    method: str | Method | SolveConfig = "specs",
    *,
    concurrency: int | None = None,
    save: str | Path | None = None,
    latency_model: LatencyModel | None = None,
    **options: OptionValue,
) -> AsyncIterator[Solved]:
    """`solve_many` for asyncio: iterate with `async for`; leaving the iteration cancels what runs."""
    solves = solve_many(
        questions, models, method, concurrency=concurrency, save=save, latency_model=latency_model, **options
    )
    following, loop = iter(solves), asyncio.get_running_loop()
    with ThreadPoolExecutor(1, thread_name_prefix="specs-many") as thread:
        try:
            while (solved := await loop.run_in_executor(thread, next, following, None)) is not None:
                yield solved
        finally:
            solves.cancel()
            await loop.run_in_executor(thread, following.close)


class SolveMany:
    """The solves of `solve_many`: iterate over them once."""

    def __init__(
        self,
        questions: Questions,
        models: Models,
        config: SolveConfig,
        concurrency: int,
        save: Path | None,
        latency_model: LatencyModel,
    ) -> None:
        self._questions, self._save = questions, save
        self._models, self._config, self._latency_model = models, config, latency_model
        self._many = Many(self._named(), self._start, self._failed, concurrency)
        self._saved: SavedSolves | None = None
        self._from_file: set[str] = set()

    def __len__(self) -> int:
        """The number of questions; `TypeError` if they have no length."""
        if not isinstance(self._questions, Sized):
            raise TypeError("these questions have no length")
        return len(self._questions)

    def cancel(self) -> None:
        """Start no more solves and cancel those that run, from any thread; the iteration then ends."""
        self._many.cancel()

    def __iter__(self) -> Generator[Solved]:
        self._saved = SavedSolves(self._save) if self._save is not None else None
        try:
            for (name, _), result in self._many:
                if name in self._from_file:
                    self._from_file.discard(name)
                elif self._saved is not None:
                    self._saved.add(name, result)
                yield Solved(name, result)
        finally:
            if self._saved is not None:
                self._saved.close()

    def _named(self) -> Iterator[tuple[str, str]]:
        """Ids and questions, one by one."""
        given = cast(Any, self._questions)  # whatever the caller gave
        for index, one in enumerate(given.items() if hasattr(given, "items") else given):
            if not isinstance(one, tuple):
                yield str(index), one
                continue
            pair = cast(tuple[Any, ...], one)
            if len(pair) != 2 or not isinstance(pair[0], str):
                raise InputError(f"questions has {shown(pair)} at {index}; give a question, or (id, question) as text")
            yield pair[0], pair[1]

    def _start(self, item: tuple[str, str]) -> Stream | Result:
        name, question = item
        if self._saved is not None and (found := self._saved.get(name, question, self._config)) is not None:
            self._from_file.add(name)
            return found
        try:
            return stream(question, self._models, self._config, latency_model=self._latency_model)
        except InputError as error:
            return self._failed(item, str(error))

    def _failed(self, item: tuple[str, str], error: str) -> Result:
        return failed(str(item[1]), self._config, error)


def _configured(method: str | Method | SolveConfig, options: dict[str, Any]) -> SolveConfig:
    if not isinstance(method, SolveConfig):
        return configure(method, **options)
    if options:
        raise InputError(f"{', '.join(options)} cannot be combined with a SolveConfig; change the config")
    return method
