"""vLLM plugins for exact and fast scoring and rewards.

If this package is installed beside vLLM, vLLM loads them through entry points into its own processes (`VLLM_PLUGINS`
selects some). They import nothing else from this package, and the client (`specs.engines.vllm`) imports only their
constants. The client looks in the server's /metrics for `scoring` and `padding` before it relies on them.
"""
