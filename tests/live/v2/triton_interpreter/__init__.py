"""Triton's own interpreter as its backend for CPUs, so that vLLM's model runner V2 runs without a GPU.

V2 asks for a Triton that has a backend named `cpu`; the builds on PyPI have none. With TRITON_INTERPRET=1
kernels are interpreted and no backend compiles anything, so it is enough that one is there by that name.
All of vLLM is then as it is on a GPU but for the kernels' speed, and for one of them (`register`).
The folder above this one belongs on PYTHONPATH: Triton and vLLM find what they need by entry points.
"""


def register() -> None:
    """Top-k and top-p by vLLM's way in torch: its kernel for them uses what the interpreter does not have."""
    from vllm.v1.sample.ops import topk_topp_sampler

    topk_topp_sampler.HAS_TRITON = False
