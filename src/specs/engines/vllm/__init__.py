"""Models on servers: `client` speaks HTTP, `vllm` knows the server, `sessions` are the models in a solve."""
