"""Checks and measures the torch engine on a GPU, and compares the times with predictions (scripts/gpu)."""
