"""Scoring with model runner V2, against a stand-in that has the server's cache and its rules.

The rules are those of vLLM 0.32 (v1/worker/gpu/sample/prompt_logprob.py). The cache holds whole blocks. A request
reads from it all blocks but the last token, and returns no scores if the first wanted row is among them.
"""

import base64
import io
import json
import threading
from dataclasses import replace

import numpy as np
import pytest

from engines.test_client import FACTS, serving
from specs.engines.event_loop import wait
from specs.engines.protocol import never_stop
from specs.engines.vllm.client import Client
from specs.engines.vllm.server import Server
from specs.errors import EngineError
from specs.types import SamplingParams

BLOCK = 16


def log_probability(before, token):
    """Any deterministic function of the prefix that is exact in float32."""
    return -float(np.random.default_rng([token, *before]).integers(1, 1000)) / 64


class V2:
    """The scoring part of the server."""

    def __init__(self):
        self.blocks, self.lock, self.whole = set(), threading.Lock(), 0

    def read(self, ids, skip):
        """How many tokens a request reads from the cache, which then also holds those of this request."""
        with self.lock:
            ends = range(BLOCK, len(ids), BLOCK)
            cached = next((k - BLOCK for k in ends if tuple(ids[:k]) not in self.blocks), len(ends) * BLOCK)
            self.blocks |= {tuple(ids[:k]) for k in range(BLOCK, len(ids) + 1, BLOCK)}
            return 0 if skip else cached

    def __call__(self, path, body, times):
        asked = json.loads(body)
        if path == "/v1/completions":
            (ids,), (label,) = asked["prompt"], asked["logprob_token_ids"]
            row = {f"token_id:{label}": log_probability(ids, label)}
            found = {"choices": [{"index": 0, "logprobs": {"top_logprobs": [row]}}]}
            cached = self.read(ids, False)
        else:
            params = asked["sampling_params"]
            ids, start = asked["token_ids"], params["prompt_logprob_start"]
            wanted = params["prompt_logprob_token_ids"]
            if len(wanted) != len(ids) - 1 - start:
                return 400, b'{"error": {"message": "one row a token"}}'
            cached = self.read(ids, params["skip_reading_prefix_cache"])
            self.whole += params["skip_reading_prefix_cache"]
            found = {"prompt_token_id_logprobs": None}
            if cached <= start:
                rows = [[log_probability(ids[: start + k + 1], one) for one in ones] for k, ones in enumerate(wanted)]
                np.save(packed := io.BytesIO(), np.array(rows, np.float32))
                found = {"prompt_token_id_logprobs": base64.b64encode(packed.getvalue()).decode()}
        usage = {"prompt_tokens": len(ids), "prompt_tokens_details": {"cached_tokens": cached}}
        return 200, json.dumps({**found, "usage": usage}).encode()


def server(url):
    return Server(Client(url), replace(FACTS, block_size=BLOCK, v2=True, plugin=False, lists=False))


@pytest.mark.parametrize("prefix", [31, 32, 33, 47, 48])
@pytest.mark.parametrize("length", [1, 2, 16, 40])
def test_every_token_of_every_candidate_is_scored_behind_a_cached_prefix(prefix, length):
    """Whether the prefix ends inside a block or with one, the server never computes it all again."""
    rng = np.random.default_rng([prefix, length])
    before = rng.integers(0, 100, prefix).tolist()
    paths = [[k, *rng.integers(0, 100, length - 1).tolist()] for k in range(4)]
    with serving(v2 := V2()) as (url, _):
        v2.read([*before, -1], False)
        scored, tally = wait(server(url).score(before, paths, SamplingParams(1.0)), never_stop)
    for path, found in zip(paths, scored, strict=True):
        assert found == [log_probability([*before, *path[:k]], token) for k, token in enumerate(path)]
    # At most an open block of the prefix, or the last token of a closed one, is computed again.
    assert tally.processed <= len(paths) * (length + BLOCK)
    assert v2.whole == 0


def test_a_candidate_whose_first_blocks_are_cached_is_computed_whole():
    """Its first wanted rows are in the cache. Equal candidates are scored once, but two may have equal blocks."""
    before, path = list(range(40)), list(range(50, 90))
    with serving(v2 := V2()) as (url, _):
        one = server(url)
        wait(one.score(before, [path], SamplingParams(1.0)), never_stop)
        other = [*path[:-1], 7]
        (found,), tally = wait(one.score(before, [other], SamplingParams(1.0)), never_stop)
    assert found == [log_probability([*before, *other[:k]], token) for k, token in enumerate(other)]
    assert v2.whole == 1
    assert tally.processed >= 80


def test_a_server_that_returns_no_scores_is_reported():
    empty = json.dumps({"prompt_token_id_logprobs": None, "usage": {"prompt_tokens": 3}}).encode()
    with serving(lambda *_: (200, empty)) as (url, _), pytest.raises(EngineError, match="scored nothing"):
        wait(server(url).score([1, 2], [[3]], SamplingParams(1.0)), never_stop)
