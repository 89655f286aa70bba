"""Measurements of the bundled models and the engines; each module is a command with a record in `research/records`."""
