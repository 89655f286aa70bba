"""Engines run the models of a solve behind one protocol; import `protocol` for its types and `loading` to load models.

`local` holds the engines of this process, `vllm` the client of vLLM servers, `chat` the chat templates
(docs/engines.md). Engines know nothing of methods or their options.
"""
