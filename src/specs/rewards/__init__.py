"""Reads rewards from process reward models; import `format` for what a format is and `families` for the formats.

`specs.engines.inputs.RewardInputs.score` calls them with the rows that an engine's `head_outputs` returns.
"""
