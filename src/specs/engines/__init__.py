"""Engines: models behind one narrow protocol (docs/engines.md)."""
