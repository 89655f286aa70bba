"""A vLLM server: what it can do, found out once, and the requests that a solve makes of it.

Token ids go out and come back; text is never sent. Every sampling parameter that a model's own
generation_config could change is set, or the tokens would follow another law.
"""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from specs.errors import EngineError, InputError, ModelError
from specs.models.remote.client import Client, Refused, together
from specs.types import Law
from specs.vllm_plugins.scoring import METRIC, START

GENERATE = "/inference/v1/generate"
NEUTRAL = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
"""Switches off what generation_config.json may have switched on."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a server is.

    Attributes:
        model: name that requests carry.
        root: where the server read the model from: a folder of its machine, or a hub id.
        context: most tokens of a sequence.
        block_size: tokens of a block of its cache; only whole blocks are found again. 0 if unknown.
        prefix_cache: whether it finds beginnings again at all.
        recurrent: whether the model keeps a state that every token overwrites, in some layers or in all.
        generates: whether it writes text; a pooling server does not.
        scale_out: whether /inference/v1/generate is there (--enable-scale-out).
        v2: whether its model runner V2 scores given tokens from a given row on, which needs `scale_out`.
        plugin: whether `specs.vllm_plugins.scoring` runs in it.
        processed: whether log-probabilities of sampled tokens follow the request's temperature and top-p.
    """

    version: str
    model: str
    root: str
    context: int
    block_size: int
    prefix_cache: bool
    recurrent: bool
    generates: bool
    scale_out: bool
    v2: bool
    plugin: bool
    processed: bool

    @property
    def raw_scores(self) -> bool:
        """Whether log-probabilities of given tokens are at temperature 1 whatever the law."""
        return not (self.processed and self.plugin)

    def raw(self, role: str) -> bool:
        """Whether the log-probabilities that a draft or a target needs are at temperature 1 whatever the law."""
        return self.raw_scores if role == "target" else not self.processed

    @property
    def suffix(self) -> bool:
        """Whether scoring reads the prefix from the cache."""
        return self.prefix_cache and (self.v2 or (self.scale_out and self.plugin))


@dataclass(frozen=True, slots=True)
class Drawn:
    """One sampled continuation and the log-probability of each of its tokens, in nats."""

    token_ids: tuple[int, ...]
    log_probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """Token positions of a request: computed, and read from the cache."""

    processed: int
    cached: int


@dataclass(frozen=True)
class Server:
    """One server that runs a language model."""

    client: Client
    facts: Facts

    async def sample(self, prompt: Sequence[int], law: Law, cap: int, seed: int) -> tuple[Drawn, Tally]:
        """A continuation of at most `cap` tokens, ended by end-of-text or by the first delimiter.

        `n` continuations are `n` requests: each can be worked on when it ends, and says by itself what
        was cached. What vLLM makes of one request with `n` is the same, seeds included.
        """
        stop = law.steps.delimiter if law.steps.pattern is None else None
        body = {
            **NEUTRAL,
            "model": self.facts.model,
            "prompt": list(prompt),
            "seed": seed,
            "temperature": law.temperature,
            "top_p": law.top_p,
            "max_tokens": cap,
            "stop": [] if stop is None else [stop],
            "include_stop_str_in_output": True,
            "logprobs": 0,
            "return_token_ids": True,
        }
        answer = await self.client.post("/v1/completions", body)
        choice = _at(answer, "choices")[0]
        drawn = Drawn(tuple(_at(choice, "token_ids")), tuple(map(_log, _at(choice, "logprobs")["token_logprobs"])))
        fresh, cached = _prompt(answer)
        return drawn, Tally(fresh + len(drawn.token_ids) - 1, cached)  # the last token is drawn, not run

    async def score(self, prompt: Sequence[int], path: Sequence[int], law: Law) -> tuple[list[float], Tally]:
        """Log-probability of each token of `path` after `prompt`, in nats; under `law` unless `facts.raw_scores`."""
        if self.facts.v2:
            return await self._score_rows(prompt, path, law)
        whole, first = [*prompt, *path], len(prompt)
        params = {**self._scoring(first, law), "prompt_logprobs": 0}
        if self.facts.suffix:
            params["skip_reading_prefix_cache"] = False
        if self.facts.scale_out:
            body = {"model": self.facts.model, "token_ids": whole, "sampling_params": params}
            answer = await self.client.post(GENERATE, body)
            rows = _at(answer, "prompt_logprobs")
        else:
            answer = await self.client.post("/v1/completions", {**params, "model": self.facts.model, "prompt": whole})
            rows = _at(_at(answer, "choices")[0], "prompt_logprobs")
        fresh, cached = _prompt(answer)
        pairs = [(str(token), row or {}) for token, row in zip(path, rows[first:], strict=False)]
        if len(rows) != len(whole) or cached >= first or any(token not in row for token, row in pairs):
            raise EngineError(f"{self.client.url} scored other tokens than it was given; see its log")
        return [_log(row[token]["logprob"]) for token, row in pairs], Tally(fresh, cached)

    def _scoring(self, first: int, law: Law) -> dict[str, Any]:
        """Parameters of a request that scores the tokens from place `first` on."""
        params: dict[str, Any] = {**NEUTRAL, "max_tokens": 1, "detokenize": False}
        if not self.facts.raw_scores:
            params |= {"temperature": law.temperature, "top_p": law.top_p}
        if self.facts.plugin and self.facts.suffix:
            params["extra_args"] = {START: first}
        return params

    async def _score_rows(self, prompt: Sequence[int], path: Sequence[int], law: Law) -> tuple[list[float], Tally]:
        """On model runner V2: exactly the rows that are wanted, read behind the cached prefix.

        Rows of cached blocks are not there. Without the plugin, a prefix that ends with a block may be cached
        whole, with the row that the first token is read from: that token is then asked for as the next one.
        """
        block = 0 if self.facts.plugin else self.facts.block_size
        at = int(block > 0 and len(prompt) % block == 0)
        parts = [self.labelled(prompt, path[:at])] if at else []
        if len(path) > at:
            parts.append(self._rows([*prompt, *path[:at]], path[at:], law))
        answers = await together(parts)
        found = [value for values, _ in answers for value in values]
        return found, Tally(sum(tally.processed for _, tally in answers), sum(tally.cached for _, tally in answers))

    async def _rows(self, prompt: Sequence[int], path: Sequence[int], law: Law) -> tuple[list[float], Tally]:
        """Log-probability of each token of `path`; the whole is computed where the cache holds its beginning too."""
        params = {
            **self._scoring(len(prompt), law),
            "prompt_logprob_token_ids": [[token] for token in path],
            "prompt_logprob_start": len(prompt) - 1,
        }
        fresh = cached = 0
        for skip in (False, True):
            body = {
                "model": self.facts.model,
                "token_ids": [*prompt, *path],
                "sampling_params": {**params, "skip_reading_prefix_cache": skip},
            }
            answer = await self.client.post(GENERATE, body)
            computed, read = _prompt(answer)
            fresh, cached = fresh + computed, cached + read
            if packed := answer.get("prompt_token_id_logprobs"):
                rows = np.load(io.BytesIO(base64.b64decode(packed)), allow_pickle=False)
                return rows[:, 0].tolist(), Tally(fresh, cached)
        raise EngineError(f"{self.client.url} scored nothing; see its log")

    async def pooled(self, sequence: Sequence[int]) -> tuple[list[float], Tally]:
        """Probability of each label after a whole sequence, of a pooling server.

        Servers that pool the last token (`--pooler-config '{"task": "classify"}'`) read beginnings from
        their cache; those that pool every token compute all of it, and their last row is taken. Neither
        says what it had cached, so all counts as computed.
        """
        answer = await self.client.post("/pooling", {"model": self.facts.model, "input": [list(sequence)]})
        row = _at(answer, "data")[0]["data"]
        return row[-1] if isinstance(row[0], list) else row, Tally(*_prompt(answer))

    async def labelled(self, prompt: Sequence[int], labels: Sequence[int]) -> tuple[list[float], Tally]:
        """Log-probability of each of `labels` as the token after `prompt`, in nats."""
        body = {
            **NEUTRAL,
            "model": self.facts.model,
            "prompt": list(prompt),
            "max_tokens": 1,
            "temperature": 1.0,
            "top_p": 1.0,
            "seed": 0,
            "logprobs": len(labels),
            "logprob_token_ids": list(labels),
            "return_tokens_as_token_ids": True,
        }
        answer = await self.client.post("/v1/completions", body)
        (row,) = _at(_at(answer, "choices")[0], "logprobs")["top_logprobs"]
        return [row[f"token_id:{label}"] for label in labels], Tally(*_prompt(answer))

    async def next_token(self, prompt: Sequence[int]) -> tuple[int, Tally]:
        """The most likely token after `prompt`."""
        drawn, tally = await self.sample(prompt, Law(temperature=0.0), 1, 0)
        return drawn.token_ids[0], tally


async def connect(url: str, api_key: str | None, timeout_s: float) -> Server:
    """Find out what runs at `url`; `url#name` names one of several models there.

    Raises:
        InputError: no such model there.
        EngineError: nothing answers, or it is no vLLM.
    """
    address, _, wanted = url.partition("#")
    client = Client(address.rstrip("/").removesuffix("/v1"), api_key, timeout_s)
    models = (await _json(client, "/v1/models"))["data"]
    named = [one for one in models if wanted in ("", one["id"])]
    if not named:
        raise InputError(f"{address} serves {', '.join(one['id'] for one in models)}, not {wanted}")
    entry = named[0]
    version = (await _json(client, "/version")).get("version", "unknown")
    metrics = (await client.get("/metrics")).text
    config = re.search(r"vllm:cache_config_info\{(.*)\}", metrics)
    cache: dict[str, str] = dict(re.findall(r'(\w+)="([^"]*)"', config[1])) if config else {}
    model = entry["id"]
    scale_out = GENERATE in (await _json(client, "/openapi.json")).get("paths", {})
    processed = await _is_processed(client, model)
    facts = Facts(
        version=version,
        model=model,
        root=entry.get("root") or model,
        context=entry.get("max_model_len") or 0,
        block_size=int(size) if (size := cache.get("block_size", "")).isdigit() else 0,
        prefix_cache=cache.get("enable_prefix_caching") != "False",
        recurrent=cache.get("mamba_block_size", "None") != "None",
        generates=processed is not None,
        scale_out=scale_out,
        v2=scale_out and processed is not None and await _is_v2(client, model),
        plugin=re.search(rf"^{METRIC}(\{{[^}}]*\}})? 1", metrics, re.MULTILINE) is not None,
        processed=bool(processed),
    )
    if not facts.context:
        raise ModelError(f"{address}: {model} does not say how long its context is; is it vLLM?")
    return Server(client, facts)


async def _json(client: Client, path: str) -> dict[str, Any]:
    try:
        return (await client.get(path)).json()
    except ValueError:
        raise EngineError(f"{client.url}{path} answered with something that is no JSON; is it vLLM?") from None


async def _is_v2(client: Client, model: str) -> bool:
    params = {"max_tokens": 1, "prompt_logprob_token_ids": [[0]]}
    try:
        await client.post(GENERATE, {"model": model, "token_ids": [0, 0], "sampling_params": params})
    except Refused:
        return False
    return True


async def _is_processed(client: Client, model: str) -> bool | None:
    """Whether the only token that is allowed has probability 1; None where no tokens are written."""
    body = {"model": model, "prompt": [0], "max_tokens": 1, "logprobs": 0, "allowed_token_ids": [0]}
    try:
        answer = await client.post("/v1/completions", body)
    except Refused:
        return None
    return _at(_at(answer, "choices")[0], "logprobs")["token_logprobs"][0] == 0.0


def _prompt(answer: dict[str, Any]) -> tuple[int, int]:
    """Tokens of the prompt that were computed and that were cached.

    A server that does not say (--enable-prompt-tokens-details) counts as having computed all.
    """
    usage = _at(answer, "usage")
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return usage["prompt_tokens"] - cached, cached


def _log(value: float) -> float:
    """A log-probability, of which JSON holds -9999 for minus infinity."""
    return -math.inf if value <= -9999.0 else float(value)


def _at(answer: dict[str, Any], name: str) -> Any:
    """A field that vLLM's answers have."""
    if answer.get(name) is None:
        raise EngineError(f"the server's answer has no {name!r}; is it vLLM 0.32 or newer?")
    return answer[name]
