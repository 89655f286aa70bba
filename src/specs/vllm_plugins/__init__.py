"""What a vLLM server needs to serve this project's models fast: loaded by vLLM itself, through entry points.

vLLM loads them wherever this package is installed beside it (`VLLM_PLUGINS` picks some). Nothing
else here imports these modules, and they import nothing else from here.
"""
