"""The OpenAI-compatible server, its metrics and its page."""
