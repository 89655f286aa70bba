"""The light engine: small Llama- and Qwen2-shaped models in fp32 on a CPU, by onnxruntime; import `backend`."""
