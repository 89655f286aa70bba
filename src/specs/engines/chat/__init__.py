"""Chat templates: the text around an answer, and which parts of it users wrote; import `prompts`."""
