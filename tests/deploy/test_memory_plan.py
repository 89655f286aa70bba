"""The memory plan: it never promises more than a GPU has, and its sizes equal those worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from specs.deploy.memory_plan import (
    BATCH_TOKENS,
    BLOCK,
    CEILING,
    GB,
    OUTSIDE,
    OVERHEAD,
    SCORE_ROW,
    SEQUENCES,
    Gpu,
    Model,
    Workload,
    plan,
)
from specs.errors import InputError, NoRoom
from specs.types import Role

DRAFT = Model("1.5B", "Qwen2ForCausalLM", 3_087_428_608, 28, 12, 2, 128, 151_936, 32_768)
TARGET = Model("7B", "Qwen2ForCausalLM", 15_231_233_024, 28, 28, 4, 128, 152_064, 32_768)
PRM = Model("PRM", "Qwen2ForProcessRewardModel", 14_141_000_000, 28, 28, 4, 128, 152_064, 32_768)
QWEN = {Role.DRAFT: DRAFT, Role.TARGET: TARGET, Role.PRM: PRM}
LOAD = Workload(4096, 512, 8)


def gpus(*sizes):
    return [Gpu(str(at), int(size * GB)) for at, size in enumerate(sizes)]


def solves(*sizes, load=LOAD, models=QWEN):
    """Solves at a time that the plan allows; 0 if the models do not fit."""
    try:
        return plan(models, gpus(*sizes), load).solves
    except NoRoom:
        return 0


models = st.builds(
    Model,
    name=st.just("m"),
    architecture=st.just("LlamaForCausalLM"),
    weights=st.integers(10**7, 10**11),
    layers=st.integers(1, 80),
    heads=st.sampled_from([4, 8, 28, 32, 64]),
    kv_heads=st.sampled_from([1, 2, 4]),
    head_dim=st.sampled_from([64, 128]),
    vocabulary=st.integers(1000, 200_000),
    context=st.just(32_768),
)
trios = st.fixed_dictionaries({Role.DRAFT: models, Role.TARGET: models, Role.PRM: models})
sizes = st.lists(st.sampled_from([16, 24, 40, 48, 80, 141]), min_size=1, max_size=4)
loads = st.builds(Workload, context=st.integers(2049, 32_768), step_tokens=st.integers(1, 2048), n=st.integers(1, 64))


@settings(deadline=None, max_examples=60)
@given(trios, sizes, loads)
def test_no_plan_promises_more_memory_than_a_gpu_has(trio, sizes, load):
    """Each server's share holds its weights, its buffers and the KV cache that the plan promises."""
    try:
        found = plan(trio, gpus(*sizes), load)
    except NoRoom:
        assume(False)
    for gpu in gpus(*sizes):
        here = [server for server in found.servers if gpu in server.gpus]
        rows = sum(SCORE_ROW * BATCH_TOKENS * s.model.vocabulary for s in here if s.role is Role.TARGET)
        taken = sum(s.utilisation * gpu.memory + OUTSIDE for s in here) + rows
        assert taken <= CEILING * gpu.memory + 1
        assert sum(s.utilisation for s in here) <= CEILING
        for server in here:
            tp = len(server.gpus)
            kv = (server.kv_tokens + BLOCK) * server.model.kv_per_token(tp)
            assert server.model.weights / tp + OVERHEAD + kv <= server.utilisation * gpu.memory + 1
    assert found.solves >= 1
    for server in found.servers:
        assert server.kv_tokens >= found.solves * load.kv_tokens()
        assert server.kv_tokens >= load.context
        assert server.utilisation == round(server.utilisation, 3)
    assert found.solves * load.n <= load.sequences


@settings(deadline=None, max_examples=60)
@given(trios, sizes, loads, st.integers(0, 20_000), st.integers(0, 64))
def test_a_load_that_fits_also_fits_with_a_shorter_context_and_fewer_candidates(trio, sizes, load, shorter, fewer):
    smaller = Workload(max(load.step_tokens + 1, load.context - shorter), load.step_tokens, max(1, load.n - fewer))
    assert (solves(*sizes, load=load, models=trio) > 0) <= (solves(*sizes, load=smaller, models=trio) > 0)


def test_a_larger_gpu_or_a_smaller_solve_allows_more_solves():
    by_size = [solves(size) for size in (24, 40, 48, 60, 70, 80, 96, 141)]
    assert by_size[0] == 0 < by_size[-1]
    by_n = [solves(80, load=replace(LOAD, n=n)) for n in (4, 8, 16, 32, 64, 128)]
    by_context = [solves(80, load=replace(LOAD, context=context)) for context in (1024, 2048, 4096, 16_384, 32_768)]
    assert by_size == sorted(by_size)
    assert by_n == sorted(by_n, reverse=True)
    assert by_context == sorted(by_context, reverse=True)
    assert len(set(by_n)) > 4
    assert len(set(by_context)) > 2


def test_kv_bytes_of_a_token():
    """2 x layers x heads x width x 2 bytes; split over GPUs, as far as there are enough heads."""
    assert DRAFT.kv_per_token() == 2 * 28 * 2 * 128 * 2 == 28_672
    assert TARGET.kv_per_token() == 2 * 28 * 4 * 128 * 2 == 57_344
    assert [TARGET.kv_per_token(tp) for tp in (1, 2, 4, 7)] == [57_344, 28_672, 14_336, 14_336]
    assert TARGET.kv_per_token(itemsize=4) == 2 * 57_344


def test_a_model_is_split_over_as_many_gpus_as_its_heads_allow():
    assert [tp for tp in range(1, 9) if TARGET.splits(tp)] == [1, 2, 4]
    assert [tp for tp in range(1, 9) if DRAFT.splits(tp)] == [1, 2, 4, 6]


def test_blocks_of_a_solve_by_hand():
    """3,584 tokens of prefix fill 224 blocks; a step of 512 touches at most 33; 224 + 8 x 33 = 488 blocks of 16."""
    assert Workload(4096, 512, 8).kv_tokens() == 488 * 16
    assert Workload(4096, 512, 1).kv_tokens() == 257 * 16
    assert Workload(17, 1, 3).kv_tokens() == (1 + 3) * 16


@settings(deadline=None)
@given(loads, st.sampled_from([1, 16, 32]), st.data())
def test_a_solve_never_takes_more_blocks_than_planned(load, block, data):
    prefix = data.draw(st.integers(0, load.context - load.step_tokens))
    full = prefix // block
    own = -(-(prefix + load.step_tokens) // block) - full
    assert (full + load.n * own) * block <= load.kv_tokens(block)


def test_with_several_gpus_the_target_is_alone_and_split_only_if_needed():
    two = {server.role: [gpu.name for gpu in server.gpus] for server in plan(QWEN, gpus(80, 80), LOAD).servers}
    assert two[Role.DRAFT] == two[Role.PRM] != two[Role.TARGET]
    three = plan(QWEN, gpus(24, 24, 24), LOAD)
    assert sorted(gpu.name for server in three.servers for gpu in server.gpus) == ["0", "1", "2"]
    large = QWEN | {Role.TARGET: replace(TARGET, weights=145 * GB, layers=80, heads=64, kv_heads=8)}
    (target,) = (server for server in plan(large, gpus(*[80] * 8), LOAD).servers if server.role is Role.TARGET)
    assert len(target.gpus) == 4  # two have room for the weights only
    small = plan(QWEN, gpus(24, 80), LOAD)
    assert [gpu.name for server in small.servers if server.role is Role.DRAFT for gpu in server.gpus] == ["0"]


def test_servers_that_share_a_gpu_start_in_order():
    found = plan(QWEN, gpus(80, 80), LOAD)
    draft, target, prm = found.servers
    assert (found.shared(draft), found.shared(target), found.shared(prm)) == ([], [], [draft])


def test_more_candidates_than_a_server_s_sequences_raise_the_number_of_sequences():
    assert Workload(4096, 64, 8).sequences == SEQUENCES
    assert Workload(4096, 64, 300).sequences == 300
    assert solves(141, 141, 141, load=Workload(4096, 64, 300)) == 1


def test_the_error_for_too_little_memory_says_how_much_is_needed():
    with pytest.raises(NoRoom) as shortage:
        plan(QWEN, gpus(24, 24), LOAD)
    said = str(shortage.value)
    for part in (
        "2 GPUs of 24 GB",
        "draft 3.1, target 15.2, prm 14.1",
        "44.9 GB",
        "quantised",
        "a smaller context or n",
    ):
        assert part in said
    assert "\n" not in said


def test_a_context_beyond_that_of_a_model_is_refused_by_name():
    Workload(4096, 512, 8).check(Role.PRM, replace(PRM, context=4096))
    with pytest.raises(InputError, match="context 8192: prm PRM reads at most 4096 tokens"):
        Workload(8192, 512, 8).check(Role.PRM, replace(PRM, context=4096))
    with pytest.raises(InputError, match="steps of 512 tokens leave no room in a context of 512"):
        Workload(512, 512, 8)
