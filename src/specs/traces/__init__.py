"""Writes solves as JSON, reads them back and replays them; import `schema`, `codec` and `replay`."""
