"""vLLM plugins that serve this project's models fast; vLLM loads them through entry points, nothing imports them.

vLLM loads them into its own processes if this package is installed beside it (`VLLM_PLUGINS` selects some). They
import nothing else from this package. Clients look in the server's /metrics for `scoring` and `padding` before they
rely on them.
"""
