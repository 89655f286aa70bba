"""The record of a solve: its steps, seconds and token counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from specs.types.enums import End, Finish, Phase, Role, ThinkingEnd
from specs.types.requests import Decision, Probed
from specs.types.trace import NO_CONTEXT, Candidate, Chat


@dataclass(frozen=True, slots=True)
class Seconds:
    """Busy seconds of a step by phase; phases may overlap.

    Attributes:
        draft, target_generate: time in which the draft and the target wrote.
        target_score: time in which the target scored or rated candidates.
        prm: time in which the PRM scored candidates.
        wall: the step's own time.
        orchestration: `wall` minus the time in which at least one engine call ran.
    """

    draft: float = 0.0
    target_generate: float = 0.0
    target_score: float = 0.0
    prm: float = 0.0
    wall: float = 0.0
    orchestration: float = 0.0

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one role over a solve.

    Attributes:
        prompt: tokens of the role's prompt.
        processed: token positions computed, without padding.
        cached: prefix positions reused, summed over calls.
        generated: tokens sampled.
        discarded: tokens sampled that are not part of the final trace.
        speculated: token positions computed and thrown away: those of unused prefetches; in token-level
            speculation, the draft's for proposing tokens and the target's for proposals that did not stand. They
            count in `processed`, not in `minimum`.
        padded: positions computed only for padding.
        minimum: the fewest positions that the solve allows (docs/engines.md), derived from its queries; None
            with text scoring, where it has no exact meaning.
    """

    prompt: int = 0
    processed: int = 0
    cached: int = 0
    generated: int = 0
    discarded: int = 0
    speculated: int = 0
    padded: int = 0
    minimum: int | None = None


@dataclass(frozen=True, slots=True)
class StepRecord:
    """The record of one step: its candidates, the decision and the time.

    Attributes:
        step_idx: number of steps before it in its trace; a rewrite has the index of the step that it replaces.
        writer: the role that wrote the candidates.
        accepted: false if the step was thrown away: it was rewritten, or a search ended with another trace.
        kept: indices of the candidates that became traces side by side (`Branch`); None without a search.
            While a search runs, `decision.chosen` is the leader; in its result, the candidate that is
            part of the answer.
        parents: in a search, for each candidate the index of its predecessor among the candidates of all records
            of the previous step; None in the first step.
        phase: what the trace was in the middle of when the step was written.
        entropy: what the draft answered to a `Glimpse` before the step, in nats; None if it was not asked.
        probe: the trial answer that was asked for before the step (`Probe`); None if there was none.
    """

    step_idx: int
    writer: Role
    candidates: tuple[Candidate, ...]
    decision: Decision
    seconds: Seconds
    accepted: bool = True
    kept: tuple[int, ...] | None = None
    parents: tuple[int, ...] | None = None
    phase: Phase = Phase.ANSWER
    entropy: float | None = None
    probe: Probed | None = None

    @property
    def step(self) -> Candidate | None:
        """The chosen candidate; None if none had support."""
        return None if self.decision.chosen is None else self.candidates[self.decision.chosen]

    @property
    def text(self) -> str:
        """The text of the chosen candidate with its delimiter; empty if none had support."""
        return "" if self.step is None else self.step.text

    @property
    def reward(self) -> float | None:
        """The reward of the chosen candidate; None if none had support or it was not computed."""
        return None if self.step is None else self.step.reward

    @property
    def discarded(self) -> int:
        """Tokens sampled for this step that are not part of the final trace."""
        drawn = sum(len(c.token_ids) for c in self.candidates)
        return drawn - (len(self.step.token_ids) if self.accepted and self.step else 0)


DRAWS = 3
"""The current rule for a method's own draws (which candidate, which writer); results record their rule.

Rule 1: keys from the seed alone; under one seed all problems chose among their first candidates with the same uniform.
Rule 2: keys from the seed and the prompt, as token sampling has always done.
Rule 3: the same keys; candidates are drawn by Gumbel-max, before by inversion.
"""


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """A finished solve.

    Attributes:
        answer: content of the last complete `\\boxed{}` after the thinking; None without one.
        text: the accepted steps joined, those inside the thinking too.
        steps: all steps in the order in which they were decided, including those thrown away.
        usage: token counts by role, without roles whose engines do not know them.
        flops: 2 x parameters x processed positions, summed over roles; None if these are not known of every role.
        latency_s: seconds from start to end, without waiting in a queue.
        time_to_first_step_s: seconds until the first step was accepted; None if none was.
        models: the models' names by role.
        prompt_token_ids: the prompt of each role that took part.
        settings: the method's options, the sampling parameters and the limits, as plain values.
        text_scoring: whether a model read steps of another vocabulary through their text (inexact).
        raw_scoring: whether a server's log-probabilities are at temperature 1 although steps were drawn with
            other sampling parameters (inexact).
        error: the error message if the finish reason is `error`.
        chat: the conversation that the question ended.
        draws: the rule for the keys of the method's own draws (`DRAWS`).
        notes: what the reader of the answer should know, such as that the question is of no kind that the models know.
        unfinished: busy seconds after the last recorded step: of the step that a deadline, an error or a cancellation
            cut off, and of work ahead that was dropped.
        thinking: the part of `text` inside the thinking, with what closed it; empty if the models did not think.
    """

    answer: str | None
    text: str
    finish_reason: Finish
    method: str
    question: str
    steps: tuple[StepRecord, ...]
    usage: dict[Role, Usage]
    flops: float | None
    latency_s: float
    time_to_first_step_s: float | None
    seed: int
    models: dict[Role, str]
    prompt_token_ids: dict[Role, tuple[int, ...]]
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    text_scoring: bool = False
    raw_scoring: bool = False
    error: str | None = None
    chat: Chat = NO_CONTEXT
    draws: int = DRAWS
    notes: tuple[str, ...] = ()
    unfinished: Seconds = Seconds()
    thinking: str = ""

    def __repr__(self) -> str:
        """The result in short; `to_dict` has everything."""
        error = f", error={self.error!r}" if self.error is not None else ""
        return (
            f"Result(answer={self.answer!r}, finish_reason={str(self.finish_reason)!r}, method={self.method!r}, "
            f"steps={len(self.accepted)}, latency_s={self.latency_s:.3g}{error})"
        )

    def to_dict(self, trace: bool = True) -> dict[str, Any]:
        """The result in the types of JSON; with `trace` all candidates and prompts, else as `specs solve --json`."""
        from specs.traces.schema import plain, result_json

        return plain(result_json(self, candidates=trace))

    def to_json(self, trace: bool = True, indent: int | None = None) -> str:
        """The result as JSON text."""
        from specs.traces.schema import json_text, result_json

        return json_text(result_json(self, candidates=trace), indent)

    def save(self, path: str | Path) -> None:
        """Write the full trace to a file, which `specs view`, `specs report --replay` and `specs.traces` read.

        It is gzipped if the file's name ends in .gz, which makes traces about seven times smaller.

        Raises:
            InputError: the file cannot be written.
        """
        from specs.traces.schema import check_writable, result_json, write_json

        check_writable(Path(path))
        write_json(Path(path), result_json(self, candidates=True))

    @property
    def accepted(self) -> tuple[StepRecord, ...]:
        """The records of the steps in the final trace."""
        return tuple(record for record in self.steps if record.accepted)

    @property
    def answer_text(self) -> str:
        """What follows the thinking: the whole text if the models did not think."""
        return self.text[len(self.thinking) :]

    @property
    def thinking_end(self) -> ThinkingEnd | None:
        """How the thinking ended; None if the models did not think."""
        if not (steps := self._thinking_steps):
            return None
        last = steps[-1]
        if last is None or last.end is not End.CLOSE:
            return ThinkingEnd.CUT
        if last.forced:
            return ThinkingEnd.FORCED if last.length else ThinkingEnd.EXITED
        return ThinkingEnd.CLOSED

    @property
    def thinking_tokens(self) -> int:
        """Tokens of the accepted steps inside the thinking, forced ones included."""
        return sum(len(step.token_ids) for step in self._thinking_steps if step is not None)

    @property
    def _thinking_steps(self) -> list[Candidate | None]:
        return [record.step for record in self.accepted if record.phase is Phase.THINKING]

    @property
    def seconds(self) -> Seconds:
        """Busy seconds of the whole solve, by phase; those of a step that was cut off count too."""
        total = self.unfinished
        for record in self.steps:
            total = total + record.seconds
        return total

    @property
    def draft_share(self) -> float | None:
        """Share of accepted steps that the draft wrote; None without steps."""
        accepted = self.accepted
        return sum(r.writer is Role.DRAFT for r in accepted) / len(accepted) if accepted else None
