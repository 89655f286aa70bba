"""The values that all other packages exchange: frozen dataclasses without I/O. Imports only `specs.errors`.

Notation as in docs/method.md: `q` draft model, `p` target model, `r` process reward model
(PRM), `c` context, `y` one candidate step, `n` candidates a step.
"""

from specs.types.enums import Capability, End, Finish, Phase, Role, ThinkingEnd
from specs.types.requests import (
    Accept,
    Branch,
    Decision,
    Glimpse,
    Judge,
    Probe,
    Probed,
    Proposal,
    Propose,
    Score,
    SelectTrace,
)
from specs.types.result import DRAWS, Result, Seconds, StepRecord, Usage
from specs.types.sampling import SamplingParams, StepPolicy
from specs.types.trace import NO_CONTEXT, Candidate, Chat, Thinking, Trace, Turn

__all__ = [
    "DRAWS",
    "NO_CONTEXT",
    "Accept",
    "Branch",
    "Candidate",
    "Capability",
    "Chat",
    "Decision",
    "End",
    "Finish",
    "Glimpse",
    "Judge",
    "Phase",
    "Probe",
    "Probed",
    "Proposal",
    "Propose",
    "Result",
    "Role",
    "SamplingParams",
    "Score",
    "Seconds",
    "SelectTrace",
    "StepPolicy",
    "StepRecord",
    "Thinking",
    "ThinkingEnd",
    "Trace",
    "Turn",
    "Usage",
]
