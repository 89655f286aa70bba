"""Models that only servers run: quantised ones, and recurrent and hybrid ones, whose state cannot branch as a tree."""

from pathlib import Path

import numpy as np
import pytest

from helpers.fitting import make_with
from helpers.rows import log_probabilities
from live.checkpoints import VOCABULARY, write_int8, write_random
from live.servers import PROCESSED
from live.solving import QUESTION, opened
from specs import api
from specs.config import Limits, SolveConfig
from specs.core.keys import Key
from specs.core.sampling import log_law
from specs.decoding.stream import stream
from specs.deploy.doctor import Severity, diagnose
from specs.engines.protocol import Models
from specs.methods.registry import make
from specs.types import Candidate, End, Role, SamplingParams, StepPolicy, Trace

LAW = SamplingParams(0.7, 0.95, StepPolicy(max_tokens=40))
FP32, BF16 = 1e-4, 0.25
"""Tolerances in nats on the summed log-probability of a step, as docs/engines/vllm.md says."""
CPU = Path("/proc/cpuinfo")
AMX = CPU.exists() and "amx_int8" in CPU.read_text()

SIZES = dict(
    vocab_size=VOCABULARY, hidden_size=64, initializer_range=0.2, pad_token_id=0, bos_token_id=1, eos_token_id=2
)
MAMBA2 = dict(num_hidden_layers=2, state_size=16, n_groups=1, head_dim=16, num_heads=8, chunk_size=32)
FALCON_H1 = dict(
    intermediate_size=128, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, mamba_d_ssm=64,
    mamba_n_heads=4, mamba_d_head=16, mamba_n_groups=1, mamba_d_state=16, mamba_chunk_size=32,
)  # fmt: skip


def steps(policy, n=6):
    """Samples of several steps, each behind the last, as (groups, their log-probabilities)."""
    writer, trace = opened(policy), Trace(QUESTION)
    for step_idx in range(4):
        samples = writer.sample([trace], n, LAW, [Key.from_seed(step_idx)])
        candidates = [Candidate(s.token_ids, s.text, s.end) for s in samples]
        yield [(trace, candidates)], [s.log_probability for s in samples]
        if samples[0].end is End.END_OF_TEXT:
            return
        trace = trace.extend(candidates[0], Role.DRAFT)


def scratch(model, prompt, groups, law):
    """Log-probability of each candidate, by one causal pass of transformers."""
    import torch

    ((trace, candidates),) = groups
    before, sums = [*prompt, *trace.token_ids], []
    for candidate in candidates:
        with torch.no_grad():
            logits = model(torch.tensor([[*before, *candidate.token_ids]])).logits[0].double().numpy()
        rows = log_law(logits[len(before) - 1 : -1], law)
        sums.append(float(rows[np.arange(len(rows)), candidate.token_ids].sum()))
    return sums


def of_transformers(folder):
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.mark.skipif(
    AMX, reason="vLLM 0.32 fails on int8 models on CPUs with AMX: its kernel refuses fp32 and crashes with bf16"
)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", FP32), ("bfloat16", BF16)])
def test_a_quantised_target_scores_what_it_samples_and_is_another_model(start, tmp_path, local, dtype, tolerance):
    """One int8 model writes and scores; then a whole solve is recorded, and it scores the record the same again."""
    server = start(write_int8(tmp_path / "int8"), PROCESSED, f"--dtype={dtype}")
    target = api.load(None, server.url, None).target
    scorer, whole = opened(target), opened(local.target)
    assert target.replicas.facts.suffix
    error = away = 0.0
    for groups, sampled in steps(target):
        scored = log_probabilities(scorer, groups, LAW)
        error = max(error, np.abs(np.subtract(sampled, scored)).max())
        away = max(away, np.abs(np.subtract(scored, log_probabilities(whole, groups, LAW))).max())
    print(f"{dtype}: sampled against scored {error:.1e}, against the bundled target {away:.1e}")
    assert error < tolerance
    assert 1e-2 < away < np.inf
    for name in ("gsi", "specs"):
        models = Models(local.draft, target, local.prm)
        result = stream(
            QUESTION, models, SolveConfig(make_with(name, {"n": 4}), LAW, Limits(max_steps=8), seed=1)
        ).result
        assert result.error is None
        assert not result.raw_scoring
        assert result.accepted
        trace = Trace(QUESTION)
        for record in result.steps:
            if record.candidates[0].log_p is not None:
                again = log_probabilities(scorer, [(trace, list(record.candidates))], LAW)
                assert [c.log_p for c in record.candidates] == pytest.approx(again, abs=tolerance)
            if record.accepted and record.step is not None:
                trace = trace.extend(record.step, record.writer)


@pytest.mark.parametrize("kind", ["mamba2", "falcon_h1"])
def test_a_model_without_prefix_reuse_is_exact_and_reported_as_such(start, tmp_path, local, kind):
    """A recurrent and a hybrid model: whole prompts are computed, and scores equal those of one pass from scratch."""
    transformers = pytest.importorskip("transformers")
    if kind == "mamba2":  # vLLM caches no states of models without attention
        config, flags = transformers.Mamba2Config(**SIZES, tie_word_embeddings=True, **MAMBA2), []
    else:  # with a prefix cache vLLM prefills in parts, during which a seed ends a server on a CPU
        config, flags = transformers.FalconH1Config(**SIZES, **FALCON_H1), ["--no-enable-prefix-caching"]
    folder = write_random(tmp_path / kind, config)
    server = start(folder, PROCESSED, "--max-model-len=2048", *flags)
    target, oracle = api.load(None, server.url, None).target, of_transformers(folder)
    facts = target.replicas.facts
    assert facts.recurrent
    assert not facts.prefix_cache
    assert not facts.suffix
    scorer, prompt, worst, asked = opened(target), target.prompt(QUESTION), 0.0, 0
    for groups, sampled in steps(target):
        scored = log_probabilities(scorer, groups, LAW)
        assert sampled == pytest.approx(scored, abs=FP32)
        worst = max(worst, np.abs(np.subtract(scored, scratch(oracle, prompt, groups, LAW))).max())
        ((trace, candidates),) = groups
        distinct = {c.token_ids for c in candidates}
        asked += sum(len(prompt) + len(trace.token_ids) + len(ids) for ids in distinct)
    print(f"{kind}: scored against a pass from scratch {worst:.1e}")
    assert worst < 1e-3
    assert (scorer.counts.processed, scorer.counts.cached) == (asked, 0)
    found = list(diagnose({Role.TARGET: server.url}, LAW))
    hints = [finding.text for finding in found if finding.state is Severity.HINT]
    assert len(hints) == 2
    assert all("no prefix reuse, because the model is recurrent" in hint for hint in hints), hints
    models = Models(local.draft, target, local.prm)
    result = stream(QUESTION, models, SolveConfig(make("specs", n=4), LAW, Limits(max_steps=3), seed=1)).result
    assert result.error is None
    assert result.accepted
    assert result.usage[Role.TARGET].cached == 0
