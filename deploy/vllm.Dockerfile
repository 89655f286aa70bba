# vLLM's image with the plugins of this package: scores at any temperature and after a cached prefix, and rewards of
# Qwen2.5-Math-PRM after a cached prefix (docs/serving.md).
FROM vllm/vllm-openai:v0.32.0
COPY pyproject.toml README.md LICENSE /specs/
COPY src /specs/src
RUN uv pip install --system --no-cache --no-deps /specs
