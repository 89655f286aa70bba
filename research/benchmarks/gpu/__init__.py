"""The torch engine on a GPU: checks and measurements in order of worth, beside what was predicted (scripts/gpu)."""
