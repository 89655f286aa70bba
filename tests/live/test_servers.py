"""Servers compute what the light engine computes, and answer repeated prefixes from their cache."""

import numpy as np
import pytest

from specs import load
from specs.bundled.problems import HELD_OUT_SEED, generate
from specs.core.sampling import log_law

PROBLEM = generate("hard", HELD_OUT_SEED)


@pytest.fixture(scope="module")
def models():
    return load()


def rows(model, ids, first):
    """The light engine's outputs after each token from index `first` on, except after the last token."""
    ids = np.array(ids)
    backend = model.backend
    return backend.forward(backend.cache(), ids, np.arange(len(ids)), None, np.arange(first, len(ids) - 1))


def log_probabilities(model, prefix, suffix):
    """Log-probability of each token of `suffix` behind `prefix`, on the light engine."""
    law = log_law(rows(model, [*prefix, *suffix], len(prefix) - 1))
    return law[np.arange(len(suffix)), suffix]


def test_log_probabilities_of_greedy_tokens_are_the_light_engines(servers, models):
    prompt = models.draft.prompt(PROBLEM.question)
    reply = servers["draft"].post(
        "/v1/completions",
        {
            "model": "draft",
            "prompt": prompt,
            "temperature": 0,
            "max_tokens": 100,
            "logprobs": 0,
            "return_token_ids": True,
        },
    )
    (choice,) = reply.body["choices"]
    ids = choice["token_ids"]
    assert len(ids) > 50
    assert rows(models.draft, [*prompt, *ids], len(prompt) - 1).argmax(1).tolist() == ids
    want = log_probabilities(models.draft, prompt, ids)
    np.testing.assert_allclose(choice["logprobs"]["token_logprobs"], want, atol=1e-3)


def test_a_suffix_behind_a_cached_prefix_is_scored_exactly(servers, models):
    """Random tokens, so a wrong row cannot be right by chance. Without the plugin the server crashes."""
    server, model = servers["target"], models.target
    ids = [*model.prompt(PROBLEM.question), *model.text.encode(PROBLEM.solution)]
    rng = np.random.default_rng(0)
    for length in range(64, 160, 8):
        prefix = ids[:length]
        server.post("/v1/completions", {"model": "target", "prompt": prefix, "max_tokens": 1})
        for _ in range(5):
            suffix = rng.integers(6, 799, rng.integers(2, 30)).tolist()
            sampling = {"max_tokens": 1, "prompt_logprobs": 0, "skip_reading_prefix_cache": False}
            whole = [*prefix, *suffix]
            request = {"model": "target", "token_ids": whole, "sampling_params": sampling}
            body = server.post("/inference/v1/generate", request).body
            cached = body["usage"]["prompt_tokens_details"]["cached_tokens"]
            assert cached >= length // 32 * 32  # only whole blocks are cached
            first = max(cached + 1, length)  # a block's first row belongs to the cached token before
            got = [body["prompt_logprobs"][k][str(whole[k])]["logprob"] for k in range(first, len(whole))]
            want = log_probabilities(model, prefix, suffix)[first - length :]
            np.testing.assert_allclose(got, want, atol=1e-3)


def test_rewards_are_the_light_engines_and_prefixes_are_read_from_the_cache(servers, models):
    server, model = servers["prm"], models.prm
    ids, prefixes = list(model.prompt(PROBLEM.question)), []
    for step in PROBLEM.solution.split("\n\n"):
        ids += [*model.prm_format.content(step, not prefixes, False), *model.prm_format.ask]
        prefixes.append(ids.copy())
    want = model.prm_format.rewards(np.array([rows(model, [*prefix, 0], len(prefix) - 1)[0] for prefix in prefixes]))
    for _ in range(2):
        before = server.metrics()
        reply = server.post("/classify", {"model": "prm", "input": prefixes})
        got = [one["probs"][1] for one in reply.body["data"]]
        np.testing.assert_allclose(got, want, atol=1e-4)
        spent = server.metrics() - before
    assert spent["prefix_cache_queries_total"] == sum(map(len, prefixes))
    assert spent["prefix_cache_hits_total"] == sum((len(prefix) - 1) // 32 * 32 for prefix in prefixes)
