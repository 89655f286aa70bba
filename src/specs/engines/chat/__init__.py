"""Chat templates: what a model reads before and after an answer, and which of it comes from users. No models here."""
