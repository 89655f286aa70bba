"""The GPU: its properties, its best rates, and the times of its attention kernels."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from research.benchmarks.gpu.act import Act, Found, Point
from research.benchmarks.gpu.timing import timed
from research.cost_suite.shapes import TRIOS
from specs.eval.environment import environment
from specs.types import Role

TRIO = TRIOS["Qwen2.5 1.5B, 7B, 7B"]
KERNELS = {  # cuDNN first: it keeps its plan for a shape, and torch's own choice may be cuDNN
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
    "flash, no mask": SDPBackend.FLASH_ATTENTION,
    "torch's choice": None,
}


def points(act: Act) -> Iterator[Point]:
    yield Point("machine", lambda: machine(act), 5)
    yield Point("ceilings", lambda: ceilings(act), 15)
    yield Point("attention", lambda: attention(act), 15)


def machine(act: Act) -> Found:
    """Versions, driver and properties of the GPU."""
    found: Found = {"environment": environment(), "cuda": torch.version.cuda, "capability": None}
    if act.on_gpu:
        card: Any = torch.cuda.get_device_properties(act.device)
        found["capability"] = f"{card.major}.{card.minor}"
        found["processors"], found["memory_bytes"] = card.multi_processor_count, card.total_memory
        found["cudnn"] = torch.backends.cudnn.version()
        query = "--query-gpu=name,driver_version,power.limit,clocks.sm,clocks.mem,temperature.gpu"
        asked = subprocess.run(["nvidia-smi", query, "--format=csv"], capture_output=True, text=True, check=False)
        found["nvidia_smi"] = asked.stdout.strip().splitlines()
    return found


def ceilings(act: Act) -> Found:
    """The best rates of copying, reading and computing, per second, on random numbers (zeros can be faster)."""
    side, size, repeats = (256, 1 << 20, 3) if act.dry else (8192, 1 << 32, 20)
    source = torch.randint(0, 255, (size,), dtype=torch.uint8, device=act.device)
    target = torch.empty_like(source)
    copied = timed(lambda: target.copy_(source), act.device, repeats)["device_ms"][0]
    matrix = torch.randn(side, side, device=act.device, dtype=torch.bfloat16)
    product = timed(lambda: matrix @ matrix, act.device, repeats)["device_ms"][0]
    single = matrix.float()
    in_fp32 = timed(lambda: single @ single, act.device, repeats)["device_ms"][0]
    weights = torch.randn(size // (2 * side), side, device=act.device, dtype=torch.bfloat16)
    rows = torch.randn(side, 8, device=act.device, dtype=torch.bfloat16)
    read = timed(lambda: weights @ rows, act.device, repeats)["device_ms"][0]
    return {
        "copied_bytes_per_s": 2 * size / copied * 1e3,
        "read_bytes_per_s": 2 * weights.numel() / read * 1e3,
        "bf16_flops_per_s": 2 * side**3 / product * 1e3,
        "fp32_flops_per_s": 2 * side**3 / in_fp32 * 1e3,
    }


def attention(act: Act) -> Found:
    """Times of attention in one layer of the target after its prefix, for each kernel and shape.

    The first call with a shape, which may have to make a plan, is timed apart from later ones. Query heads that share
    keys are rows of one product, as in `specs.engines.local.torch.kernels`.
    """
    shape = TRIO[Role.TARGET].shape
    prefix, repeats = (32, 2) if act.dry else (1024, 20)
    dtype = torch.float32 if act.device == "cpu" else torch.bfloat16
    groups = shape.heads // shape.kv_heads
    found: Found = {}
    # The first shape only loads libraries; its times are not kept.
    for new, shift in ((5, 0), *((new, shift) for new in (8, 64, 480) for shift in (0, 7))):
        entries = prefix + new + shift
        query = torch.randn(1, shape.kv_heads, groups * new, shape.head, device=act.device, dtype=dtype)
        key, value = torch.randn(2, 1, shape.kv_heads, entries, shape.head, device=act.device, dtype=dtype)
        mask = torch.rand(1, 1, groups * new, entries, device=act.device) < 0.7
        mask[..., 0] = True
        for name, kernel in KERNELS.items():
            masked = None if "no mask" in name else mask

            def call(kernel: Any = kernel, some: Any = (query, key, value), masked: Any = masked) -> Any:
                with nullcontext() if kernel is None else sdpa_kernel(kernel):
                    return scaled_dot_product_attention(*some, attn_mask=masked)

            try:
                took = timed(call, act.device, repeats)
            except RuntimeError as error:  # no such kernel for this shape or device
                took = {"refused": str(error).partition("\n")[0]}
            if new != 5:
                found[f"{name}, {new} tokens, {entries} entries"] = took
    return found
