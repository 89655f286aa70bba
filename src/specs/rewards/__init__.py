"""Reads rewards from process reward models; import `format` for what a format is and `families` for the formats."""
