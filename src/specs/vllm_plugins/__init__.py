"""vLLM plugins that serve this project's models fast; vLLM loads them through entry points.

vLLM loads them into its own processes if this package is installed beside it (`VLLM_PLUGINS` selects some). They
import nothing else from this package, and the client (`specs.engines.vllm`) imports only their constants. Clients
look in the server's /metrics for `scoring` and `padding` before they rely on them.
"""
