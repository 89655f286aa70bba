"""A vLLM server, and the requests that a solve sends to it.

Requests and answers carry token ids, never text. Every request sets all sampling parameters that a model's own
generation_config could change; otherwise the tokens would follow another distribution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from specs.engines.vllm.answers import Field
from specs.engines.vllm.client import Client, gather
from specs.engines.vllm.facts import GENERATE, Facts, facts_of
from specs.errors import EngineError
from specs.types import SamplingParams
from specs.vllm_plugins.scoring import START

NEUTRAL = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
"""Turns off everything that generation_config.json may turn on."""
NO_BIAS: Mapping[str, float] = {}


@dataclass(frozen=True, slots=True)
class Drawn:
    """One sampled continuation and the log-probability of each of its tokens, in nats."""

    token_ids: tuple[int, ...]
    log_probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """Token positions of a request: those that the server computed, and those that it read from its cache."""

    processed: int
    cached: int


@dataclass(frozen=True)
class Server:
    """One server that runs a language model."""

    client: Client
    facts: Facts

    async def sample(
        self, prompt: Sequence[int], sampling: SamplingParams, cap: int, seed: int, bias: Mapping[str, float] = NO_BIAS
    ) -> tuple[Drawn, Tally]:
        """Sample a continuation of at most `cap` tokens, which ends at end-of-text or at the first delimiter.

        The server adds `bias` to the logits of tokens, by id.

        `n` continuations are `n` requests: the session can use each one as it ends, and each reports its own cached
        tokens. One request for `n` continuations would give the same tokens from the same seeds.
        """
        stop = sampling.steps.delimiter if sampling.steps.pattern is None else None
        body: dict[str, Any] = {
            **NEUTRAL,
            "model": self.facts.model,
            "prompt": list(prompt),
            "seed": seed,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": cap,
            "stop": [] if stop is None else [stop],
            "include_stop_str_in_output": True,
            "logprobs": 0,
            "return_token_ids": True,
        }
        if bias:
            body["logit_bias"] = dict(bias)
        answer = await self._post("/v1/completions", body)
        choice = answer["choices"][0]
        ids = [token.count() for token in choice["token_ids"].items()]
        logs = choice["logprobs"]["token_logprobs"].items(len(ids))
        drawn = Drawn(tuple(ids), tuple(log.log_probability_of_sample() for log in logs))
        fresh, cached = _prompt(answer)
        return drawn, Tally(fresh + len(drawn.token_ids) - 1, cached)  # the model has not processed the last token

    async def score(
        self, prompt: Sequence[int], path: Sequence[int], sampling: SamplingParams
    ) -> tuple[list[float], Tally]:
        """Log-probability of each token of `path` after `prompt`, in nats (`sampling` unless `facts.raw_scores`)."""
        if self.facts.v2:
            return await self._score_rows(prompt, path, sampling)
        whole, first = [*prompt, *path], len(prompt)
        params = {**self._scoring(first, sampling), "prompt_logprobs": 0}
        if self.facts.suffix:
            params["skip_reading_prefix_cache"] = False
        if self.facts.scale_out:
            body = {"model": self.facts.model, "token_ids": whole, "sampling_params": params}
            answer = await self._post(GENERATE, body)
            rows = answer["prompt_logprobs"]
        else:
            answer = await self._post("/v1/completions", {**params, "model": self.facts.model, "prompt": whole})
            rows = answer["choices"][0]["prompt_logprobs"]
        fresh, cached = _prompt(answer)
        wanted = list(zip(map(str, path), rows.items(len(whole), first), strict=True))
        if cached >= first or any(row.value is not None and row.find(token) is None for token, row in wanted):
            raise EngineError(f"{self.client.url} scored other tokens than it was given; see its log")
        return [row[token]["logprob"].log_probability() for token, row in wanted], Tally(fresh, cached)

    def _scoring(self, first: int, sampling: SamplingParams) -> dict[str, Any]:
        """Parameters of a request that scores the tokens from index `first` on."""
        params: dict[str, Any] = {**NEUTRAL, "max_tokens": 1, "detokenize": False}
        if not self.facts.raw_scores:
            params |= {"temperature": sampling.temperature, "top_p": sampling.top_p}
        if self.facts.plugin and self.facts.suffix:
            params["extra_args"] = {START: first}
        return params

    async def _score_rows(
        self, prompt: Sequence[int], path: Sequence[int], sampling: SamplingParams
    ) -> tuple[list[float], Tally]:
        """`score` on model runner V2, which returns exactly the wanted rows after the cached prefix.

        It returns no rows of cached blocks. Without the plugin, the server may have cached all of a prefix that ends
        at the end of a block, and with it the row that scores the first token of `path`. Another request then scores
        that token, as the next one after the prefix.
        """
        block = 0 if self.facts.plugin else self.facts.block_size
        at = int(block > 0 and len(prompt) % block == 0)
        parts = [self.labelled(prompt, path[:at])] if at else []
        if len(path) > at:
            parts.append(self._rows([*prompt, *path[:at]], path[at:], sampling))
        answers = await gather(parts)
        found = [value for values, _ in answers for value in values]
        return found, Tally(sum(tally.processed for _, tally in answers), sum(tally.cached for _, tally in answers))

    async def _rows(
        self, prompt: Sequence[int], path: Sequence[int], sampling: SamplingParams
    ) -> tuple[list[float], Tally]:
        """Log-probability of each token of `path`; if the cache hides a row, the server computes everything again."""
        params = {
            **self._scoring(len(prompt), sampling),
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
            answer = await self._post(GENERATE, body)
            computed, read = _prompt(answer)
            fresh, cached = fresh + computed, cached + read
            if (rows := answer.find("prompt_token_id_logprobs")) is not None:
                return rows.packed_log_probabilities(len(path)), Tally(fresh, cached)
        raise EngineError(f"{self.client.url} scored nothing; see its log")

    async def pooled(self, sequence: Sequence[int]) -> tuple[list[float], Tally]:
        """Probability of each label after a whole sequence, on a pooling server.

        Servers that pool the last token (`--pooler-config '{"task": "classify"}'`) reuse cached prefixes. Servers that
        pool every token compute the whole sequence, and the last row of their answer counts. Neither reports its cached
        tokens, so all tokens count as computed.
        """
        answer = await self._post("/pooling", {"model": self.facts.model, "input": [list(sequence)]})
        row = answer["data"][0]["data"]
        if isinstance(row[0].value, list):
            row = row.items()[-1]
        labels = [label.probability() for label in row.items()]
        if len(labels) not in (1, 2):
            raise EngineError(f"{self.client.url}: {row.path} has {len(labels)} labels: a reward head has one or two")
        return labels, Tally(*_prompt(answer))

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
        answer = await self._post("/v1/completions", body)
        (row,) = answer["choices"][0]["logprobs"]["top_logprobs"].items(1)
        return [row[f"token_id:{label}"].log_probability() for label in labels], Tally(*_prompt(answer))

    async def next_token(self, prompt: Sequence[int], bias: Mapping[str, float] = NO_BIAS) -> tuple[int, Tally]:
        """The most likely token after `prompt`; for `bias` see `sample`."""
        drawn, tally = await self.sample(prompt, SamplingParams(temperature=0.0), 1, 0, bias)
        if not drawn.token_ids:
            raise EngineError(f"{self.client.url} sampled no token; see its log")
        return drawn.token_ids[0], tally

    async def _post(self, path: str, body: dict[str, Any]) -> Field:
        return Field(self.client.url, await self.client.post(path, body))


async def connect(url: str, api_key: str | None, timeout_s: float) -> Server:
    """Connect to the server at `url`; `url#name` names one of its models.

    Raises:
        InputError: the server has no such model.
        ModelError: the model states no context.
        EngineError: nothing answers, or it is not vLLM.
    """
    address, _, wanted = url.partition("#")
    client = Client(address.rstrip("/").removesuffix("/v1"), api_key, timeout_s)
    return Server(client, await facts_of(client, wanted))


def _prompt(answer: Field) -> tuple[int, int]:
    """The computed and the cached tokens of the prompt.

    If the server does not report them (--enable-prompt-tokens-details), all count as computed.
    """
    usage = answer["usage"]
    details = usage.find("prompt_tokens_details")
    found = None if details is None else details.find("cached_tokens")
    tokens, cached = usage["prompt_tokens"].count(), 0 if found is None else found.count()
    if cached > tokens:
        raise EngineError(f"{answer.url} says that {cached} of {tokens} tokens were cached; see its log")
    return tokens - cached, cached
