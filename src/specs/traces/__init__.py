"""Solves as JSON: writing them, reading them back, and replaying them. May import decoding."""
