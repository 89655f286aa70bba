"""Theory on small exact models: the law of the running decoder against its limit (docs/theory.md)."""
