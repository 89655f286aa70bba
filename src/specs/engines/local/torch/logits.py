"""`LogitsOps` of torch tensors: softmax and sampling run on the device that holds the logits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from specs.core.sampling import COLD, highest
from specs.engines.arrays import Floats
from specs.types import SamplingParams

AT_ONCE = 1 << 23
"""The most logits in one softmax, 32 MB in fp32; more rows are split."""

BLOCK = 256
"""Tokens of a block: sampling first finds the block of a draw by the blocks' sums, then the token in the block."""


class TorchLogitsOps:
    """Rows in any dtype; logits are in fp32 and sums of probabilities in fp64, as in `specs.core.sampling`."""

    def stack(self, rows: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(rows))

    def concatenate(self, first: Tensor, second: Tensor) -> Tensor:
        return torch.cat([first, second])

    @torch.inference_mode()
    def sample(
        self, rows: Tensor, params: SamplingParams, row_of: Sequence[int], uniforms: Sequence[float]
    ) -> tuple[list[int], list[float]]:
        drawn: list[list[float]] = [[] for _ in range(len(rows))]
        places = []
        for row, uniform in zip(row_of, uniforms, strict=True):
            places.append((row, len(drawn[row])))
            drawn[row].append(uniform)
        most = max(map(len, drawn))
        padded = torch.tensor([[*some, *[0.0] * (most - len(some))] for some in drawn], dtype=torch.float64)
        scores = _scores(rows, params)
        tokens, totals = _drawn(scores.exp(), padded.to(rows.device, non_blocking=True))
        gains = scores.gather(-1, tokens).double() - totals.log()
        found = torch.stack([tokens.double(), gains], -1).tolist()  # one transfer; fp64 holds a token exactly
        both = [found[row][place] for row, place in places]
        log_probabilities = [gain for _, gain in both]
        _check(rows, log_probabilities)
        return [int(token) for token, _ in both], log_probabilities

    @torch.inference_mode()
    def log_probabilities(
        self, rows: Tensor, params: SamplingParams, row_of: Sequence[int], tokens: Sequence[int]
    ) -> NDArray[np.floating]:
        index, wanted = np.array(row_of, np.int64), np.array(tokens, np.int64)
        found = torch.empty(len(wanted), dtype=torch.float64, device=rows.device)
        step = max(1, AT_ONCE // rows.shape[-1])
        for start in range(0, len(rows), step):
            mine = np.flatnonzero((index >= start) & (index < start + step))
            scores = _scores(rows[start : start + step], params)
            totals = scores.exp().sum(-1, dtype=torch.float64).log()
            places = torch.from_numpy(np.array([mine, index[mine] - start, wanted[mine]]))
            place, row, token = places.to(rows.device, non_blocking=True)
            found[place] = scores[row, token].double() - totals[row]
        logs = found.cpu().numpy()
        _check(rows, logs)
        return logs

    def to_numpy(self, rows: Tensor) -> Floats:
        numbers = rows.float().cpu().numpy()
        highest(numbers)
        return numbers


def _check(rows: Tensor, found: Sequence[float] | NDArray[np.float64]) -> None:
    """Raise FloatingPointError if `rows` are unusable: then their results `found`, which are in memory, contain NaN."""
    if np.isnan(found).any():
        highest(rows.amax(-1, keepdim=True).float().cpu().numpy())
        raise FloatingPointError("infinite")  # after division by the temperature


def _drawn(mass: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens by inversion, from masses [rows, V] by uniforms [rows, draws], and the mass of each row [rows, 1].

    It finds the block of a draw first, then the token in the block, so cumulative sums stay short.
    """
    rows, width = mass.shape
    if surplus := -width % BLOCK:
        mass = pad(mass, (0, surplus))
    parts = mass.view(rows, -1, BLOCK)
    ends = parts.sum(-1, dtype=torch.float64).cumsum(-1)
    totals = ends[:, -1:]
    # Scaling by the total keeps a uniform near 1 inside the support under rounding.
    goals = uniforms * totals
    # If a row contains NaN, the search may end beyond it.
    block = torch.searchsorted(ends, goals, right=True).clamp_(max=parts.shape[1] - 1)
    part = parts.gather(1, block[..., None].expand(-1, -1, BLOCK))
    goals = goals - pad(ends, (1, 0)).gather(-1, block)
    possible = part > 0
    beyond = possible & (part.cumsum(-1, dtype=torch.float64) > goals[..., None])
    # Rounding may leave no token beyond the goal; then the draw is the last possible token of the block.
    last = possible.cumsum(-1).argmax(-1)
    place = torch.where(beyond.any(-1), beyond.int().argmax(-1), last)
    return block * BLOCK + place, totals


def _scores(rows: Tensor, params: SamplingParams) -> Tensor:
    """Log-probabilities up to a constant per row, -inf where a filter removed a token (`specs.core.sampling.log_law`).

    An unusable row gives NaN for everything drawn from it. Checking for it here would wait for the device.
    """
    rows = rows.float()
    if params.temperature < COLD:
        best = rows.argmax(-1, keepdim=True)
        most = rows.gather(-1, best)
        return torch.full_like(rows, -torch.inf).scatter_(-1, best, most - most)
    scores = rows / params.temperature
    scores -= scores.amax(-1, keepdim=True)
    if params.min_p > 0:
        scores.masked_fill_(scores < math.log(params.min_p), -torch.inf)
    if 0 < params.top_k < scores.shape[-1]:
        last = scores.topk(params.top_k, -1).values[..., -1:]
        scores.masked_fill_(scores < last, -torch.inf)
    if params.top_p < 1:
        sampling = scores - scores.exp().sum(-1, keepdim=True, dtype=torch.float64).log().float()
        ordered, order = sampling.sort(dim=-1, descending=True, stable=True)
        mass = ordered.double().exp().cumsum(-1)
        # A token stays if the mass before it is below top_p; the first one always stays.
        outside = torch.cat([torch.zeros_like(mass[..., :1]), mass[..., :-1]], -1) >= params.top_p
        scores = scores.masked_fill(torch.zeros_like(outside).scatter_(-1, order, outside), -torch.inf)
    return scores
