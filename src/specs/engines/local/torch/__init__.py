"""Hugging Face models in process: the `Backend` protocol over transformers and torch.

Needs the extra `specs-llm[torch]`; only `loading` can be imported without it.
"""
