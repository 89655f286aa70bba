"""Recorded passes: what a recording may depend on, and what it must not change."""

from __future__ import annotations

import contextlib
import functools
import gc
import warnings
import weakref
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from helpers.rows import outputs_of  # noqa: E402
from helpers.traced import Traced  # noqa: E402
from research.cost_suite.shapes import recorded  # noqa: E402
from specs.engines.local.backend import tree_error  # noqa: E402
from specs.engines.local.buffers import SPARE_BUFFERS, release_spare_buffers  # noqa: E402
from specs.engines.local.torch import backend as hf_backend  # noqa: E402
from specs.engines.local.torch import kernels, passes  # noqa: E402
from specs.engines.local.torch.backend import HFBackend  # noqa: E402
from specs.engines.local.torch.kernels import MOST_ROWS, FewRows, grouped_attention, without_cudnn  # noqa: E402
from specs.engines.local.torch.passes import SIZES, Pass, Waits, cuda_graphs, never_waiting  # noqa: E402
from specs.errors import EngineError  # noqa: E402
from specs.methods.beam import Beam  # noqa: E402
from specs.methods.token_speculation import TOKENS  # noqa: E402

pytestmark = pytest.mark.slow

SHAPE: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
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


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> tuple[int, ...]:
    """Fewer sizes of passes, because recording by traces is slow."""
    monkeypatch.setattr(hf_backend, "SIZES", (1, 2, 4, 8))
    return hf_backend.SIZES


FAMILIES = ["Llama", "Qwen2", "Qwen3", "Qwen3Moe", "Mistral", "Gemma3", "Phi3"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pass_does_not_read_back_what_it_computes(family: str) -> None:
    """Tensors on the device `meta` have no values, so reading one is an error; so is mixing devices."""
    backend = made(f"{family}ForCausalLM", "meta", torch.bfloat16)
    backend.prepare(unrecorded)
    rows = backend.forward(backend.cache(), np.arange(3), np.arange(3), None, np.array([2]))
    assert (rows.device.type, rows.shape) == ("meta", (1, SHAPE["vocab_size"]))


def test_the_device_meta_detects_models_that_read_back() -> None:
    by_length = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    with pytest.raises(RuntimeError, match="meta"):
        made("LlamaForCausalLM", "meta", torch.bfloat16, rope_parameters=by_length)


@pytest.mark.slow
def test_a_pass_runs_in_the_recording_of_the_next_larger_size() -> None:
    backend = made("LlamaForCausalLM")
    backend.prepare(traced := Traced())
    cache, plain = backend.cache(), made("LlamaForCausalLM")
    held = plain.cache()
    for new in (3, 4, 1, 2, 3, SIZES[-1], SIZES[-1] + 1):
        ids, places = np.arange(new) % 97, np.arange(cache.buffer.used, cache.buffer.used + new)
        found, wanted = (
            outputs_of(one, where, ids, places, None, np.arange(new))
            for one, where in ((backend, cache), (plain, held))
        )
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)
    assert (traced.recorded, traced.replayed) == (len(SIZES), 6)  # one pass was larger than every recording


@pytest.mark.parametrize("recorded", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_tree_that_outgrows_its_buffer_continues(recorded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
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
        capacities.add(cache.buffer.capacity)
    assert sorted(capacities) == [8, 16, 32, 64]


def test_the_buffer_of_a_deleted_tree_is_reused(few: Any) -> None:
    """With the passes recorded over it, but none of its entries, not even NaN."""
    backend = made("LlamaForCausalLM")
    backend.prepare(traced := Traced())
    cache = backend.cache()
    buffer = cache.buffer
    first = outputs_of(backend, cache, np.array([5]), np.array([0]), None, np.array([0]))
    with torch.inference_mode():
        for layer in buffer.cache.layers:
            layer.keys[:] = layer.values[:] = torch.nan
    del cache
    later = backend.cache()
    other = backend.cache()
    assert later.buffer is buffer
    assert other.buffer is not buffer
    np.testing.assert_array_equal(first, outputs_of(backend, later, np.array([5]), np.array([0]), None, np.array([0])))
    assert (traced.recorded, traced.replayed) == (len(few), 2)


def test_a_buffer_freed_by_the_garbage_collector_is_reused() -> None:
    """As after a failed solve, whose traceback refers to itself."""
    backend = made("LlamaForCausalLM")
    cache = backend.cache()
    circle: list[Any] = [cache]
    first = outputs_of(backend, cache, np.array([5]), np.array([0]), None, np.array([0]))
    circle.append(circle)
    del cache, circle
    gc.collect()
    assert len(backend._pool) == 1
    again = backend.cache()
    np.testing.assert_array_equal(first, outputs_of(backend, again, np.array([5]), np.array([0]), None, np.array([0])))


def test_a_buffer_that_cannot_grow_is_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = made("LlamaForCausalLM")
    cache = backend.cache()
    first = outputs_of(backend, cache, np.array([5]), np.array([0]), None, np.array([0]))
    keys, capacity = cache.buffer.cache.layers[0].keys, cache.buffer.capacity

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA")

    monkeypatch.setattr(torch.Tensor, "new_zeros", full)
    with pytest.raises(EngineError, match="use fewer candidates"):
        backend.forward(cache, np.zeros(capacity, np.int64), np.zeros(capacity, np.int64), None, NOTHING)
    assert (cache.buffer.capacity, cache.buffer.cache.layers[0].keys is keys) == (capacity, True)
    backend.keep(cache, 0, NOTHING)
    np.testing.assert_array_equal(first, outputs_of(backend, cache, np.array([5]), np.array([0]), None, np.array([0])))


@pytest.mark.slow
def test_the_pool_keeps_as_many_buffers_as_were_used_at_once(few: Any) -> None:
    """Otherwise, with more concurrent solves than spare buffers, passes would be recorded again in every solve."""
    backend = made("LlamaForCausalLM")
    backend.prepare(traced := Traced())
    once = SPARE_BUFFERS + 2
    for _ in range(3):
        caches = [backend.cache() for _ in range(once)]
        for cache in caches:
            backend.forward(cache, np.array([5]), np.array([0]), None, np.array([0]))
        del cache
        caches.clear()
        assert len(backend._pool) == once
    assert (traced.recorded, traced.replayed) == (len(few) + once - 1, 3 * once)


@pytest.mark.slow
def test_a_long_tree_does_not_slow_down_later_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes over a few entries of a large buffer read only few entries."""
    monkeypatch.setattr(hf_backend, "RECORDED_CAPACITY", 16)
    backend = made("LlamaForCausalLM")
    backend.prepare(Traced())
    cache, plain = backend.cache(), made("LlamaForCausalLM")
    first = outputs_of(backend, cache, np.arange(100) % 97, np.arange(100), None, np.array([99]))
    buffer = cache.buffer
    assert buffer.capacity == 101
    del cache
    cache, held = backend.cache(), plain.cache()
    assert cache.buffer is buffer
    for new in (3, 10, 1, 4, 20, 40):
        ids, places = np.arange(new) % 97, np.arange(cache.buffer.used, cache.buffer.used + new)
        found, wanted = (
            outputs_of(one, where, ids, places, None, np.arange(new))
            for one, where in ((backend, cache), (plain, held))
        )
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)
    assert set(buffer.passes) == {(128, 101), (4, 16), (16, 16), (1, 16), (4, 32), (32, 64), (64, 101)}
    assert first.shape == (1, 97)


def test_the_unrecorded_backend_takes_no_buffer_from_the_pool(few: Any) -> None:
    """Otherwise, after the probe, solves would use buffers over which nothing is recorded."""
    backend = made("LlamaForCausalLM")
    backend.prepare(traced := Traced())
    assert tree_error(backend, backend.unrecorded()) < 1e-4
    assert len(backend._pool) == 1
    backend.forward(backend.cache(), np.array([5]), np.array([0]), None, np.array([0]))
    assert traced.recorded == len(few)


def test_spare_buffers_are_released() -> None:
    backend = made("LlamaForCausalLM")
    spare = [backend.cache() for _ in range(2)]
    buffers = [weakref.ref(cache.buffer) for cache in spare]
    spare.clear()
    assert len(backend._pool) == 2
    assert release_spare_buffers() >= 2
    assert [buffer() for buffer in buffers] == [None, None]


@pytest.mark.parametrize("first", [False, True])
def test_spare_buffers_are_released_when_memory_runs_out(first: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Buffers of any model in the process, for a first buffer as well as for a larger one."""
    other, backend = made("LlamaForCausalLM"), made("LlamaForCausalLM")
    release_spare_buffers()
    cache = None if first else backend.cache()
    spare = other.cache()
    del spare
    assert len(other._pool) == 1
    real = torch.Tensor.new_zeros

    def full(*args: Any, **kwargs: Any) -> Any:
        if other._pool:
            raise torch.OutOfMemoryError("CUDA")
        return real(*args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "new_zeros", full)
    cache = cache or backend.cache()
    new = 2 * cache.buffer.capacity
    ids = np.arange(new) % 97
    found = outputs_of(backend, cache, ids, np.arange(new), None, np.array([new - 1]))
    wanted = outputs_of(other, other.cache(), ids, np.arange(new), None, np.array([new - 1]))
    np.testing.assert_array_equal(found, wanted)


def test_returned_rows_survive_later_passes(few: Any) -> None:
    backend = made("LlamaForCausalLM")
    backend.prepare(Traced())
    cache = backend.cache()
    first = backend.forward(cache, np.array([5]), np.array([0]), None, np.array([0]))
    before = backend.logits_ops.to_numpy(first).copy()
    backend.forward(cache, np.array([6]), np.array([1]), None, np.array([0]))
    np.testing.assert_array_equal(backend.logits_ops.to_numpy(first), before)


@pytest.mark.parametrize("shape", [(1, 48), (2, 48), (MOST_ROWS, 48), (MOST_ROWS + 1, 48), (1, 5, 48), (3, 1, 48)])
@pytest.mark.parametrize("bias", [False, True])
def test_the_product_for_few_rows_equals_the_usual_one(shape: tuple[int, ...], bias: bool) -> None:
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
def test_grouped_attention_equals_that_of_transformers(heads: int, kv_heads: int, masked: bool) -> None:
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


BLOCK = 64


def blind(query: Any, key: Any, value: Any, attn_mask: Any = None, **others: Any) -> Any:
    """Attention as a kernel may compute it: a row that sees no entry in the first block is NaN."""
    found = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=attn_mask, **others)
    if attn_mask is None:
        return found
    return found.masked_fill(~attn_mask[..., :BLOCK].any(-1, keepdim=True), torch.nan)


def test_surplus_rows_see_entries_as_a_token_does(few: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their output goes into the spare entry, which is masked; a mask hides any number, but not NaN."""
    monkeypatch.setattr(kernels, "scaled_dot_product_attention", blind)
    backend, plain = made("LlamaForCausalLM"), made("LlamaForCausalLM")
    backend.prepare(Traced())
    cache, held = backend.cache(), plain.cache()
    assert cache.buffer.capacity > 2 * BLOCK
    for new in (3, 5, 1):
        ids, places = np.arange(new) + 7, np.arange(cache.buffer.used, cache.buffer.used + new)
        found, wanted = (
            outputs_of(one, where, ids, places, None, np.arange(new))
            for one, where in ((backend, cache), (plain, held))
        )
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)
    spare = torch.stack([layer.keys[..., -1, :] for layer in cache.buffer.cache.layers])
    assert spare.isfinite().all()
    assert spare.any()


@pytest.mark.slow
def test_the_probe_detects_passes_that_leave_nan_behind(few: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = made("LlamaForCausalLM")
    backend.prepare(Traced())
    assert tree_error(backend, backend.unrecorded()) < 1e-4
    real = Pass.__call__
    buffer = backend._pool.take()
    assert buffer is not None

    def poisoned(one: Pass, ids: Any, *others: Any) -> Any:
        found = real(one, ids, *others)
        if len(ids) < one._numbers.shape[1]:
            for layer in buffer.cache.layers:
                layer.values[..., -1, :] = torch.nan
        return found

    monkeypatch.setattr(Pass, "__call__", poisoned)
    backend._pool.put_back(buffer)
    with pytest.raises(FloatingPointError):
        tree_error(backend, backend.unrecorded())


class FakeCuda:
    """`torch.cuda` without a GPU, as far as recording needs it, with its allocator's rule for shared memory.

    `streams` are those on which work was called; `pools` counts the recordings in each memory pool.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pools: dict[int, int] = {}
        self.streams: list[Any] = []
        self.devices: list[Any] = []
        for name in ("CUDAGraph", "graph", "graph_pool_handle", "Stream", "stream", "current_stream", "device"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(passes, "_pool", functools.cache(passes._pool.__wrapped__))

    def CUDAGraph(self) -> Any:  # noqa: N802
        return _Graph()

    def graph_pool_handle(self) -> int:
        return len(self.pools) + 1

    @contextlib.contextmanager
    def graph(self, graph: Any, pool: int, stream: Any, capture_error_mode: str) -> Iterator[None]:
        assert self.pools.get(pool) != 0, "all recordings in this pool are deleted: torch's allocator would fail"
        assert self.devices, "recorded on torch's current device instead of the model's"
        assert capture_error_mode == "thread_local"
        self.pools[pool] = self.pools.get(pool, 0) + 1
        weakref.finalize(graph, self._gone, pool)
        self.streams.append(stream)
        yield

    def _gone(self, pool: int) -> None:
        self.pools[pool] -= 1

    def Stream(self) -> Any:  # noqa: N802
        return mock.Mock()

    current_stream = Stream

    @contextlib.contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        self.streams.append(stream)
        yield

    @contextlib.contextmanager
    def device(self, device: Any) -> Iterator[None]:
        self.devices.append(device)
        yield
        self.devices.pop()


class _Graph:
    def replay(self) -> None:
        pass


def test_recording_works_after_all_earlier_recordings_are_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda(monkeypatch)
    for _ in range(3):
        backend = made("LlamaForCausalLM")
        backend.prepare(cuda_graphs(torch.device("cpu")))
        assert list(cuda.pools.values()) == [len(SIZES) + 1]
        del backend
        gc.collect()
    assert list(cuda.pools.values()) == [1]


def test_a_pass_is_recorded_on_the_stream_of_its_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda(monkeypatch)
    record = cuda_graphs(torch.device("cpu"))
    record(lambda: torch.zeros(1))
    assert len(cuda.streams) == 3  # the recording that always stays, then the warm-up and the new recording
    assert cuda.streams[0] is cuda.streams[1] is cuda.streams[2], "recordings on different streams cannot share memory"


@pytest.mark.parametrize("fails", [False, True])
def test_checking_whether_a_model_synchronises_gives_no_warning(fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch warns when the mode is first set, and warnings are errors, as in some programs. The mode is restored."""
    modes: list[Any] = ["warn"]

    def change(mode: Any) -> None:
        warnings.warn("Synchronization debug mode is a prototype feature", UserWarning, stacklevel=2)
        modes.append(mode)

    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: modes[-1])
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", change)

    def work() -> Any:
        assert modes[-1] == "error"
        if fails:
            raise RuntimeError("called a synchronizing CUDA operation")
        return torch.zeros(1)

    if fails:
        with pytest.raises(Waits):
            never_waiting(work)
    else:
        assert never_waiting(work) is work
    assert modes == ["warn", "error", "warn"]


@pytest.mark.parametrize("waits", [False, True])
def test_a_model_that_cannot_be_recorded_is_reported(
    few: Any, waits: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def asked(work: Any) -> Any:
        if waits:
            raise Waits from RuntimeError("called a synchronizing CUDA operation\nat ...")
        return work

    monkeypatch.setattr(hf_backend, "recorder", lambda device: Traced())
    monkeypatch.setattr(hf_backend, "never_waiting", asked)
    backend = made("LlamaForCausalLM")
    backend.device = "cuda:0"
    said = [record.getMessage() for record in caplog.records]
    if waits:
        assert backend.record is None
        (line,) = said
        assert line.startswith(
            "LlamaForCausalLM stops to read what it computes (called a synchronizing CUDA operation)"
        )
        with pytest.raises(EngineError, match="not recorded on cuda:0"):
            recorded(backend)
    else:
        assert said == []
        assert recorded(backend) is backend


@pytest.mark.parametrize("allowed", [False, True])
def test_cudnn_attention_is_switched_off_in_passes_only(allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def watched(*args: Any, **others: Any) -> Any:
        seen.append(torch.backends.cuda.cudnn_sdp_enabled())
        return torch.nn.functional.scaled_dot_product_attention(*args, **others)

    monkeypatch.setattr(kernels, "scaled_dot_product_attention", watched)
    backend = made("LlamaForCausalLM")
    before = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(allowed)
    try:
        mask = np.ones((1, 1), bool)
        outputs_of(backend, backend.cache(), np.array([5]), np.array([0]), mask, np.array([0]))
        assert seen == [False] * SHAPE["num_hidden_layers"]
        assert torch.backends.cuda.cudnn_sdp_enabled() is allowed
        with pytest.raises(RuntimeError, match="any"), without_cudnn():
            raise RuntimeError("any")
        assert torch.backends.cuda.cudnn_sdp_enabled() is allowed
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)


def test_passes_in_two_threads_restore_cudnn_attention() -> None:
    """The first to begin also ends first."""
    enabled = torch.backends.cuda.cudnn_sdp_enabled
    before = enabled()
    torch.backends.cuda.enable_cudnn_sdp(True)
    try:
        with contextlib.ExitStack() as second:
            with without_cudnn():
                second.enter_context(without_cudnn())
            assert not enabled()
        assert enabled()
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)


def test_passes_over_guesses_fit_into_a_recording() -> None:
    """With the default number of candidates and of guesses for each."""
    assert Beam().n * (TOKENS + 1) <= SIZES[-1]
