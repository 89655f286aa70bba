"""The `Backend` of GGUF models, over llama.cpp.

llama.cpp accepts no mask: a token sees the cells of the cache that carry the number of its sequence, up to its own
position. A cell may carry many numbers, and that is enough for a tree: every tip (an entry without children) has a
sequence, and each cell carries the sequences of all tips below it. So a token sees its ancestors and nothing else. A
fork adds a number to the cells that it shares and copies nothing.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from specs.engines.arrays import Bools, Floats, Ints
from specs.engines.local.backend import NO_OTHER_DTYPE, finite, tree_error
from specs.engines.local.buffers import enlarged
from specs.engines.local.llama_cpp.gguf import Gguf, library
from specs.engines.local.logits import NUMPY_LOGITS_OPS
from specs.errors import EngineError, InputError, ModelError

NONE = -1
"""The parent of a token that begins a sequence."""

FIRST_CELLS = 1024
"""Tokens of a new cache; it doubles when it is full."""

_F32, _ALL_F32 = 0, "0"
"""llama.cpp's code for fp32 numbers, and for files whose weights are all fp32."""

# `Backend.tolerance` in nats, by whether all weights are F32. Products of one row and of many rows round differently,
# and more so with few bits: sums over 40 tokens of SmolLM2-135M in 4 bits differ by up to 1.3 nats.
_TOLERANCE = {True: 1e-4, False: 2.0}

# The largest accepted `tree_error`: the rounding of one short pass stays below it, a wrong tree above it.
_PROBE = 0.1

# Architectures whose longrope rotations change with the size of the whole cache, not with the length of a sequence.
_LONGROPE = ("phi3", "minicpm", "minicpm3")


class _Context:
    """A context of llama.cpp: a cache, and memory for its computations."""

    def __init__(self, file: Gguf, name: str, exact: bool) -> None:
        self._file, self._name, self._exact = file, name, exact
        self._open(FIRST_CELLS)

    def _open(self, cells: int) -> None:
        lib = library()
        params = lib.llama_context_default_params()
        # One call may fill the whole cache; llama.cpp splits it into parts of `n_ubatch`.
        params.n_ctx = params.n_batch = cells
        params.n_seq_max = lib.llama_max_parallel_sequences()
        params.kv_unified = params.swa_full = params.no_perf = True
        if self._exact:
            # llama.cpp's own choice, half precision and flash attention, is off by up to 0.03 in a logit.
            params.type_k = params.type_v = _F32
            params.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.n_threads = params.n_threads_batch = _threads()
        pointer = lib.llama_init_from_model(self._file.model, params)
        if pointer is None:
            raise EngineError(f"{self._name}: a cache of {cells} tokens does not fit into memory; use fewer candidates")
        self.pointer = pointer
        self.memory = lib.llama_get_memory(pointer)
        self.cells: int = lib.llama_n_ctx(pointer)
        self._close = weakref.finalize(self, lib.llama_free, pointer)

    def reserve(self, cells: int) -> None:
        """Grow the cache to at least `cells` tokens."""
        if cells <= self.cells:
            return
        lib = library()
        size = lib.llama_state_get_size(self.pointer)
        state = (ctypes.c_uint8 * size)()
        lib.llama_state_get_data(self.pointer, state, size)
        close = self._close
        self._open(enlarged(self.cells, cells))
        lib.llama_state_set_data(self.pointer, state, size)
        close()

    def decode(self, ids: Ints, positions: Ints, sequences: list[list[int]], rows: Ints) -> Floats:
        """Compute tokens, each of which belongs to one or more sequences of the cache.

        Returns:
            [len(rows), width] outputs at the indices `rows` of these tokens: a view, which the next call overwrites.
        """
        lib = library()
        outputs = np.zeros(len(ids), np.int8)
        outputs[rows] = 1
        counts = np.array([len(some) for some in sequences], np.int32)
        flat = np.array([sequence for some in sequences for sequence in some], np.int32)
        starts = flat.ctypes.data + flat.itemsize * (np.cumsum(counts) - counts).astype(np.uintp)
        arrays = {
            "token": ids.astype(np.int32),
            "pos": positions.astype(np.int32),
            "n_seq_id": counts,
            "seq_id": starts,
            "logits": outputs,
        }
        batch = lib.llama_batch(n_tokens=len(ids))
        for field, kind in batch._fields_:
            if field in arrays:
                setattr(batch, field, ctypes.cast(arrays[field].ctypes.data, kind))
        if (code := lib.llama_decode(self.pointer, batch)) != 0:
            raise EngineError(f"{self._name}: llama.cpp could not compute {len(ids)} tokens (code {code})")
        width = lib.llama_vocab_n_tokens(self._file.vocabulary)
        return np.ctypeslib.as_array(lib.llama_get_logits(self.pointer), (len(rows), width))


class LlamaCache:
    """One token tree: the parent and position of each entry, and the sequence of each tip."""

    __slots__ = ("__weakref__", "context", "free", "parents", "positions", "tips")

    def __init__(self, context: _Context) -> None:
        self.context = context
        self.parents: list[int] = []
        self.positions: list[int] = []
        self.tips: dict[int, int] = {}
        self.free = list(range(library().llama_max_parallel_sequences()))

    def extend(self, parents: list[int], positions: list[int]) -> list[list[int]]:
        """Add entries, and return the sequences of each. A new entry below a tip continues the tip's sequence."""
        held = len(self.parents)
        self.parents += parents
        self.positions += positions
        inner = set(parents)
        sequences: list[list[int]] = [[] for _ in parents]
        for tip in range(held, len(self.parents)):
            if tip in inner:
                continue
            new, entry = [], tip
            while entry >= held:
                new.append(entry)
                entry = self.parents[entry]
            sequence = self.tips.pop(entry, None)
            self.tips[tip] = sequence = self._fork(entry) if sequence is None else sequence
            for entry in new:
                sequences[entry - held].append(sequence)
        return sequences

    def _fork(self, entry: int) -> int:
        """A new sequence that ends with a computed entry."""
        if not self.free:
            raise EngineError(f"llama.cpp can hold only {len(self.tips)} branches; use fewer candidates")
        sequence = self.free.pop()
        if entry != NONE:
            position = self.positions[entry]
            source = next(s for tip, s in self.tips.items() if self._up(tip, position) == entry)
            library().llama_memory_seq_cp(self.context.memory, source, sequence, 0, position + 1)
        return sequence

    def _up(self, entry: int, position: int) -> int:
        """The ancestor of an entry at a position, or the entry itself if it does not lie after that position."""
        while self.positions[entry] > position:
            entry = self.parents[entry]
        return entry

    def keep(self, kept: list[int]) -> None:
        """Drop all other entries; shorten each sequence to its remaining entries, or free it."""
        number = {entry: place for place, entry in enumerate(kept)}
        parents = [number.get(self.parents[entry], NONE) for entry in kept]
        inner = set(parents)
        tips: dict[int, int] = {}
        for entry, sequence in self.tips.items():
            while entry != NONE and entry not in number:
                entry = self.parents[entry]
            place = number.get(entry, NONE)
            stays = place != NONE and place not in inner and place not in tips
            begin = self.positions[entry] + 1 if stays else 0
            library().llama_memory_seq_rm(self.context.memory, sequence, begin, -1)
            if stays:
                tips[place] = sequence
            else:
                self.free.append(sequence)
        self.parents, self.positions, self.tips = parents, [self.positions[entry] for entry in kept], tips


class LlamaBackend:
    """One loaded model; see `specs.engines.local.backend.Backend` for the members.

    Different threads may use different caches at the same time, but only one thread may use a cache.
    `forward` raises EngineError when memory or branches run out; the caller must not use the cache afterwards.
    """

    def __init__(
        self, name: str, file: Gguf, device: str, context: int, labels: Sequence[int] | None, vocabulary: int | None
    ) -> None:
        lib = library()
        self.name = name
        self.parameters: int = lib.llama_model_n_params(file.model)
        self.device = device
        self.concurrent_calls = 0  # a call uses all cores, or the device
        self.context = context
        rows: int = lib.llama_vocab_n_tokens(file.vocabulary)
        self.vocabulary = rows if vocabulary is None else min(rows, vocabulary)
        self._labels = None if labels is None else np.array(labels)
        self.width = self.vocabulary if labels is None else len(labels)
        self._exact = file.value("general.file_type") == _ALL_F32
        self.tolerance = _TOLERANCE[self._exact]
        self.if_not_finite = NO_OTHER_DTYPE if self._exact else "take a file of another dtype (F32 or BF16)"
        self.logits_ops = NUMPY_LOGITS_OPS
        self._file = file
        self._idle: list[_Context] = []
        """Contexts of deleted caches: creating one takes longer than a short solve."""

    def cache(self) -> LlamaCache:
        try:
            context = self._idle.pop()
        except IndexError:
            context = _Context(self._file, self.name, self._exact)
        # Clear the numbers as well: a mask adds -inf to hidden entries, and NaN from a failed solve would stay NaN.
        library().llama_memory_clear(context.memory, True)
        cache = LlamaCache(context)
        weakref.finalize(cache, self._idle.append, context).atexit = False
        return cache

    def forward(self, cache: LlamaCache, ids: Ints, positions: Ints, visible: Bools | None, want: Ints) -> Floats:
        if not 0 <= ids.min() <= ids.max() < self.vocabulary:
            raise ModelError(
                f"{self.name}: token {int(ids.max())} is outside the vocabulary of {self.vocabulary}: "
                "use the tokenizer that belongs to the model"
            )
        held = len(cache.parents)
        cache.context.reserve(held + len(ids))
        sequences = cache.extend(_parents(visible, held, len(ids)), positions.tolist())
        rows, places = np.unique(want, return_inverse=True)
        outputs = cache.context.decode(ids, positions, sequences, rows)
        if self._labels is None:
            return outputs[places, : self.width]  # both copy
        return outputs[places[:, None], self._labels]

    def keep(self, cache: LlamaCache, length: int, moved: Ints) -> None:
        cache.keep([*range(length), *moved.tolist()])


def load_llama(
    path: Path, name: str, device: str = "auto", labels: Sequence[int] | None = None, vocabulary: int | None = None
) -> LlamaBackend:
    """Load a GGUF file and check that it can evaluate a tree.

    Args:
        name: the user's name for it.
        device: cpu, cuda, or auto (a GPU if llama.cpp was built for one).
        labels: the tokens whose logits to return; None for all.
        vocabulary: size of the tokenizer's vocabulary; the backend cuts rows beyond it as padding. None for no cut.

    Raises:
        InputError: llama.cpp was not built for that device.
        ModelError: the extra is missing, the file cannot be read, its cache cannot be forked, or its outputs are
            not finite.
    """
    lib = library()
    if device == "cuda" and not lib.llama_supports_gpu_offload():
        raise InputError(
            f"{name}: llama.cpp was built without device 'cuda'; use cpu, or build llama-cpp-python with CUDA"
        )
    place = "gpu" if device != "cpu" and lib.llama_supports_gpu_offload() else "cpu"
    file = Gguf(path, gpu=place == "gpu")
    model = file.model
    if lib.llama_model_is_recurrent(model) or lib.llama_model_is_hybrid(model):
        raise ModelError(f"{name} keeps a state that cannot be forked: serve it over HTTP instead")
    if (
        lib.llama_model_has_encoder(model)
        or not lib.llama_model_has_decoder(model)
        or lib.llama_model_is_diffusion(model)
    ):
        raise ModelError(f"{name} is not a causal language model; give one that writes from left to right")
    context: int = lib.llama_model_n_ctx_train(model)
    kind = file.value("general.architecture")
    if kind in _LONGROPE and int(file.value(f"{kind}.rope.scaling.original_context_length") or context) < context:
        raise ModelError(
            f"{name} has rotations (longrope) that depend on the size of the cache: serve it over HTTP instead"
        )
    if window := lib.llama_model_n_swa(model):
        # Within its window a sliding layer is an ordinary one; beyond the window, llama.cpp reuses cells.
        context = min(context, window - 1)
    backend = LlamaBackend(name, file, place, context, labels, vocabulary)
    with finite(backend, "outputs", ModelError):
        difference = tree_error(backend, backend)
    if not difference <= _PROBE:
        raise ModelError(f"{name} does not follow a tree of candidates: serve it over HTTP instead")
    return backend


def _threads() -> int:
    """Threads of a call, as in the other engines: OMP_NUM_THREADS if it is set, otherwise one for each core."""
    return int(os.environ.get("OMP_NUM_THREADS", "").partition(",")[0] or os.cpu_count() or 1)


def _parents(visible: Bools | None, held: int, new: int) -> list[int]:
    """The parent of each new token: the last entry that it sees apart from itself, or `NONE`."""
    if visible is None:
        return list(range(held - 1, held + new - 1))
    before = visible.copy()
    before[np.arange(new), held + np.arange(new)] = False
    last = held + new - 1 - before[:, ::-1].argmax(axis=1)
    return np.where(before.any(axis=1), last, NONE).tolist()
