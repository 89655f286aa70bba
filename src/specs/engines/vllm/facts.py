"""What a vLLM server can do. The client asks once, when it connects."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from specs.engines.vllm.answers import Field
from specs.engines.vllm.client import Client, Refused
from specs.errors import EngineError, InputError, ModelError
from specs.vllm_plugins.padding import CUTS
from specs.vllm_plugins.scoring import FILTERS, LISTS, METRIC

GENERATE = "/inference/v1/generate"

_NO_TOKEN = 1 << 40
"""An id beyond every vocabulary."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The properties of a server.

    Attributes:
        model: model name for requests.
        root: what the server loaded the model from: a folder on its machine, or a hub id.
        context: largest number of tokens of a sequence.
        block_size: tokens per block of its cache; only whole blocks are reused. 0 if unknown.
        prefix_cache: whether it caches prefixes.
        recurrent: whether the model keeps a state that every token overwrites, in some layers or in all.
        generates: whether it writes text; a pooling server does not.
        scale_out: whether it has /inference/v1/generate (--enable-scale-out).
        v2: whether it has model runner V2, which scores given tokens from a given row on and needs `scale_out`.
        plugin: whether `specs.vllm_plugins.scoring` runs in it.
        processed: whether log-probabilities of sampled tokens follow the request's temperature and filters.
        rows: output rows of its model, including padding; 0 if unknown.
        cuts_padding: whether `specs.vllm_plugins.padding` runs in it, so that padding has probability 0.
        lists: whether the scoring plugin takes several sequences in a request; its first version did not.
        filters: whether the scoring plugin knows `top_k` and `min_p`; its first two versions did not.
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
    rows: int = 0
    cuts_padding: bool = False
    lists: bool = False
    filters: bool = False

    @property
    def vocabulary(self) -> float:
        """The model reads token ids below this."""
        return self.rows or math.inf

    def padding(self, tokens: int) -> range:
        """Ids of the padding rows, which begin at `tokens`, that may have a probability above 0."""
        return range(tokens, tokens if self.cuts_padding else max(self.rows, tokens))

    @property
    def raw_scores(self) -> bool:
        """Whether log-probabilities of given tokens ignore the request's temperature and filters (temperature 1)."""
        return not (self.processed and self.plugin)

    @property
    def scores_filters(self) -> bool:
        """Whether log-probabilities of given tokens follow the request's `top_k` and `min_p`, too."""
        return self.filters and not self.raw_scores

    def raw(self, role: str) -> bool:
        """Whether the log-probabilities that a role needs ignore the request's temperature and filters (temperature 1).

        A target needs those of given tokens, a draft those of sampled tokens.
        """
        return self.raw_scores if role == "target" else not self.processed

    @property
    def suffix(self) -> bool:
        """Whether scoring reads the prefix from the cache."""
        return self.prefix_cache and (self.lists or self.v2 or (self.scale_out and self.plugin))

    @property
    def scores_singly(self) -> bool:
        """Whether scoring can read the prefix from the cache only in a request with one sequence."""
        return self.suffix and not self.lists


async def facts_of(client: Client, wanted: str) -> Facts:
    """Find out the properties of a server; `wanted` names one of its models, empty for the first.

    Raises:
        InputError: the server has no such model.
        ModelError: the model states no context.
        EngineError: nothing answers, or it is not vLLM.
    """
    models = (await _json(client, "/v1/models"))["data"].items()
    names = [str(one["id"].value) for one in models]
    named = [one for one, name in zip(models, names, strict=True) if wanted in ("", name)]
    if not named:
        raise InputError(f"{client.url} serves {', '.join(names)}, not {wanted}")
    entry, model = named[0], str(named[0]["id"].value)
    version = (await _json(client, "/version")).find("version")
    metrics = (await client.get("/metrics")).text
    config = re.search(r"vllm:cache_config_info\{(.*)\}", metrics)
    cache: dict[str, str] = dict(re.findall(r'(\w+)="([^"]*)"', config[1])) if config else {}
    paths = (await _json(client, "/openapi.json")).find("paths")
    scale_out = paths is not None and paths.find(GENERATE) is not None
    processed = await _is_processed(client, model)
    context, root = entry.find("max_model_len"), entry.find("root")
    if context is None:
        raise ModelError(f"{client.url}: {model} does not say how long its context is; is it vLLM?")
    return Facts(
        version="unknown" if version is None else str(version.value),
        model=model,
        root=model if root is None else str(root.value),
        context=context.count(),
        block_size=int(size) if (size := cache.get("block_size", "")).isdigit() else 0,
        prefix_cache=cache.get("enable_prefix_caching") != "False",
        recurrent=cache.get("mamba_block_size", "None") != "None",
        generates=processed is not None,
        scale_out=scale_out,
        v2=scale_out and processed is not None and await _is_v2(client, model),
        plugin=_is_on(METRIC, metrics),
        processed=bool(processed),
        rows=0 if processed is None else await _rows(client, model),
        cuts_padding=_is_on(CUTS, metrics),
        lists=_is_on(LISTS, metrics),
        filters=_is_on(FILTERS, metrics),
    )


async def _json(client: Client, path: str) -> Field:
    try:
        return Field(client.url, (await client.get(path)).json())
    except ValueError:
        raise EngineError(f"{client.url}{path} answered with something that is not JSON; is it vLLM?") from None


def _is_on(metric: str, metrics: str) -> bool:
    return re.search(rf"^{metric}(\{{[^}}]*\}})? 1", metrics, re.MULTILINE) is not None


async def _is_v2(client: Client, model: str) -> bool:
    params = {"max_tokens": 1, "prompt_logprob_token_ids": [[0]]}
    try:
        await client.post(GENERATE, {"model": model, "token_ids": [0, 0], "sampling_params": params})
    except Refused as refusal:
        if refusal.status >= 500:
            raise
        return False
    return True


async def _is_processed(client: Client, model: str) -> bool | None:
    """Whether the only allowed token has probability 1; None if the server does not write tokens."""
    body = {"model": model, "prompt": [0], "max_tokens": 1, "logprobs": 0, "allowed_token_ids": [0]}
    try:
        answer = Field(client.url, await client.post("/v1/completions", body))
    except Refused as refusal:
        if refusal.status >= 500:  # it can write, but fails
            raise
        return None
    return answer["choices"][0]["logprobs"]["token_logprobs"][0].log_probability() == 0.0


async def _rows(client: Client, model: str) -> int:
    """Output rows of the model, which the server names when it refuses an id beyond them; 0 if it does not."""
    body = {"model": model, "prompt": [0], "max_tokens": 1, "logit_bias": {str(_NO_TOKEN): 0}}
    try:
        await client.post("/v1/completions", body)
    except Refused as refusal:
        if found := re.search(r"[Vv]ocabulary size: (\d+)", str(refusal)):
            return int(found[1])
    return 0
