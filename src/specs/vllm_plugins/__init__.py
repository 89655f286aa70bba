"""What a vLLM server needs to serve this project's models fast: loaded by vLLM itself, through entry points.

vLLM loads them in its own processes wherever this package is installed beside it (`VLLM_PLUGINS`
picks some). They import nothing else of this package. Clients check in the server's /metrics that
`scoring` and `padding` are there before they rely on them.
"""
