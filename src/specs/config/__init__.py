"""The configuration of a solve, and the preset files that store it. Imports methods; `presets` also imports traces."""

from specs.config.solve_config import Limits, SolveConfig, configure

__all__ = ["Limits", "SolveConfig", "configure"]
