"""vLLM's model runner V2, its default on GPUs: real servers with interpreted Triton kernels (tests/live/v2)."""

from dataclasses import replace

import numpy as np
import pytest

from live.servers import V2, serving_trio
from live.solving import QUESTION, check_first_tokens, check_records
from specs import api
from specs.config import Limits, SolveConfig
from specs.core.sampling import log_law
from specs.decoding.stream import stream
from specs.deploy.doctor import Severity, diagnose
from specs.engines.event_loop import wait
from specs.engines.protocol import never_stop
from specs.engines.vllm.server import Server, connect
from specs.methods.registry import make
from specs.types import Role, SamplingParams, StepPolicy

BLOCK = 32
LAW = SamplingParams(0.7, 0.95, StepPolicy(max_tokens=64))


@pytest.fixture(scope="module")
def v2(vllm, tmp_path_factory):
    """The bundled trio by role; the draft's server runs without this package's plugins."""
    bare = V2 | {"VLLM_PLUGINS": "triton_interpreter"}
    with serving_trio(tmp_path_factory.mktemp("v2"), draft=bare, target=V2, prm=V2) as trio:
        yield trio


@pytest.fixture(scope="module")
def remote(v2):
    return api.load(*(v2[role].url for role in ("draft", "target", "prm")))


def test_the_servers_run_v2(v2):
    for server in v2.values():
        assert "Using V2 Model Runner" in server.log.read_text()
    facts = {role: wait(connect(v2[role].url, None, 60.0), never_stop).facts for role in ("draft", "target")}
    assert [(one.v2, one.plugin, one.lists, one.suffix, one.raw_scores) for one in facts.values()] == [
        (True, False, False, True, True),
        (True, True, True, True, False),
    ]


@pytest.mark.parametrize(
    ("role", "law", "lists"),
    [
        ("draft", SamplingParams(1.0), False),
        *(("target", law, True) for law in (SamplingParams(1.0), SamplingParams(0.7), SamplingParams(0.7, 0.999))),
        ("target", SamplingParams(0.7, 0.999), False),
    ],
)
def test_scores_are_exact_and_read_behind_the_cached_prefix(v2, local, role, law, lists):
    """Random tokens behind prefixes that end inside a block or with one; the server reports what it reads cached.

    Without `lists`, the client sends what it sends to a server without the plugin, or with its first version.
    """
    server = wait(connect(v2[role].url, None, 60.0), never_stop)
    server = Server(server.client, replace(server.facts, lists=lists))
    policy = getattr(local, role)
    rng = np.random.default_rng(0)
    tokens = rng.integers(6, 799, 200).tolist()
    finite = 0
    for length in (6 * BLOCK - 1, 6 * BLOCK, 6 * BLOCK + 1):
        prefix = tokens[:length]
        wait(server.next_tokens([prefix]), never_stop)
        paths = [rng.integers(6, 799, size).tolist() for size in (1, 5, 40)]
        found, tally = wait(server.score(prefix, paths, law), never_stop)
        for path, scores in zip(paths, found, strict=True):
            ids = np.array([*prefix, *path])
            logits = policy.backend.forward(
                policy.backend.cache(), ids, np.arange(len(ids)), None, np.arange(length - 1, len(ids) - 1)
            )
            want = log_law(logits.astype(np.float64), law)[np.arange(len(path)), path]
            np.testing.assert_allclose(scores, want, atol=1e-3)
            finite += int(np.isfinite(want).sum())
        # At most an open block of the prefix; without the plugin a second request computes the last row of a block.
        assert tally.processed <= sum(len(path) + BLOCK + 1 for path in paths)
        assert tally.cached >= len(paths) * 5 * BLOCK
    assert finite > 5  # top-p gives most random tokens probability 0


def test_first_tokens_follow_the_law(remote, local):
    """Chi-square of 500 first tokens against softmax(logits) at temperature 1 (false alarms 3e-7)."""
    check_first_tokens(remote.draft, local.draft, seeds=1)


def test_what_a_solve_records_is_what_this_process_computes(remote, local):
    """Under temperature and top-p: candidates of both writers, their log-ratios and rewards."""
    result = stream(QUESTION, remote, SolveConfig(make("specs", n=4), LAW, Limits(max_steps=6), seed=1)).result
    assert result.error is None
    assert not result.raw_scoring
    check_records(result, local, LAW)
    target = result.usage[Role.TARGET]
    assert target.cached > target.processed


def test_doctor_has_no_hint(v2):
    found = list(diagnose({Role(role): server.url for role, server in v2.items()}, SamplingParams(0.7)))
    assert {finding.state for finding in found} == {Severity.OK}, found
    assert any("scores candidates after a cached prefix (the plugin of specs-llm)" in one.text for one in found)
