"""Recorded passes: what a recording may depend on, and what it leaves alone."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from rows import outputs_of  # noqa: E402
from traced import Traced  # noqa: E402

from specs.errors import EngineError  # noqa: E402
from specs.models.hf import backend as hf_backend  # noqa: E402
from specs.models.hf.backend import HFBackend  # noqa: E402
from specs.models.hf.kernels import MOST_ROWS, FewRows, grouped_attention  # noqa: E402
from specs.models.hf.passes import SIZES  # noqa: E402
from specs.models.rooms import SPARE_ROOMS  # noqa: E402

SHAPE: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,
    "pad_token_id": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
NOTHING = np.zeros(0, np.int64)


def made(architecture: str, device: str = "cpu", dtype: Any = torch.float32, **changes: Any) -> HFBackend:
    kind = getattr(transformers, architecture)
    torch.manual_seed(0)
    with torch.device(device):
        model = kind._from_config(kind.config_class(**SHAPE | changes), dtype=dtype, attn_implementation="sdpa")
    return HFBackend(architecture, "lm", model.eval(), SHAPE["max_position_embeddings"], "fp32")


def unrecorded(work: Any) -> Any:
    work()
    return work


FAMILIES = ["Llama", "Qwen2", "Qwen3", "Qwen3Moe", "Mistral", "Gemma3", "Phi3"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_recorded_pass_never_reads_what_it_has_computed(family: str) -> None:
    """On the device `meta` tensors have no numbers, so to read one is an error; so is to mix devices."""
    backend = made(f"{family}ForCausalLM", "meta", torch.bfloat16)
    backend.prepare(unrecorded)
    rows = backend.forward(backend.cache(), np.arange(3), np.arange(3), None, np.array([2]))
    assert (rows.device.type, rows.shape) == ("meta", (1, SHAPE["vocab_size"]))


def test_that_test_finds_models_that_read() -> None:
    by_length = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    with pytest.raises(RuntimeError, match="meta"):
        made("LlamaForCausalLM", "meta", torch.bfloat16, rope_parameters=by_length)


def test_passes_run_with_the_next_size_up() -> None:
    backend = made("LlamaForCausalLM")
    backend.prepare(traced := Traced())
    cache, plain = backend.cache(), made("LlamaForCausalLM")
    held = plain.cache()
    for new in (3, 4, 1, 2, 3, SIZES[-1], SIZES[-1] + 1):
        ids, places = np.arange(new), np.arange(cache.room.used, cache.room.used + new)
        found, wanted = (
            outputs_of(one, where, ids, places, None, np.arange(new))
            for one, where in ((backend, cache), (plain, held))
        )
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)
    assert (traced.recorded, traced.replayed) == (len(SIZES), 6)  # one pass was larger


@pytest.mark.parametrize("recorded", [False, True])
def test_a_tree_that_outgrows_its_memory_goes_on(recorded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = made("LlamaForCausalLM")
    cache = backend.cache()
    whole = outputs_of(backend, cache, np.arange(40), np.arange(40), None, np.arange(40))
    monkeypatch.setattr(hf_backend, "RECORDED_CAPACITY" if recorded else "FIRST_CAPACITY", 8)
    backend = made("LlamaForCausalLM")
    if recorded:
        backend.prepare(Traced())
    cache = backend.cache()
    capacities = set()
    for place in range(40):
        row = outputs_of(backend, cache, np.array([place]), np.array([place]), None, np.array([0]))
        np.testing.assert_allclose(row[0], whole[place], rtol=0, atol=1e-4)
        capacities.add(cache.room.capacity)
    assert sorted(capacities) == [8, 16, 32, 64]


def test_memory_of_a_tree_that_is_gone_serves_the_next_one() -> None:
    """With the passes recorded over it, and none of its entries: not even one that is no number."""
    backend = made("LlamaForCausalLM")
    backend.prepare(traced := Traced())
    cache = backend.cache()
    room = cache.room
    first = outputs_of(backend, cache, np.array([5]), np.array([0]), None, np.array([0]))
    with torch.inference_mode():
        for layer in room.cache.layers:
            layer.keys[:] = layer.values[:] = torch.nan
    del cache
    later = backend.cache()
    other = backend.cache()
    assert later.room is room
    assert other.room is not room
    np.testing.assert_array_equal(first, outputs_of(backend, later, np.array([5]), np.array([0]), None, np.array([0])))
    assert (traced.recorded, traced.replayed) == (len(SIZES), 2)


def test_memory_that_only_the_garbage_collector_finds_serves_the_next_one_too() -> None:
    """As after a solve that failed, whose traceback refers to itself."""
    backend = made("LlamaForCausalLM")
    cache = backend.cache()
    circle: list[Any] = [cache]
    first = outputs_of(backend, cache, np.array([5]), np.array([0]), None, np.array([0]))
    circle.append(circle)
    del cache, circle
    gc.collect()
    assert len(backend._spare) == 1
    again = backend.cache()
    np.testing.assert_array_equal(first, outputs_of(backend, again, np.array([5]), np.array([0]), None, np.array([0])))


def test_memory_that_cannot_grow_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = made("LlamaForCausalLM")
    cache = backend.cache()
    first = outputs_of(backend, cache, np.array([5]), np.array([0]), None, np.array([0]))
    keys, capacity = cache.room.cache.layers[0].keys, cache.room.capacity

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA")

    monkeypatch.setattr(torch.Tensor, "new_zeros", full)
    with pytest.raises(EngineError, match="use fewer candidates"):
        backend.forward(cache, np.zeros(capacity, np.int64), np.zeros(capacity, np.int64), None, NOTHING)
    assert (cache.room.capacity, cache.room.cache.layers[0].keys is keys) == (capacity, True)
    backend.keep(cache, 0, NOTHING)
    np.testing.assert_array_equal(first, outputs_of(backend, cache, np.array([5]), np.array([0]), None, np.array([0])))


def test_memory_is_free_when_nothing_uses_it() -> None:
    backend = made("LlamaForCausalLM")
    caches = [backend.cache() for _ in range(SPARE_ROOMS + 1)]
    rooms = [weakref.ref(cache.room) for cache in caches]
    caches.clear()
    assert sum(room() is not None for room in rooms) == SPARE_ROOMS


def test_rows_outlast_later_passes() -> None:
    backend = made("LlamaForCausalLM")
    backend.prepare(Traced())
    cache = backend.cache()
    first = backend.forward(cache, np.array([5]), np.array([0]), None, np.array([0]))
    before = backend.outputs.numbers(first).copy()
    backend.forward(cache, np.array([6]), np.array([1]), None, np.array([0]))
    np.testing.assert_array_equal(backend.outputs.numbers(first), before)


@pytest.mark.parametrize("shape", [(1, 48), (2, 48), (MOST_ROWS, 48), (MOST_ROWS + 1, 48), (1, 5, 48), (3, 1, 48)])
@pytest.mark.parametrize("bias", [False, True])
def test_few_rows_give_the_same_product(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    plain = torch.nn.Linear(48, 33, bias=bias)
    given = torch.randn(shape)
    wanted = plain(given)
    plain.__class__ = FewRows
    found = plain(given)
    assert found.is_contiguous()
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(("heads", "kv_heads"), [(6, 2), (4, 4), (4, 1)])
@pytest.mark.parametrize("masked", [True, False])
def test_grouped_attention_is_transformers_own(heads: int, kv_heads: int, masked: bool) -> None:
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    torch.manual_seed(0)
    module = torch.nn.Module()
    module.num_key_value_groups, module.is_causal = heads // kv_heads, True  # type: ignore[assignment]
    new, entries = 5, 9 if masked else 5
    query, key, value = (torch.randn(1, h, n, 8) for h, n in ((heads, new), (kv_heads, entries), (kv_heads, entries)))
    mask = torch.rand(1, 1, new, entries) < 0.5 if masked else None
    if mask is not None:
        mask[..., 0] = True
    found, _ = grouped_attention(module, query, key, value, mask, scaling=0.3)
    wanted, _ = sdpa_attention_forward(module, query, key, value, mask, scaling=0.3)
    torch.testing.assert_close(found, wanted)
