"""A vLLM server, and the requests that a solve sends to it.

Requests and answers carry token ids, never text. Every request sets all sampling parameters that a model's own
generation_config could change; otherwise the tokens would follow another distribution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from specs.engines.event_loop import gather
from specs.engines.vllm.answers import Field
from specs.engines.vllm.client import MISSES, Client
from specs.engines.vllm.facts import GENERATE, Facts, facts_of
from specs.engines.vllm.tally import Tally, tally_of
from specs.errors import EngineError, InputError
from specs.types import SamplingParams
from specs.vllm_plugins.scoring import START

NEUTRAL: Mapping[str, float] = {
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
"""Turns off everything that generation_config.json may turn on; a law with filters turns those on again."""
NO_BIAS: Mapping[str, float] = {}


@dataclass(frozen=True, slots=True)
class Drawn:
    """One sampled continuation and the log-probability of each of its tokens, in nats; None if not asked for."""

    token_ids: tuple[int, ...]
    log_probabilities: tuple[float, ...] | None


@dataclass(frozen=True)
class Server:
    """One server that runs a language model."""

    client: Client
    facts: Facts

    async def sample(
        self,
        prompt: Sequence[int],
        sampling: SamplingParams,
        cap: int,
        seed: int,
        n: int = 1,
        bias: Mapping[str, float] = NO_BIAS,
        log_probabilities: bool = True,
        stop_ids: Sequence[int] = (),
    ) -> tuple[list[Drawn], Tally]:
        """Sample `n` continuations of at most `cap` tokens.

        They end at end-of-text, at the first delimiter, or at a token of `stop_ids`, which is their last one.

        The server gives continuation `i` the seed `seed + i`, and adds `bias` to the logits of tokens, by id.
        Log-probabilities cost it time; without them it cannot show that its model's numbers are NaN.
        """
        stop = sampling.steps.delimiter if sampling.steps.pattern is None else None
        body: dict[str, Any] = {
            "prompt": list(prompt),
            "n": n,
            "seed": seed,
            "temperature": sampling.temperature,
            **_filters(sampling),
            "max_tokens": cap,
            "stop": [] if stop is None else [stop],
            "stop_token_ids": list(stop_ids),
            "include_stop_str_in_output": True,
            "return_token_ids": True,
            **({"logprobs": 0} if log_probabilities else {}),
        }
        answer, choices = await self._completions(body, n, bias)
        drawn = [_drawn(choice, log_probabilities) for choice in choices]
        tally = self._tally(answer, [prompt], n)
        later = sum(len(one.token_ids) - 1 for one in drawn)  # the model has not processed the last token
        return drawn, Tally(tally.processed + later, tally.cached)

    async def score(
        self, prompt: Sequence[int], paths: Sequence[Sequence[int]], sampling: SamplingParams
    ) -> tuple[list[list[float]], Tally]:
        """Log-probability of each token of each path after `prompt`, in nats (`sampling` unless `facts.raw_scores`).

        All paths are scored by one request, or by one each if `facts.scores_singly`.

        Raises:
            InputError: `sampling` has `top_k` or `min_p`, under which this server does not score.
        """
        if self.facts.scores_singly:
            one = self._score_rows if self.facts.v2 else self._score_one
            found = await gather(one(prompt, path, sampling) for path in paths)
            return [scores for scores, _ in found], Tally.total(tally for _, tally in found)
        whole, first = [[*prompt, *path] for path in paths], len(prompt)
        body: dict[str, Any] = {"prompt": whole, "max_tokens": 1, "prompt_logprobs": 0, **_scoring_law(self, sampling)}
        unscored = first
        if self.facts.lists:
            body["vllm_xargs"] = {START: first}
            unscored = 1  # the answer begins with null, as if `prompt` were one token
        answer, choices = await self._completions(body, len(paths))
        tally = self._tally(answer, whole)
        if tally.cached > len(paths) * (first - 1):
            raise _other_tokens(answer)
        rows = [choice["prompt_logprobs"] for choice in choices]
        return [_scores(*pair, unscored) for pair in zip(rows, paths, strict=True)], tally

    def _single(self, first: int, sampling: SamplingParams) -> dict[str, Any]:
        """Parameters of a request that scores the tokens of one sequence from index `first` on."""
        start = {"extra_args": {START: first}} if self.facts.plugin else {}
        return {**NEUTRAL, "max_tokens": 1, "detokenize": False, **_scoring_law(self, sampling), **start}

    async def _score_one(
        self, prompt: Sequence[int], path: Sequence[int], sampling: SamplingParams
    ) -> tuple[list[float], Tally]:
        """`score` with the first version of the plugin on model runner V1."""
        params = {
            **self._single(len(prompt), sampling),
            "prompt_logprobs": 0,
            "skip_reading_prefix_cache": False,
        }
        body = {"model": self.facts.model, "token_ids": [*prompt, *path], "sampling_params": params}
        answer = await self._post(GENERATE, body)
        tally = self._tally(answer, [[*prompt, *path]])
        if tally.cached >= len(prompt):
            raise _other_tokens(answer)
        return _scores(answer["prompt_logprobs"], path, len(prompt)), tally

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
        parts = [self._score_next(prompt, path[0])] if at else []
        if len(path) > at:
            parts.append(self._rows([*prompt, *path[:at]], path[at:], sampling))
        answers = await gather(parts)
        return [value for values, _ in answers for value in values], Tally.total(tally for _, tally in answers)

    async def _score_next(self, prompt: Sequence[int], token: int) -> tuple[list[float], Tally]:
        (scores,), tally = await self.labelled([prompt], [token])
        return scores, tally

    async def _rows(
        self, prompt: Sequence[int], path: Sequence[int], sampling: SamplingParams
    ) -> tuple[list[float], Tally]:
        """Log-probability of each token of `path`; if the cache hides a row, the server computes everything again."""
        params = {
            **self._single(len(prompt), sampling),
            "prompt_logprob_token_ids": [[token] for token in path],
            "prompt_logprob_start": len(prompt) - 1,
        }
        whole, tallies = [*prompt, *path], list[Tally]()
        for skip in (False, True):
            body = {
                "model": self.facts.model,
                "token_ids": whole,
                "sampling_params": {**params, "skip_reading_prefix_cache": skip},
            }
            answer = await self._post(GENERATE, body)
            tallies.append(self._tally(answer, [whole]))
            if (rows := answer.find("prompt_token_id_logprobs")) is not None:
                return rows.packed_log_probabilities(len(path)), Tally.total(tallies)
        raise EngineError(f"{self.client.url} scored nothing; see its log")

    async def pooled(self, sequences: Sequence[Sequence[int]]) -> tuple[list[list[float]], Tally]:
        """Probability of each label after each whole sequence, on a pooling server.

        Servers that pool the last token (`--pooler-config '{"task": "classify"}'`) reuse cached prefixes. Servers that
        pool every token compute the whole sequence, and the last row of their answer counts. Neither reports its cached
        tokens, so all tokens count as computed.
        """
        answer = await self._post("/pooling", {"model": self.facts.model, "input": [list(one) for one in sequences]})
        found = [_labels(entry["data"]) for entry in answer["data"].in_order(len(sequences))]
        return found, self._tally(answer, sequences)

    async def labelled(
        self, prompts: Sequence[Sequence[int]], labels: Sequence[int]
    ) -> tuple[list[list[float]], Tally]:
        """Log-probability of each of `labels` as the token after each prompt, in nats."""
        body = {
            "prompt": [list(prompt) for prompt in prompts],
            "max_tokens": 1,
            "temperature": 1.0,
            "top_p": 1.0,
            "seed": 0,
            "logprobs": len(labels),
            "logprob_token_ids": list(labels),
            "return_tokens_as_token_ids": True,
        }
        answer, choices = await self._completions(body, len(prompts))
        rows = [choice["logprobs"]["top_logprobs"].items(1)[0] for choice in choices]
        found = [[row[f"token_id:{label}"].log_probability() for label in labels] for row in rows]
        return found, self._tally(answer, prompts)

    async def next_tokens(
        self, prompts: Sequence[Sequence[int]], bias: Mapping[str, float] = NO_BIAS
    ) -> tuple[list[int], Tally]:
        """The most likely token after each prompt; for `bias` see `sample`."""
        body = {
            "prompt": [list(prompt) for prompt in prompts],
            "max_tokens": 1,
            "temperature": 0.0,
            "top_p": 1.0,
            "logprobs": 0,  # so that NaN is an error
            "return_token_ids": True,
        }
        answer, choices = await self._completions(body, len(prompts), bias)
        tokens = [token for choice in choices for token in _drawn(choice).token_ids[:1]]
        if len(tokens) < len(prompts):
            raise EngineError(f"{self.client.url} sampled no token; see its log")
        return tokens, self._tally(answer, prompts)

    async def _completions(
        self, body: dict[str, Any], choices: int, bias: Mapping[str, float] = NO_BIAS
    ) -> tuple[Field, list[Field]]:
        """The answer of /v1/completions, and its choices: prompt by prompt, and for each prompt seed by seed."""
        body = {**NEUTRAL, "model": self.facts.model, **body}
        if bias:
            body["logit_bias"] = dict(bias)
        answer = await self._post("/v1/completions", body)
        return answer, answer["choices"].in_order(choices)

    def _tally(self, answer: Field, prompts: Sequence[Sequence[int]], n: int = 1) -> Tally:
        return tally_of(answer, self.facts.block_size, prompts, n)

    async def _post(self, path: str, body: dict[str, Any]) -> Field:
        return Field(self.client.url, await self.client.post(path, body))


def _filters(sampling: SamplingParams) -> dict[str, float]:
    """The filters of a law as fields of a request."""
    return {"top_p": sampling.top_p, "top_k": sampling.top_k, "min_p": sampling.min_p}


def _scoring_law(server: Server, sampling: SamplingParams) -> dict[str, float]:
    """The parameters of the law under which a server scores; none if it scores at temperature 1 only."""
    if sampling.cuts and not server.facts.scores_filters:
        raise InputError(
            f"{server.client.url} does not score under top_k or min_p; score under sampling.scored, "
            "or start it with --logprobs-mode processed_logprobs and this version of specs-llm beside vLLM"
        )
    return {} if server.facts.raw_scores else {"temperature": sampling.temperature, **_filters(sampling)}


def client_of(url: str, api_key: str | None, timeout_s: float, misses: int = MISSES) -> tuple[Client, str]:
    """The client of the server at `url`, and the model that `url#name` names; empty for the first."""
    address, _, wanted = url.partition("#")
    return Client(address.rstrip("/").removesuffix("/v1"), api_key, timeout_s, misses), wanted


async def connect(url: str, api_key: str | None, timeout_s: float) -> Server:
    """Connect to the server at `url`; `url#name` names one of its models.

    Raises:
        InputError: the server has no such model.
        ModelError: the model states no context.
        EngineError: nothing answers, or it is not vLLM.
    """
    client, wanted = client_of(url, api_key, timeout_s)
    return Server(client, await facts_of(client, wanted))


def _drawn(choice: Field, log_probabilities: bool = True) -> Drawn:
    """The tokens of a choice and their log-probabilities."""
    ids = [token.count() for token in choice["token_ids"].items()]
    if not log_probabilities:
        return Drawn(tuple(ids), None)
    logs = choice["logprobs"]["token_logprobs"].items(len(ids))
    return Drawn(tuple(ids), tuple(log.log_probability_of_sample() for log in logs))


def _labels(row: Field) -> list[float]:
    if isinstance(row[0].value, list):
        row = row.items()[-1]
    labels = [label.probability() for label in row.items()]
    if len(labels) not in (1, 2):
        raise EngineError(f"{row.url}: {row.path} has {len(labels)} labels: a reward head has one or two")
    return labels


def _scores(rows: Field, path: Sequence[int], unscored: int) -> list[float]:
    """The scores of a path from an answer's rows, of which the first ones are of other tokens."""
    wanted = list(zip(map(str, path), rows.items(unscored + len(path), unscored), strict=True))
    if any(row.value is not None and row.find(token) is None for token, row in wanted):
        raise _other_tokens(rows)
    return [row[token]["logprob"].log_probability() for token, row in wanted]


def _other_tokens(answer: Field) -> EngineError:
    return EngineError(f"{answer.url} scored other tokens than it was given; see its log")
