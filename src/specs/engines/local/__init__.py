"""Engines of this process: a tree of tokens over one KV cache, on any `backend.Backend`; import models from `models`.

`onnx`, `torch` and `llama_cpp` hold the backends, `tabular` the exact small models. Nothing here uses HTTP.
"""
