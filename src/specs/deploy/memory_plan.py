"""The memory plan: which server on which GPUs, with what share of them, and how many solves fit at a time.

    CEILING x GPU        >=  sum over its servers of (utilisation x GPU + OUTSIDE + score rows)
    utilisation x GPU    =   weights / tp + OVERHEAD + KV          tp: GPUs that share a model

`utilisation` is vLLM's --gpu-memory-utilization: a share of the whole GPU for everything that one server
holds, which vLLM measures when it starts and fills up with KV. Two things it does not measure: what a
process takes of a GPU before it looks (OUTSIDE), and the rows of logits that scoring given tokens makes.
A gigabyte is 10^9 bytes, which a GPU sold as "80 GB" has with all its reserves taken off.
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
"""Share of a GPU that is planned for; the rest is for its driver and for fragments."""
OUTSIDE = 0.75 * GB
"""CUDA context and communication buffers of one server on one GPU."""
OVERHEAD = 2 * GB
"""CUDA graphs, activations and sampling of one server on one GPU, with the two limits that follow."""
BATCH_TOKENS = 2048
"""Tokens that a server computes at once: --max-num-batched-tokens."""
SEQUENCES = 256
"""Sequences that a server runs at once: --max-num-seqs."""
SCORE_ROW = 10
"""Bytes of a scored token for each entry of the vocabulary: logits, their float32 copy, log-softmax."""
BLOCK = 16
"""Tokens of a block of vLLM's KV cache."""


@dataclass(frozen=True, slots=True)
class Model:
    """What the plan has to know of a model.

    Attributes:
        architecture: as in its config.json.
        weights: bytes on a GPU.
        kv_heads: heads that keep keys and values; `heads` counts those that query them.
        context: most tokens of a sequence.
        windowed: some layers forget what is outside a window, so that KV is less than is planned for.
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
        """Bytes of keys and values of one token on each of `tp` GPUs; no GPU holds less than one head."""
        return 2 * self.layers * max(1, self.kv_heads // tp) * self.head_dim * itemsize

    def splits(self, tp: int) -> bool:
        """Whether vLLM can share the model between `tp` GPUs."""
        return self.heads % tp == 0 and (self.kv_heads % tp == 0 or tp % self.kv_heads == 0)


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU.

    Attributes:
        name: what CUDA_VISIBLE_DEVICES calls it.
        memory: bytes.
    """

    name: str
    memory: int


@dataclass(frozen=True, slots=True)
class Load:
    """The largest solve that is planned for.

    Attributes:
        context: tokens of prompt, trace and the step being written.
        step_tokens: cap on the tokens of one step.
        n: candidates a step.
    """

    context: int
    step_tokens: int
    n: int

    def __post_init__(self) -> None:
        if self.step_tokens >= self.context:
            raise InputError(
                f"steps of {self.step_tokens} tokens leave nothing of a context of {self.context}; "
                "give a smaller --max-step-tokens or a larger --context"
            )

    def kv_tokens(self, block: int = BLOCK) -> int:
        """Tokens of KV that one solve takes of one server, in whole blocks.

        All candidates share the blocks that the prefix fills. Each holds its own from there on, and the
        prefix may end anywhere in a block.
        """
        shared = (self.context - self.step_tokens) // block
        own = -(-(block - 1 + self.step_tokens) // block)
        return (shared + self.n * own) * block

    def check(self, role: Role, model: Model) -> None:
        """Raises InputError where a model reads fewer tokens than the context has."""
        if self.context > model.context:
            raise InputError(
                f"--context {self.context}: {role} {model.name} reads at most {model.context} tokens; give at most that"
            )

    @property
    def sequences(self) -> int:
        """Sequences that each server must be able to run at once."""
        return max(SEQUENCES, self.n)


@dataclass(frozen=True, slots=True)
class Server:
    """One server of a plan.

    Attributes:
        gpus: those it runs on, the same share of each.
        utilisation: that share, in (0, 1), of three decimals.
        kv_tokens: tokens of KV that it has room for.
    """

    role: Role
    model: Model
    gpus: tuple[Gpu, ...]
    utilisation: float
    kv_tokens: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the servers go.

    Attributes:
        solves: how many solves as large as `load` fit at the same time, >= 1.
    """

    servers: tuple[Server, ...]
    load: Load
    solves: int

    def shared(self, server: Server) -> list[Server]:
        """The servers before this one that are on one of its GPUs."""
        before = self.servers[: self.servers.index(server)]
        return [other for other in before if not set(other.gpus).isdisjoint(server.gpus)]


Placement = Mapping[Role, tuple[Gpu, ...]]


def plan(models: Mapping[Role, Model], gpus: Sequence[Gpu], load: Load) -> Plan:
    """The best placement: models split over as few GPUs as fit, then most solves, then the target most alone.

    Args:
        models: one of each role.

    Raises:
        NoRoom: no placement fits.
    """
    for splits in _splits(models, gpus):
        plans = [fitted for placed in _placements(gpus, splits) if (fitted := _fit(models, placed, load))]
        if plans:
            return max(plans, key=_merit)
    raise NoRoom(_shortage(models, gpus, load))


def _splits(models: Mapping[Role, Model], gpus: Sequence[Gpu]) -> Iterator[list[dict[Role, int]]]:
    """How many GPUs each model is split over; in one list those that take the same number in all."""
    largest = CEILING * max(gpu.memory for gpu in gpus)
    ways = [
        [tp for tp in range(1, len(gpus) + 1) if model.splits(tp) and _alone(role, model, tp) < largest]
        for role, model in models.items()
    ]
    for _, same in groupby(sorted(product(*ways), key=sum), key=sum):
        yield [dict(zip(models, tps, strict=True)) for tps in same]


def _placements(gpus: Sequence[Gpu], splits: Iterable[Mapping[Role, int]]) -> Iterator[Placement]:
    """Each model on GPUs that are next to each other by size, in all ways."""
    by_size = sorted(gpus, key=lambda gpu: -gpu.memory)
    for split in splits:
        rows = [
            [tuple(sorted(by_size[first : first + tp], key=gpus.index)) for first in range(len(gpus) - tp + 1)]
            for tp in split.values()
        ]
        for placed in product(*rows):
            yield dict(zip(split, placed, strict=True))


def _fit(models: Mapping[Role, Model], placed: Placement, load: Load) -> Plan | None:
    """Each GPU's room for KV, shared out in the proportion in which a solve fills it; None if it holds no solve."""
    tp = {role: len(gpus) for role, gpus in placed.items()}
    held = {role: _held(model, tp[role]) for role, model in models.items()}
    taken = {role: _alone(role, model, tp[role]) for role, model in models.items()}
    rate = {role: model.kv_per_token(tp[role]) for role, model in models.items()}

    def share(role: Role, gpu: Gpu) -> float:
        here = [other for other in models if gpu in placed[other]]
        room = CEILING * gpu.memory - sum(taken[other] for other in here)
        return (held[role] + room * rate[role] / sum(rate[other] for other in here)) / gpu.memory

    servers = []
    for role, model in models.items():
        utilisation = floor(1000 * min(share(role, gpu) for gpu in placed[role])) / 1000
        room = min(utilisation * gpu.memory for gpu in placed[role]) - held[role]
        blocks = floor(room / (rate[role] * BLOCK)) - 1  # vLLM keeps one for itself
        servers.append(Server(role, model, placed[role], utilisation, blocks * BLOCK))
    solves = min(*(server.kv_tokens // load.kv_tokens() for server in servers), load.sequences // load.n)
    return Plan(tuple(servers), load, solves) if solves >= 1 else None


def _held(model: Model, tp: int) -> float:
    """Bytes on each GPU that vLLM counts before it fills up with KV."""
    return model.weights / tp + OVERHEAD


def _alone(role: Role, model: Model, tp: int) -> float:
    """Bytes on each GPU that a server takes without KV, those included that vLLM does not count."""
    rows = SCORE_ROW * BATCH_TOKENS * model.vocabulary if role is Role.TARGET else 0
    return _held(model, tp) + OUTSIDE + rows


def _merit(plan: Plan) -> tuple[int, ...]:
    """More solves; then less beside the target, which scores while the PRM rewards; then less beside each other."""
    draft, target, prm = (
        {gpu for server in plan.servers if server.role is role for gpu in server.gpus}
        for role in (Role.DRAFT, Role.TARGET, Role.PRM)
    )
    return plan.solves, -len(target & draft) - len(target & prm), -len(draft & prm)


def _shortage(models: Mapping[Role, Model], gpus: Sequence[Gpu], load: Load) -> str:
    weights = sum(model.weights for model in models.values())
    around = sum(_alone(role, model, 1) for role, model in models.items()) - weights
    kv = load.kv_tokens() * sum(model.kv_per_token() for model in models.values())
    sizes = dict.fromkeys(f"{gpu.memory / GB:g}" for gpu in gpus)
    return (
        f"the models do not fit on {len(gpus)} GPU{'s'[: len(gpus) != 1]} of {' and '.join(sizes)} GB: weights "
        f"({', '.join(f'{role} {gigabytes(model.weights)}' for role, model in models.items())}), buffers "
        f"({gigabytes(around)}) and KV of one solve ({gigabytes(kv)}) make {gigabytes(weights + around + kv)} GB, "
        f"and no GPU takes more than {CEILING:.0%}; choose smaller or quantised models, a smaller --context or --n, "
        "or more GPUs"
    )


def gigabytes(size: float) -> str:
    return f"{size / GB:.1f}" if size >= GB / 10 else f"{size / GB:.1g}"
