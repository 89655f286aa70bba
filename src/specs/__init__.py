"""SPECS: faster test-time scaling through speculative drafts (arXiv 2506.15733)."""

from specs.api import Solved, asolve, asolve_many, astream, load, solve, solve_many, stream
from specs.config import Limits, SolveConfig, configure
from specs.engines.adapter.interface import StepText
from specs.engines.adapter.models import adapt
from specs.engines.protocol import Models
from specs.errors import EngineError, InputError, ModelError, SpecsError
from specs.methods.specs import Specs
from specs.types import Candidate, Chat, Finish, Result, Role, SamplingParams, StepPolicy, StepRecord, Turn, Usage

__version__ = "0.1.0"

__all__ = [
    "Candidate",
    "Chat",
    "EngineError",
    "Finish",
    "InputError",
    "Limits",
    "ModelError",
    "Models",
    "Result",
    "Role",
    "SamplingParams",
    "SolveConfig",
    "Solved",
    "Specs",
    "SpecsError",
    "StepPolicy",
    "StepRecord",
    "StepText",
    "Turn",
    "Usage",
    "adapt",
    "asolve",
    "asolve_many",
    "astream",
    "configure",
    "load",
    "solve",
    "solve_many",
    "stream",
]

_RENAMED = {"Law": "specs.SamplingParams", "presets": "specs.config.presets"}
"""Public names of version 0.1 that have changed, with their new names."""


def __getattr__(name: str) -> object:
    if name in _RENAMED:
        raise ImportError(f"specs.{name} is called {_RENAMED[name]} now")
    raise AttributeError(f"module 'specs' has no attribute {name!r}")
