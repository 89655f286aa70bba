"""The `Backend` of small Llama- and Qwen2-shaped models in fp32 on the CPU, by onnxruntime and without torch.

It loads a Hugging Face folder (`config.json`, `model.safetensors`) and builds the graph
(`specs.engines.local.onnx.graph`). Each cache has one buffer of keys and values, which the attention kernel reads and
extends in place: a call copies no cached entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from specs.engines.arrays import Bools, Floats, Ints
from specs.engines.local.backend import NO_OTHER_DTYPE
from specs.engines.local.background import cores
from specs.engines.local.buffers import BufferPool, PooledBuffer, enlarged
from specs.engines.local.logits import NUMPY_LOGITS_OPS
from specs.engines.local.onnx.denormals import Flushed
from specs.engines.local.onnx.graph import Shape, build_graph
from specs.engines.local.onnx.runtime import onnxruntime
from specs.engines.local.onnx.weights import Weights, read_shape, read_weights
from specs.errors import EngineError

FIRST_CAPACITY = 512
"""Entries of a new cache: enough for a short solve."""

SPARE_CAPACITY = 2048
"""The most entries of a buffer that the pool keeps: it releases the buffer of a rare long solve."""

SMALL_CALL = 32
"""The most tokens of a call whose arrays a buffer keeps for the next call of the same shape."""


def load_light(
    path: Path, threads: int = 1, labels: Sequence[int] | None = None, vocabulary: int | None = None
) -> LightBackend:
    """Load the model in folder `path`.

    Args:
        threads: threads of a call, >= 1.
        labels: the tokens of a language model whose logits to compute; None for all.
        vocabulary: size of the tokenizer's vocabulary; the backend cuts rows beyond it as padding. None for no cut.

    Raises:
        ModelError: the folder contains something other than a Llama or Qwen2 model in fp32, fp16 or bf16, with a
            language-model head or a reward head of 1 or 2 labels.
    """
    path = Path(path)
    shape = read_shape(path)
    weights = read_weights(path, shape, labels, vocabulary)
    return LightBackend(str(path), replace(shape, vocab=len(weights.arrays["embed"])), weights, threads)


class LightCache(PooledBuffer["_KVBuffer"]):
    """Keys and values of one token tree.

    No token sees entry 0. It is there so that no call starts with an empty cache: on one, the attention kernel assumes
    consecutive positions, which a tree does not have.
    """

    __slots__ = ("used",)

    def __init__(self, buffer: _KVBuffer, pool: BufferPool[_KVBuffer]) -> None:
        super().__init__(buffer, pool)
        self.used = 1

    def __del__(self) -> None:
        self._pool.put_back(self.buffer, keep=self.buffer.capacity <= SPARE_CAPACITY)


class _KVBuffer:
    """The memory of a cache, bound to the session; one cache after another uses it.

    Attributes:
        keys_values: [layers, 2, 1, kv_heads, entries, head].
        mask: [SMALL_CALL, entries], out: [SMALL_CALL, width]; small calls use their first rows.
        calls: arrays of small calls, by new tokens and wanted rows.
        bound: the arrays that the session reads and writes now.
        flushed: the context in which calls run.
    """

    __slots__ = ("binding", "bound", "calls", "flushed", "keys_values", "last", "mask", "out", "tables", "total")

    def __init__(self, binding: Any, shape: Shape, width: int) -> None:
        self.binding = binding
        self.keys_values: Floats = np.zeros((shape.layers, 2, 1, shape.kv_heads, 1, shape.head), np.float32)
        self.tables: tuple[Floats, Floats] = (self.keys_values, self.keys_values)
        self.last = np.zeros(1, np.int32)
        self.total = np.zeros(1, np.int32)
        self.mask: Floats = np.empty((SMALL_CALL, 1), np.float32)
        self.out: Floats = np.empty((SMALL_CALL, width), np.float32)
        self.calls: dict[tuple[int, int], _Arrays] = {}
        self.bound: _Arrays | None = None
        self.flushed = Flushed()

    @property
    def capacity(self) -> int:
        return self.keys_values.shape[-2]


class _Arrays:
    """The arrays that calls of one shape read and write.

    Attributes:
        ids, positions: [new]
        want: [wanted]
        bias: [new, columns]; the kernel reads as many columns as the cache has entries.
        out: [1, wanted, width]
    """

    __slots__ = ("_limits", "_numbers", "_values", "bias", "ids", "out", "positions", "want")

    def __init__(self, wanted: int, bias: Floats, out: Floats, shape: Shape) -> None:
        ort = onnxruntime()

        new = len(bias)
        numbers = np.empty(2 * new + wanted, np.int64)
        self.ids, self.positions, self.want = np.split(numbers, [new, 2 * new])
        self._numbers = numbers.view(np.uint64)  # a negative number reads as a huge one
        self._limits = np.repeat(np.array([shape.vocab, shape.context, new], np.uint64), [new, new, wanted])
        self.bias, self.out = bias, out[None]
        seen = {
            "ids": self.ids[None],
            "positions": self.positions[None],
            "want": self.want,
            "bias": self.bias[None, None],
        }
        view = ort.OrtValue.ortvalue_from_numpy  # of the same memory
        self._values = [(name, view(array)) for name, array in seen.items()], view(self.out)

    def bind(self, binding: Any) -> None:
        inputs, out = self._values
        for name, value in inputs:
            binding.bind_ortvalue_input(name, value)
        binding.bind_ortvalue_output("out", out)

    def within(self) -> bool:
        """Whether every id is a token, every position inside the context, every wanted row a new token."""
        return not np.count_nonzero(self._numbers >= self._limits)


class LightBackend:
    """`specs.engines.local.backend.Backend` over one onnxruntime session.

    Calls release the interpreter lock while they compute. Different threads may use different caches at the same time,
    but only one thread may use a cache.
    """

    def __init__(self, name: str, shape: Shape, weights: Weights, threads: int = 1) -> None:
        self.name = name
        self.parameters = weights.parameters
        self.context = shape.context
        self.vocabulary = shape.vocab
        self.width = weights.arrays["head"].shape[0]
        self.device = "cpu"
        self.concurrent_calls = cores() // threads - 1
        self.tolerance = 1e-4
        self.if_not_finite = NO_OTHER_DTYPE
        self.logits_ops = NUMPY_LOGITS_OPS
        self.shape = shape
        self._arrays = weights.arrays  # the session refers to their memory
        self._session = _session(shape, weights, threads)
        self._tables = _rotary(shape, shape.context)
        self._pool: BufferPool[_KVBuffer] = BufferPool()

    def cache(self) -> LightCache:
        buffer = self._pool.take()
        if buffer is None:
            buffer = _KVBuffer(self._session.io_binding(), self.shape, self.width)
            self._reserve(buffer, 1, FIRST_CAPACITY)
        return LightCache(buffer, self._pool)

    def forward(self, cache: LightCache, ids: Ints, positions: Ints, visible: Bools | None, want: Ints) -> Floats:
        """See `Backend.forward`.

        Raises:
            EngineError: an id lies outside the vocabulary, a position outside the context, or positions or mask have
                a wrong shape.
        """
        new, used = len(ids), cache.used
        total = used + new
        if len(positions) != new:
            raise EngineError(f"{len(positions)} positions for {new} tokens: give each token one")
        if not new:
            return np.empty((len(want), self.width), np.float32)
        buffer = cache.buffer
        if total > buffer.capacity:
            self._reserve(buffer, used, total)
        call = self._call(buffer, new, len(want), total)
        call.ids[:], call.positions[:], call.want[:] = ids, positions, want
        self._check(call, visible, used - 1)
        bias = call.bias[:, :total]
        if visible is None:  # the kernel's own order is causal
            bias.fill(0)
            bias[:, 0] = -np.inf
        else:
            bias.fill(-np.inf)
            np.copyto(bias[:, 1:], 0, where=visible)
        buffer.last[0], buffer.total[0] = total - 1, call.bias.shape[1]
        with buffer.flushed:
            self._session.run_with_iobinding(buffer.binding)
        cache.used = total
        return call.out[0].copy()

    def keep(self, cache: LightCache, length: int, moved: Ints) -> None:
        """See `Backend.keep`."""
        first, count = length + 1, len(moved)
        if not 0 <= length < cache.used or (count and not length <= moved[0] <= moved[-1] < cache.used - 1):
            raise EngineError(
                f"cannot keep {length} + {count} of {cache.used - 1} cache entries: name entries it holds"
            )
        if count and moved[-1] != length + count - 1:  # some are not in place yet
            keys_values = cache.buffer.keys_values
            keys_values[..., first : first + count, :] = keys_values[..., np.asarray(moved) + 1, :]
        cache.used = first + count

    def _call(self, buffer: _KVBuffer, new: int, wanted: int, total: int) -> _Arrays:
        """The bound arrays of a call; the buffer keeps those of small calls, whose shapes recur."""
        call = buffer.calls.get((new, wanted))
        if call is None:
            if max(new, wanted) <= SMALL_CALL:
                call = _Arrays(wanted, buffer.mask[:new], buffer.out[:wanted], self.shape)
                buffer.calls[new, wanted] = call
            else:
                bias, out = np.empty((new, total), np.float32), np.empty((wanted, self.width), np.float32)
                call = _Arrays(wanted, bias, out, self.shape)
        if call is not buffer.bound:
            call.bind(buffer.binding)
            buffer.bound = call
        return call

    def _check(self, call: _Arrays, visible: Bools | None, held: int) -> None:
        """Refuse inputs with which the kernels would read out of bounds, or which they would silently ignore."""
        new = len(call.ids)
        if not call.within():
            if call.ids.min() < 0 or call.ids.max() >= self.shape.vocab:
                raise EngineError(
                    f"a token id lies outside {self.name}'s vocabulary of {self.shape.vocab}: check the tokenizer"
                )
            if call.positions.min() < 0 or call.positions.max() >= self.context:
                raise EngineError(f"a position lies outside {self.name}'s context of {self.context}: shorten the input")
            raise EngineError(f"a wanted row is not one of the {new} new tokens: number rows from 0")
        if visible is not None and visible.shape != (new, held + new):
            raise EngineError(f"the mask is {visible.shape}, not {(new, held + new)}: give [new, cached + new]")

    def _reserve(self, buffer: _KVBuffer, used: int, entries: int) -> None:
        """Move the `used` entries to memory for at least `entries`."""
        shape = self.shape
        capacity = enlarged(buffer.capacity, entries)
        buffer.calls.clear()  # their masks have a column for each entry
        keys_values = np.zeros((*buffer.keys_values.shape[:-2], capacity, shape.head), np.float32)
        keys_values[..., :used, :] = buffer.keys_values[..., :used, :]
        buffer.keys_values = keys_values
        buffer.mask = np.empty((SMALL_CALL, capacity), np.float32)
        # The kernel needs a table row for each entry, although a tree has fewer positions than entries.
        buffer.tables = self._tables if capacity <= len(self._tables[0]) else _rotary(shape, capacity)
        bind = buffer.binding.bind_input
        for name, table in zip(("cos", "sin"), buffer.tables, strict=True):
            bind(name, "cpu", 0, np.float32, table.shape, table.ctypes.data)
        bind("last", "cpu", 0, np.int32, (1,), buffer.last.ctypes.data)
        bind("total", "cpu", 0, np.int32, (1,), buffer.total.ctypes.data)
        for layer, sides in enumerate(keys_values):
            for side, block in zip("KV", sides, strict=True):
                bind(f"past_{side}_{layer}", "cpu", 0, np.float32, block.shape, block.ctypes.data)
                buffer.binding.bind_output(f"new_{side}_{layer}", "cpu", 0, np.float32, block.shape, block.ctypes.data)


def _rotary(shape: Shape, rows: int) -> tuple[Floats, Floats]:
    """[rows, head/2] cosines and sines; angles in fp32, as the models were trained."""
    exponent = np.arange(0, shape.head, 2, dtype=np.float32) / np.float32(shape.head)
    # This rounds like transformers: another order of operations changes a sharp model's log-probabilities by several
    # 1e-4 after a few hundred positions.
    frequencies = np.float32(1) / np.power(shape.theta, exponent.astype(np.float64)).astype(np.float32)
    angles = np.arange(rows, dtype=np.float32)[:, None] * frequencies
    return np.cos(angles), np.sin(angles)


def _session(shape: Shape, weights: Weights, threads: int) -> Any:
    ort = onnxruntime()

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Waiting threads sleep, because several models of a solve share few cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_mem_pattern = False  # a memory plan fits one input shape, and each call has a new one
    arrays = weights.arrays
    options.add_external_initializers(list(arrays), [ort.OrtValue.ortvalue_from_numpy(a) for a in arrays.values()])
    graph = build_graph(shape, {name: array.shape for name, array in arrays.items()})
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
