"""Triton's interpreter as a backend named `cpu`, so that vLLM's model runner V2 runs without a GPU.

V2 needs a Triton backend named `cpu`, which the builds on PyPI lack. With TRITON_INTERPRET=1 kernels are interpreted
and nothing is compiled, so a backend of that name is enough. vLLM then runs as on a GPU, except for the speed of
kernels and for one kernel (`register`). Put the folder above this one on PYTHONPATH: Triton and vLLM find the backend
by its entry points.
"""


def register() -> None:
    """Use vLLM's torch code for top-k and top-p, because its kernel needs what the interpreter lacks."""
    from vllm.v1.sample.ops import topk_topp_sampler

    topk_topp_sampler.HAS_TRITON = False
