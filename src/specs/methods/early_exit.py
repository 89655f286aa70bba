r"""Early exits from thinking: a trial answer says whether the model has thought long enough.

Between two steps of the thinking the writer of answers, the target, is asked for its most likely answer so far: the
trace, a fixed opening that ends in `\boxed{`, and up to 20 greedy tokens y_1 .. y_L. They never become part of the
trace. If they are sure enough, the thinking is closed and the target writes the answer.

    DEER     (Yang et al., arXiv 2504.15895)  exits if  (prod_i p(y_i))^(1/L) >= threshold
    Dynasor  (Fu et al., arXiv 2412.20993)    exits if  the last k boxed answers agree and none of the last k trial
                                                        answers holds a word of hesitation

Both follow the authors' code. What differs is this: their probes come in the middle of a text, ours where a step ends,
so that no step is cut; the tokens are the most likely ones, whereas the code samples them, so that an exit depends on
the trace alone; and the answer after a Dynasor exit is written by the target instead of copied from the last probe.

Model calls a probe: one sample of the target (of the draft for a method without a target).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from specs.core.answers import normal
from specs.core.selection import choose_best
from specs.core.votes import boxes
from specs.methods import Flow, Method, settings_of
from specs.methods.single import written_by
from specs.types import (
    Accept,
    Branch,
    Candidate,
    End,
    Glimpse,
    Phase,
    Probe,
    Probed,
    Proposal,
    Propose,
    Role,
    SamplingParams,
    Score,
    StepPolicy,
    Trace,
)
from specs.types.checks import at_least, check_fields, check_names

PROBE_TOKENS = 20
"""Most tokens of a trial answer, in both papers."""
HESITATION = ("wait", "hold", "but", "okay", "no", "hmm")
"""Dynasor's words of hesitation; as in its code they count inside other words too ("not")."""


def _closing_brace(levels: int = 4) -> str:
    """A pattern for a text up to the brace that closes the box it begins in, with up to `levels` nested braces.

    Where text begins with white space, a step's pattern is searched from behind it.
    """
    inside = r"(?:[^{}\\]|\\.)*"
    for _ in range(levels):
        inside = r"(?:[^{}\\]|\\.|\{" + inside + r"\})*"
    return r"(?s)(?:\A|(?<=\A\s)|(?<=\A\s\s))" + inside + r"\}"


class EarlyExit(ABC):
    """A rule for early exits. A subclass is a frozen dataclass of its options.

    Attributes:
        name: its name on the command line.
        opening: the text that begins a trial answer.
        steps: where a trial answer ends.
    """

    __slots__ = ()
    name: str
    opening: str
    steps: StepPolicy

    @abstractmethod
    def due(self, trace: Trace, probed: Sequence[int]) -> bool:
        """Whether to probe a trace inside the thinking, which has at least one step.

        Args:
            probed: the number of tokens of the trace at each of its earlier probes.
        """

    @abstractmethod
    def exits(self, probes: Sequence[Probed]) -> bool:
        """Whether the thinking ends here; `probes` are those of the trace so far, at least one."""


@dataclass(frozen=True, slots=True)
class Deer(EarlyExit):
    r"""DEER: exits once the trial answer after a step with a word of transition has a high probability.

    A trial answer ends where its box closes. One whose box is still open after 20 tokens has probability 0. The
    authors' code has the arithmetic mean for R1 distills, and for Qwen3, which it finds overconfident, the geometric
    one and the further condition that the model closes its thinking after the trial answer.

    Attributes:
        threshold: mean probability of the trial answer's tokens from which on the thinking ends; 0 ends it at the
            first probe, and anything above 1 never.
        mean: how the probabilities of the tokens are averaged.
        most: most probes of one trace.
        word: the word of transition: a trace is probed if its last step holds it, upper and lower case as here. An
            empty word is in every step.

    Examples:
        deer:threshold=0.9:mean=arithmetic
    """

    threshold: float = 0.95
    mean: Literal["geometric", "arithmetic"] = "geometric"
    most: int = 10
    word: str = "Wait"
    name = "deer"
    opening = "\n**Final Answer**\n\\boxed{"
    steps = StepPolicy(None, _closing_brace(), PROBE_TOKENS)

    def __post_init__(self) -> None:
        check_fields(self, threshold=at_least(0), most=at_least(1))

    def due(self, trace: Trace, probed: Sequence[int]) -> bool:
        return len(probed) < self.most and self.word in trace.steps[-1].text

    def exits(self, probes: Sequence[Probed]) -> bool:
        return self.confidence(probes[-1]) >= self.threshold

    def confidence(self, probe: Probed) -> float:
        """Mean probability of the trial answer's tokens, the one with the closing brace included; in [0, 1]."""
        if probe.end is not End.DELIMITER:
            return 0.0
        if self.mean == "geometric":
            return math.exp(sum(probe.log_p) / len(probe.log_p))
        return sum(map(math.exp, probe.log_p)) / len(probe.log_p)


@dataclass(frozen=True, slots=True)
class Dynasor(EarlyExit):
    r"""Dynasor: exits once several trial answers in a row agree without hesitation.

    The authors' levels of effort are agree=8, 5, 3 and 2 every 64 tokens, and 2 every 32. Answers agree if they have
    the same normal form, as in votes.

    Attributes:
        every: tokens of thinking between two probes; the next end of a step is probed.
        agree: how many trial answers in a row must agree.

    Examples:
        dynasor:every=32:agree=2
    """

    every: int = 64
    agree: int = 3
    name = "dynasor"
    opening = "... Oh, I suddenly got the answer to the whole problem, **Final Answer**\n\n\\[ \\boxed{"
    steps = StepPolicy.chunks(PROBE_TOKENS)

    def __post_init__(self) -> None:
        check_fields(self, every=at_least(1), agree=at_least(1))

    def due(self, trace: Trace, probed: Sequence[int]) -> bool:
        return len(trace.token_ids) - (probed[-1] if probed else 0) >= self.every

    def exits(self, probes: Sequence[Probed]) -> bool:
        last = probes[-self.agree :]
        answers = {self._answer(probe) for probe in last}
        hesitates = any(word in probe.text.lower() for probe in last for word in HESITATION)
        return len(last) == self.agree and len(answers) == 1 and "" not in answers and not hesitates

    def _answer(self, probe: Probed) -> str:
        """The normal form of the first box; empty if it is blank or not closed."""
        found = boxes(self.opening + probe.text)
        return normal(found[0]) if found else ""


RULES: dict[str, type[EarlyExit]] = {"deer": Deer, "dynasor": Dynasor}


def early_exit_settings(rule: EarlyExit) -> dict[str, Any]:
    """A rule's name and options as plain values, for traces."""
    options: Any = rule
    return {"rule": rule.name, **asdict(options)}


def early_exit_of(settings: dict[str, Any]) -> EarlyExit:
    """The inverse of `early_exit_settings`.

    Raises:
        InputError, KeyError, TypeError: these are not the settings of a rule.
    """
    check_names("there is no rule", [settings["rule"]], RULES)
    return RULES[settings["rule"]](**{name: value for name, value in settings.items() if name != "rule"})


def with_early_exit(flow: Flow, rule: EarlyExit, method: Method, sampling: SamplingParams) -> Flow:
    """The requests of a method that thinks, and between them those of the rule; an exit ends the method.

    Of traces side by side only the leading one, which the last decision chose, is probed; an exit ends the search with
    that trace.
    """
    writer = Role.TARGET if Role.TARGET in method.roles else Role.DRAFT
    leader = _Leader()
    reply: Any = None
    while True:
        try:
            request = flow.send(reply)
        except StopIteration as stop:
            return stop.value
        if isinstance(request, (Propose, Glimpse)) and (trace := leader.next_in(request)) is not None:
            earlier = leader.probes_of(trace)
            if rule.due(trace, [len(before.token_ids) for before, _ in earlier]):
                beside = (*request.traces, *request.keep) if isinstance(request, Propose) else ()
                others = tuple(one for one in beside if one is not trace)
                probed: Probed = yield Probe(writer, trace, rule.opening, rule.steps, others)
                leader.probes.append((trace, probed))
                if rule.exits([*(probe for _, probe in earlier), probed]):
                    flow.close()
                    return (yield from _answered(writer, trace, sampling, settings_of(method).get("speculate", 0)))
        reply = yield request
        leader.follow(request, reply)


def _answered(writer: Role, trace: Trace, sampling: SamplingParams, speculate: int) -> Flow:
    """Close the thinking of a trace and let one model write the answer."""
    closing: Proposal = yield Propose(writer, trace, 1, frozenset(), sampling, closes=True)
    if finish := (yield Accept(choose_best([0.0]))):
        return finish
    grown = trace.extend(closing.candidates[0], writer)
    return (yield from written_by(writer, grown, sampling, speculate if writer is Role.TARGET else 0))


@dataclass
class _Leader:
    """Follows the leading trace of a method through its requests.

    Attributes:
        last: the last step of the leading trace; None before the first decision. A step object belongs to one trace.
        seen: the last step of the trace that was looked at last.
        probes: the probed traces, with the replies.
        undecided: the proposals that the method has received and not yet decided on.
    """

    last: Candidate | None = None
    seen: Candidate | None = None
    probes: list[tuple[Trace, Probed]] = field(default_factory=list[tuple[Trace, Probed]])
    undecided: list[Proposal] = field(default_factory=list[Proposal])

    def next_in(self, request: Propose | Glimpse) -> Trace | None:
        """The leading trace if the request continues it inside the thinking and it was not looked at yet."""
        traces = request.traces if isinstance(request, Propose) else (request.trace,)
        if self.last is None or self.last is self.seen or self.undecided:
            return None
        found = next((trace for trace in traces if trace.steps and trace.steps[-1] is self.last), None)
        if found is None:
            return None
        self.seen = self.last
        return found if found.phase is Phase.THINKING else None

    def probes_of(self, trace: Trace) -> list[tuple[Trace, Probed]]:
        """The earlier probes of a trace, without those of traces that a search left."""
        return [pair for pair in self.probes if trace.steps[len(pair[0].steps) - 1] is pair[0].steps[-1]]

    def follow(self, request: object, reply: Any) -> None:
        """Note a request of the method and the reply to it."""
        match request:
            case Propose():
                self.undecided.append(reply)
            case Score():
                self.undecided[-1] = reply
            case Accept():
                asked = request.proposal
                idx = next((idx for idx, one in enumerate(self.undecided) if one is asked), -1)
                self._decided(self.undecided.pop(idx), request.decision.chosen if request.keep else None)
            case Branch():
                self._decided(self.undecided.pop(), request.decision.chosen)
            case _:
                pass

    def _decided(self, proposal: Proposal, chosen: int | None) -> None:
        if chosen is not None:
            self.last = proposal.candidates[chosen]
