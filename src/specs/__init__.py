"""SPECS: faster test-time scaling through speculative drafts (arXiv 2506.15733)."""

from specs.api import asolve, astream, load, solve, stream
from specs.config import Limits, SolveConfig, configure
from specs.engines.protocol import Models
from specs.errors import EngineError, InputError, ModelError, SpecsError
from specs.methods.specs import Specs
from specs.types import Candidate, Chat, Finish, Law, Result, Role, StepPolicy, StepRecord, Turn, Usage

__version__ = "0.1.0"

__all__ = [
    "Candidate",
    "Chat",
    "EngineError",
    "Finish",
    "InputError",
    "Law",
    "Limits",
    "ModelError",
    "Models",
    "Result",
    "Role",
    "SolveConfig",
    "Specs",
    "SpecsError",
    "StepPolicy",
    "StepRecord",
    "Turn",
    "Usage",
    "asolve",
    "astream",
    "configure",
    "load",
    "solve",
    "stream",
]
