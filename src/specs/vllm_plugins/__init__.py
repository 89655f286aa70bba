"""What vLLM has to be taught so that scoring never computes a prefix twice: entry points of `vllm.general_plugins`.

They run inside the server's own processes and need this package installed there. Each says so in
the server's /metrics, where clients look before they rely on it.
"""
