"""The values that everything passes around: frozen, slotted, free of I/O. Imports nothing of the package but errors.

Notation as in docs/method.md: `q` draft model, `p` target model, `r` process reward model
(PRM), `c` context, `y` one candidate step, `n` candidates a step.
"""

from specs.types.enums import End, Finish, Role
from specs.types.requests import Accept, Branch, Decision, Judge, Proposal, Propose, Settle
from specs.types.result import DRAWS, Result, Seconds, StepRecord, Usage
from specs.types.sampling import Law, StepPolicy
from specs.types.trace import ALONE, Candidate, Chat, Trace, Turn

__all__ = [
    "ALONE",
    "DRAWS",
    "Accept",
    "Branch",
    "Candidate",
    "Chat",
    "Decision",
    "End",
    "Finish",
    "Judge",
    "Law",
    "Proposal",
    "Propose",
    "Result",
    "Role",
    "Seconds",
    "Settle",
    "StepPolicy",
    "StepRecord",
    "Trace",
    "Turn",
    "Usage",
]
