"""Hugging Face models of this process, by transformers and torch (extra `torch`); import `loading`.

Without the extra, only `loading` can be imported.
"""
