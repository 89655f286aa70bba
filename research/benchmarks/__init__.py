"""Measurements on the bundled models and of the engines; each module is a command, its record in `research/records`."""
