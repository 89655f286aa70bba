"""How a solve is configured: its values, and the files that hold them. Imports methods; `presets` also traces."""

from specs.config.solve_config import Limits, SolveConfig, configure

__all__ = ["Limits", "SolveConfig", "configure"]
