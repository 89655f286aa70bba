"""Lower bounds of the time of a pass and of a step: reading weights and keys, and arithmetic (docs/performance.md)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from research.cost_suite.shapes import Trio, layer_weights
from specs.engines.local.onnx.graph import Shape
from specs.engines.local.onnx.runtime import onnxruntime
from specs.engines.local.torch.loading import DTYPES, device_of, usual_dtype
from specs.types import Role

REPEATS = 50


@dataclass(frozen=True, slots=True)
class Rates:
    """The best rates of a machine, as measured.

    Attributes:
        bytes_per_s: for repeatedly reading as many bytes as the weights of the largest model.
        flops_per_s: floating-point operations a second, for a large matrix product in the models' precision.
        number: bytes of a weight.
        together: how many models can compute at the same time, each at these rates.
    """

    bytes_per_s: float
    flops_per_s: float
    number: int
    together: int


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def core_rates(parameters: int, together: int) -> Rates:
    """Rates of one core in fp32, for weights of a model with `parameters`; `together` is the number of cores."""
    return Rates(read_rate(4 * parameters), product_rate(), 4, together)


def device_rates(parameters: int, device: str) -> Rates:
    """Rates of a torch device, in the models' usual precision on it, for weights of a model with `parameters`."""
    import torch

    place = device_of(device)
    dtype: torch.dtype = getattr(torch, DTYPES[usual_dtype(place)])
    number, size = dtype.itemsize, 8192 if place.type == "cuda" else 1024

    def waited(call: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> None:
            call()
            if place.type == "cuda":
                torch.cuda.synchronize(place)

        return run

    matrix = torch.randn(size, size, dtype=dtype, device=place)
    # Multiplying a matrix with one or a few vectors reads the matrix once.
    weights = torch.zeros(max(1, parameters // size), size, dtype=dtype, device=place)
    vector, few = matrix[0].contiguous(), matrix[:, :8].contiguous()
    readings, product = (
        (waited(lambda: weights @ vector), waited(lambda: weights @ few)),
        waited(lambda: matrix @ matrix),
    )
    read = min(seconds(reading) for reading in readings for _ in range(REPEATS))
    made = min(seconds(product) for _ in range(REPEATS))
    return Rates(number * weights.numel() / read, 2 * size**3 / made, number, 1)


def product_rate(size: int = 768) -> float:
    """Floating-point operations a second of a large fp32 product by onnxruntime on one thread."""
    import onnx

    ort = onnxruntime()

    helper, weight = onnx.helper, np.ones((size, size), np.float32)
    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [size, size]) for name in "xy")
    product = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([product], "product", [x], [y], [onnx.numpy_helper.from_array(weight, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return 2 * size**3 / min(seconds(lambda: session.run(None, {"x": weight})) for _ in range(REPEATS))


def read_rate(size: int) -> float:
    """Bytes a second at which one thread reads the same `size` bytes again and again."""
    a = np.ones(size // 1024 * 256, np.float32)
    matrix, x = a.reshape(-1, 256), np.ones(256, np.float32)
    return a.nbytes / min(seconds(call) for call in (lambda: a @ a, lambda: matrix @ x) for _ in range(REPEATS))


def weight_work(shape: Shape, outputs: int, tokens: int, rows: int, number: int = 4) -> tuple[float, float]:
    """Floating-point operations with the weight matrices, and their bytes, for a pass.

    Args:
        outputs: rows of the output matrix (the vocabulary).
        tokens: token positions of the pass.
        rows: how many of these positions need an output.
        number: bytes of a weight.
    """
    before, after = layer_weights(shape)  # in the last layer, only wanted rows are computed after attention
    layers, head = shape.layers, shape.hidden * outputs
    flops = 2.0 * (layers * before * tokens + after * ((layers - 1) * tokens + rows) + head * rows)
    return flops, float(number) * (layers * (before + after) + head)


@dataclass(frozen=True, slots=True)
class Floor:
    """Lower bounds for the seconds of steps after a prefix of `context` tokens."""

    rates: Rates
    trio: Trio
    context: int

    def a_pass(self, role: Role, tokens: int, rows: int) -> float:
        """Seconds of a pass over `tokens` positions with outputs of `rows`.

        This is the longer of two times: reading the weights and the prefix's keys and values once, and arithmetic.
        """
        size, number = self.trio[role], self.rates.number
        shape = size.shape
        flops, weights = weight_work(shape, size.outputs, tokens, rows, number)
        held = 2.0 * number * shape.layers * shape.kv_heads * shape.head * self.context
        return max((weights + held) / self.rates.bytes_per_s, flops / self.rates.flops_per_s)

    def written(self, role: Role, n: int, tokens: int) -> float:
        """Seconds of writing `n` candidates of `tokens` tokens, with one pass for each token."""
        return tokens * self.a_pass(role, n, n)

    def draft_step(self, n: int, tokens: int, target: bool = True) -> float:
        """Seconds of a step by the draft, which the PRM and (if `target`) the target score in one pass each."""
        scoring = [self.a_pass(Role.PRM, n * (tokens + 1), n)]
        if target:
            scoring.append(self.a_pass(Role.TARGET, n * tokens, n * tokens))
        together = max(scoring) if self.rates.together > 1 else sum(scoring)
        return self.written(Role.DRAFT, n, tokens) + together

    def target_step(self, n: int, tokens: int, prm: bool = True) -> float:
        """Seconds of a step by the target, which the PRM scores (if `prm`)."""
        return self.written(Role.TARGET, n, tokens) + (self.a_pass(Role.PRM, n * (tokens + 1), n) if prm else 0.0)
