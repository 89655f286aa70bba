"""The memory plan: which server runs on which GPUs, with what share, and how many solves fit at the same time.

    CEILING x GPU        >=  sum over its servers of (utilisation x GPU + OUTSIDE + score rows)
    utilisation x GPU    =   weights / tp + OVERHEAD + KV          tp: GPUs that share a model

`utilisation` is vLLM's --gpu-memory-utilization: the share of the whole GPU for one server. vLLM measures at its
start what it needs, and fills the rest of its share with KV cache. It does not count what a process takes before it
measures (OUTSIDE), nor the rows of logits for scoring given tokens. A gigabyte is 10^9 bytes; a GPU sold as "80 GB"
has that much even after all reserves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, product
from math import floor

from specs.errors import InputError, NoRoom
from specs.types import Role

GB = 10**9
CEILING = 0.95
"""Share of a GPU that the plan uses; the rest is for the driver and fragmentation."""
OUTSIDE = 0.75 * GB
"""Bytes for the CUDA context and communication buffers of one server on one GPU."""
OVERHEAD = 2 * GB
"""Bytes for CUDA graphs, activations and sampling of one server on one GPU, under the next two limits."""
BATCH_TOKENS = 2048
"""Tokens that a server computes in one pass: --max-num-batched-tokens."""
SEQUENCES = 256
"""Sequences that a server runs at the same time: --max-num-seqs."""
SCORE_ROW = 10
"""Bytes per scored token and vocabulary entry: logits, their float32 copy, log-softmax."""
BLOCK = 16
"""Tokens per block of vLLM's KV cache."""


@dataclass(frozen=True, slots=True)
class Model:
    """The sizes of a model that the plan needs.

    Attributes:
        architecture: as in its config.json.
        weights: bytes on a GPU.
        heads: query heads.
        kv_heads: heads that store keys and values.
        context: the most tokens of a sequence.
        windowed: whether some layers attend only to a window or read another layer's KV, so that KV takes less than
            planned.
    """

    name: str
    architecture: str
    weights: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context: int
    windowed: bool = False

    def kv_per_token(self, tp: int = 1, itemsize: int = 2) -> int:
        """Bytes of one token's keys and values on each of `tp` GPUs; every GPU holds at least one head."""
        return 2 * self.layers * max(1, self.kv_heads // tp) * self.head_dim * itemsize

    def splits(self, tp: int) -> bool:
        """Whether vLLM can split the model over `tp` GPUs."""
        return self.heads % tp == 0 and (self.kv_heads % tp == 0 or tp % self.kv_heads == 0)


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU.

    Attributes:
        name: its name for CUDA_VISIBLE_DEVICES.
        memory: size in bytes.
    """

    name: str
    memory: int


@dataclass(frozen=True, slots=True)
class Workload:
    """The largest solve that the plan must support.

    Attributes:
        context: tokens of prompt, trace and current step together.
        step_tokens: the most tokens of one step.
        n: candidates per step.
        thinking_tokens: the most tokens of the thinking among those of the context; None if the models do not think.
    """

    context: int
    step_tokens: int
    n: int
    thinking_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.step_tokens >= self.context:
            raise InputError(
                f"steps of {self.step_tokens} tokens leave no room in a context of {self.context}; "
                "give a smaller max_step_tokens or a larger context"
            )

    def kv_tokens(self, block: int = BLOCK) -> int:
        """Tokens of KV cache that one solve needs on one server, in whole blocks.

        All candidates share the blocks that the prefix fills. After them each candidate has its own blocks, and
        the prefix may end anywhere in a block.
        """
        shared = (self.context - self.step_tokens) // block
        own = -(-(block - 1 + self.step_tokens) // block)
        return (shared + self.n * own) * block

    def check(self, role: Role, model: Model) -> None:
        """Raise InputError if the model's context is shorter than the workload's."""
        if self.context > model.context:
            raise InputError(
                f"context {self.context}: {role} {model.name} reads at most {model.context} tokens; "
                f"{self._mend(role, model.context)}"
            )

    def _mend(self, role: Role, context: int) -> str:
        """What to change if a model reads only `context` tokens."""
        if self.thinking_tokens is None:
            return "give at most that"
        if role is Role.PRM:
            return "leave it out: the methods for thinking models need no prm"
        left = self.thinking_tokens - (self.context - context)
        return f"give thinking_tokens of at most {left}" if left > 0 else "choose a model with a longer context"

    @property
    def sequences(self) -> int:
        """Sequences that each server must be able to run at the same time."""
        return max(SEQUENCES, self.n)


@dataclass(frozen=True, slots=True)
class Server:
    """One server of a plan.

    Attributes:
        gpus: the GPUs that it runs on, with the same share of each.
        utilisation: that share, in (0, 1), with three decimals.
        kv_tokens: capacity of its KV cache in tokens.
    """

    role: Role
    model: Model
    gpus: tuple[Gpu, ...]
    utilisation: float
    kv_tokens: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A placement of the servers.

    Attributes:
        solves: how many solves of size `load` fit at the same time, >= 1.
    """

    servers: tuple[Server, ...]
    load: Workload
    solves: int

    @property
    def sequences(self) -> int:
        """Sequences that each server runs at the same time (--max-num-seqs).

        Long traces fill the KV cache, so a server of models that think takes no more than fit: a sequence that waits
        keeps its turn, while one that is preempted loses its KV.
        """
        return self.load.sequences if self.load.thinking_tokens is None else self.solves * self.load.n

    def shared(self, server: Server) -> list[Server]:
        """The earlier servers that share a GPU with this one."""
        before = self.servers[: self.servers.index(server)]
        return [other for other in before if not set(other.gpus).isdisjoint(server.gpus)]


Placement = Mapping[Role, tuple[Gpu, ...]]


def plan(models: Mapping[Role, Model], gpus: Sequence[Gpu], load: Workload) -> Plan:
    """The best placement: it splits models the least; then the most solves fit; then the target shares the fewest GPUs.

    Args:
        models: by role; the PRM may be missing.

    Raises:
        NoRoom: no placement fits.
    """
    for splits in _splits(models, gpus):
        plans = [fitted for placed in _placements(gpus, splits) if (fitted := _fit(models, placed, load))]
        if plans:
            return max(plans, key=_preference)
    raise NoRoom(_shortage_message(models, gpus, load))


def _splits(models: Mapping[Role, Model], gpus: Sequence[Gpu]) -> Iterator[list[dict[Role, int]]]:
    """Numbers of GPUs per model; each list holds the choices with the same total, and totals rise."""
    largest = CEILING * max(gpu.memory for gpu in gpus)
    ways = [
        [tp for tp in range(1, len(gpus) + 1) if model.splits(tp) and _bytes_without_kv(role, model, tp) < largest]
        for role, model in models.items()
    ]
    for _, same in groupby(sorted(product(*ways), key=sum), key=sum):
        yield [dict(zip(models, tps, strict=True)) for tps in same]


def _placements(gpus: Sequence[Gpu], splits: Iterable[Mapping[Role, int]]) -> Iterator[Placement]:
    """All placements in which each model is on GPUs that are neighbours in size."""
    by_size = sorted(gpus, key=lambda gpu: -gpu.memory)
    for split in splits:
        rows = [
            [tuple(sorted(by_size[first : first + tp], key=gpus.index)) for first in range(len(gpus) - tp + 1)]
            for tp in split.values()
        ]
        for placed in product(*rows):
            yield dict(zip(split, placed, strict=True))


def _fit(models: Mapping[Role, Model], placed: Placement, load: Workload) -> Plan | None:
    """The plan of a placement; None if no solve fits.

    The servers of a GPU divide its KV memory in proportion to their bytes per token, as a solve fills it.
    """
    tp = {role: len(gpus) for role, gpus in placed.items()}
    held = {role: _counted_bytes(model, tp[role]) for role, model in models.items()}
    taken = {role: _bytes_without_kv(role, model, tp[role]) for role, model in models.items()}
    rate = {role: model.kv_per_token(tp[role]) for role, model in models.items()}

    def share(role: Role, gpu: Gpu) -> float:
        here = [other for other in models if gpu in placed[other]]
        room = CEILING * gpu.memory - sum(taken[other] for other in here)
        return (held[role] + room * rate[role] / sum(rate[other] for other in here)) / gpu.memory

    servers: list[Server] = []
    for role, model in models.items():
        utilisation = floor(1000 * min(share(role, gpu) for gpu in placed[role])) / 1000
        room = min(utilisation * gpu.memory for gpu in placed[role]) - held[role]
        blocks = floor(room / (rate[role] * BLOCK)) - 1  # vLLM reserves one block
        servers.append(Server(role, model, placed[role], utilisation, blocks * BLOCK))
    solves = min(*(server.kv_tokens // load.kv_tokens() for server in servers), load.sequences // load.n)
    return Plan(tuple(servers), load, solves) if solves >= 1 else None


def _counted_bytes(model: Model, tp: int) -> float:
    """Bytes on each GPU that vLLM counts before it adds the KV cache."""
    return model.weights / tp + OVERHEAD


def _bytes_without_kv(role: Role, model: Model, tp: int) -> float:
    """Bytes on each GPU that a server takes without KV cache, including those that vLLM does not count."""
    rows = SCORE_ROW * BATCH_TOKENS * model.vocabulary if role is Role.TARGET else 0
    return _counted_bytes(model, tp) + OUTSIDE + rows


def _preference(plan: Plan) -> tuple[int, ...]:
    """Larger is better: more solves, then fewer GPUs shared with the target, then fewer shared by draft and PRM.

    The target scores while the PRM rewards, so they should not share a GPU.
    """
    draft, target, prm = (
        {gpu for server in plan.servers if server.role is role for gpu in server.gpus}
        for role in (Role.DRAFT, Role.TARGET, Role.PRM)
    )
    return plan.solves, -len(target & draft) - len(target & prm), -len(draft & prm)


def _shortage_message(models: Mapping[Role, Model], gpus: Sequence[Gpu], load: Workload) -> str:
    weights = sum(model.weights for model in models.values())
    around = sum(_bytes_without_kv(role, model, 1) for role, model in models.items()) - weights
    kv = load.kv_tokens() * sum(model.kv_per_token() for model in models.values())
    sizes = dict.fromkeys(f"{gpu.memory / GB:g}" for gpu in gpus)
    return (
        f"the models do not fit on {len(gpus)} GPU{'s'[: len(gpus) != 1]} of {' and '.join(sizes)} GB: weights "
        f"({', '.join(f'{role} {gigabytes(model.weights)}' for role, model in models.items())}), buffers "
        f"({gigabytes(around)}) and KV of one solve ({gigabytes(kv)}) make {gigabytes(weights + around + kv)} GB, "
        f"and the plan fills at most {CEILING:.0%} of a GPU; choose smaller or quantised models, a smaller context or "
        "n, or more GPUs"
    )


def gigabytes(size: float) -> str:
    return f"{size / GB:.1f}" if size >= GB / 10 else f"{size / GB:.1g}"
