"""Chat templates: what a model reads before and after an answer, and which of it users wrote; import `prompts`."""
