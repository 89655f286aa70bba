"""A Hugging Face model as a `Backend`.

The cache is memory for the keys and values of every layer, allocated once. It holds the branches of a token tree side
by side, and the attention mask says which token sees which entry. That works for models whose whole state is such a
cache. Recurrent and hybrid models fold the past into one state, which cannot hold two branches. Logits stay on the
device, and on CUDA the backend records passes of few tokens.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from inspect import signature
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from specs.engines.arrays import Bools, Ints
from specs.engines.local.backend import NO_OTHER_DTYPE
from specs.engines.local.buffers import BufferPool, PooledBuffer, enlarged, release_spare_buffers
from specs.engines.local.logits import LogitsOps
from specs.engines.local.torch.cache import KVBuffer, entries_of
from specs.engines.local.torch.kernels import suited, without_cudnn
from specs.engines.local.torch.logits import TorchLogitsOps
from specs.engines.local.torch.passes import SIZES, Pass, Record, Waits, cuda_graphs, never_waiting
from specs.errors import EngineError, ModelError, SpecsError

Kind = Literal["lm", "prm"]
T = TypeVar("T")

_log = logging.getLogger(__name__)

# Nats of a step's summed log-probability. Kernels for one row and for many rows round differently.
# Over 40 tokens of random models (CPU) the sums differ by 1e-6 to 2e-5 in fp32 where logits reach 7.
# In half precision each hidden state keeps 8 (bf16) or 11 (fp16) bits, and where logits reach 20
# the sums differ by up to 0.63 and 0.13.
_TOLERANCE = {"fp32": 1e-4, "bf16": 1.0, "fp16": 0.25}

# fp16 overflows first: its numbers end at 65,504. bf16 has the range of fp32 but rounds more.
_IF_NOT_FINITE = {
    "fp32": NO_OTHER_DTYPE,
    "bf16": "load it with another dtype (dtype fp32)",
    "fp16": "load it with another dtype (dtype bf16 or fp32)",
}

FIRST_CAPACITY = 512
"""Entries of a new cache; it doubles when it is full."""

RECORDED_CAPACITY = 2048
"""Entries of a new cache if the backend records passes: a recording is lost when its memory moves."""

_FEWER = "use fewer candidates or a shorter context"


HFCache = PooledBuffer[KVBuffer]
"""Keys and values of one token tree, in memory that a later tree reuses, with the passes recorded over it."""


class HFBackend:
    """One loaded model; see `specs.engines.local.backend.Backend` for the members.

    `forward` raises EngineError when memory runs out; the caller must not use the cache afterwards.

    Attributes:
        record: how the backend records passes of few tokens (`prepare`): by CUDA graphs on CUDA, if the model never
            waits for its own results; None if it calls every kernel anew, as on a CPU.
        attention: context in which torch chooses the kernels for attention.
    """

    def __init__(
        self, name: str, kind: Kind, model: Any, context: int, dtype: str, vocabulary: int | None = None
    ) -> None:
        """The backend cuts rows beyond `vocabulary`, the size of the tokenizer's, as padding; None for no cut."""
        self.name = name
        self.parameters: int = sum(weight.numel() for weight in model.parameters())
        self.context = context
        self.device = str(model.device)
        self.concurrent_calls = 0  # a call uses all cores, or the device
        self.tolerance = _TOLERANCE[dtype]
        self.if_not_finite = _IF_NOT_FINITE[dtype]
        self.logits_ops: LogitsOps = TorchLogitsOps()
        self.attention: Callable[[], AbstractContextManager[None]] = without_cudnn
        self._model = suited(model)
        rows: int = model.get_input_embeddings().weight.shape[0]
        self.vocabulary = rows if vocabulary is None else min(rows, vocabulary)
        # A reward head costs nothing compared with the trunk, so it runs in fp32.
        self._head: Any = model.score.float() if kind == "prm" else None
        self._runs: Any = model if self._head is None else model.base_model
        self._cache_argument = cache_argument(self._runs)
        *_, last = (model.get_output_embeddings() if self._head is None else self._head).parameters()
        self.width: int = min(last.shape[0], self.vocabulary)
        self._pool: BufferPool[KVBuffer] = BufferPool()
        with torch.inference_mode():
            # A first token shows what each layer keeps of a token.
            cache, zero = DynamicCache(), torch.zeros((1, 1), dtype=torch.long, device=model.device)
            self._compute(cache, zero, zero, None)
            self._shapes, self._like = entries_of(cache)
        self.record: Record | None = None
        record = recorder(model.device)
        if record is not None and self._can_be_recorded():
            self.prepare(record)

    def cache(self) -> HFCache:
        buffer = self._pool.take()
        with torch.inference_mode():
            if buffer is None:
                with within_memory(self.name, EngineError, _FEWER):
                    buffer = _retry_without_spare_buffers(self._new_buffer)
            buffer.clear(everything=self.record is not None)
        return HFCache(buffer, self._pool)

    def forward(self, cache: HFCache, ids: Ints, positions: Ints, visible: Bools | None, want: Ints) -> Tensor:
        if not 0 <= ids.min() <= ids.max() < self.vocabulary:
            raise ModelError(
                f"{self.name}: token {int(ids.max())} is outside the model's vocabulary of {self.vocabulary}: "
                "use the tokenizer that belongs to the model"
            )
        with torch.inference_mode(), within_memory(self.name, EngineError, _FEWER):
            # Entries count only after this line, so a pass that has run out of memory can start again.
            output = _retry_without_spare_buffers(lambda: self._pass(cache.buffer, ids, positions, visible, want))
        cache.buffer.use.used += len(ids)
        return output

    def _pass(self, buffer: KVBuffer, ids: Ints, positions: Ints, visible: Bools | None, want: Ints) -> Tensor:
        new, device = len(ids), self._model.device
        buffer.reserve(buffer.used + new + 1)
        if self.record is not None and new <= SIZES[-1]:
            causal = np.tri(new, buffer.used + new, buffer.used, dtype=bool) if visible is None else visible
            size = next(size for size in SIZES if size >= new)
            return self._recorded(buffer, size, buffer.used + new + 1, self.record)(ids, positions, causal, want)
        return self._compute(
            buffer.cache,
            torch.tensor(ids, device=device)[None],
            torch.tensor(positions, device=device)[None],
            # Models use a mask of four dimensions as it is; None lets a fused causal kernel run.
            None if visible is None else torch.tensor(visible, device=device)[None, None],
            torch.tensor(want, device=device),
        )

    def keep(self, cache: HFCache, length: int, moved: Ints) -> None:
        with torch.inference_mode():
            cache.buffer.keep(length, moved.tolist())

    def _compute(
        self, cache: Any, ids: Tensor, positions: Tensor, visible: Tensor | None, want: Tensor | None = None
    ) -> Tensor:
        """Outputs [wanted, width] after the tokens in `want` (None: all).

        A reward head returns fp32, a language model its own dtype.
        """
        inputs = {
            "input_ids": ids,
            "position_ids": positions,
            "attention_mask": visible,
            self._cache_argument: cache,
            "use_cache": True,
        }
        with self.attention():
            if self._head is None:
                # The model's own forward, because some models scale or cap their logits after the head.
                return self._runs(**inputs, logits_to_keep=0 if want is None else want).logits[0, :, : self.width]
            hidden = self._runs(**inputs).last_hidden_state[0]
        return self._head((hidden if want is None else hidden[want]).float())

    def prepare(self, record: Record) -> None:
        """Record passes of few tokens from now on, and those over the memory of a first cache immediately."""
        self.record = record
        with torch.inference_mode():
            buffer = self._new_buffer()
            for size in SIZES:
                self._recorded(buffer, size, buffer.capacity, record)
        self._pool.clear()
        self._pool.put_back(buffer)

    def unrecorded(self) -> HFBackend:
        """The same model without recorded passes."""
        other = copy(self)
        other.record, other._pool = None, BufferPool()
        return other

    def with_attention(self, attention: Callable[[], AbstractContextManager[None]]) -> HFBackend:
        """The same model with other kernels for attention, and with its own memory and recordings."""
        other = copy(self)
        other.attention, other._pool = attention, BufferPool()
        if self.record is not None:
            other.prepare(self.record)
        return other

    def _new_buffer(self) -> KVBuffer:
        return KVBuffer(self._shapes, self._like, RECORDED_CAPACITY if self.record else FIRST_CAPACITY)

    def _recorded(self, buffer: KVBuffer, size: int, entries: int, record: Record) -> Pass:
        """The recorded pass for `size` tokens over this buffer.

        It reads `entries` entries, rounded up as memory is (`enlarged`), but not the whole buffer: a buffer that a long
        solve has enlarged must not make short solves slow.
        """
        span = RECORDED_CAPACITY
        while span < entries:
            span = enlarged(span, 0)
        key = size, min(span, buffer.capacity)
        if key not in buffer.passes:
            buffer.passes[key] = Pass(buffer, *key, self._compute, record, self._model.device)
        return buffer.passes[key]

    def _can_be_recorded(self) -> bool:
        try:
            with torch.inference_mode():
                self._recorded(KVBuffer(self._shapes, self._like, SIZES[0] + 1), SIZES[0], SIZES[0] + 1, never_waiting)
        except Waits as error:
            _log.warning(
                "%s stops to read what it computes (%s), so its passes cannot be recorded as CUDA graphs: "
                "expect each token to take longer",
                self.name,
                str(error.__cause__).partition("\n")[0],
            )
            return False
        return True


def recorder(device: torch.device) -> Record | None:
    """How to record passes on a device; None if that saves no time there."""
    return cuda_graphs(device) if device.type == "cuda" else None


def cache_argument(model: Any) -> str:
    """Name of the cache argument of a model's `forward`: `cache` since transformers 5.24, else `past_key_values`."""
    return "cache" if "cache" in signature(model.forward).parameters else "past_key_values"


@contextmanager
def within_memory(name: str, kind: type[SpecsError], fix: str) -> Iterator[None]:
    """Turn torch's out-of-memory errors into `kind`, which names the model and the fix."""
    try:
        yield
    except RuntimeError as error:
        if _is_out_of_memory(error):
            raise kind(f"{name} does not fit into memory: {fix}") from None
        raise


def _is_out_of_memory(error: RuntimeError) -> bool:
    # The CPU's allocator has no exception class of its own.
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _retry_without_spare_buffers(work: Callable[[], T]) -> T:
    """The result of `work`; if memory runs out, release the spare buffers of all models and try again."""
    try:
        return work()
    except RuntimeError as error:
        if not _is_out_of_memory(error) or not release_spare_buffers():
            raise
    return work()
