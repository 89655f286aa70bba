"""A solve as lines for people: every step as it is accepted, then the totals."""

from __future__ import annotations

import math
import os
from typing import TextIO

from specs.core.selection import log_ratio
from specs.core.text import readable
from specs.types import Phase, Result, Role, StepRecord, ThinkingEnd, Usage

_COLOURS = {Role.DRAFT: "36", Role.TARGET: "35", "dim": "2", "bold": "1"}


_ENDS = {
    ThinkingEnd.CLOSED: "closed by the model",
    ThinkingEnd.FORCED: "closed by force: the budget was spent, or it went in circles",
    ThinkingEnd.EXITED: "closed early: a trial answer was sure enough",
    ThinkingEnd.CUT: "cut off, so there is no answer",
}


class Screen:
    """Writes to a stream, in colour where it is a terminal and NO_COLOR is not set."""

    def __init__(self, stream: TextIO, candidates: bool = False) -> None:
        self._stream = stream
        self._colour = stream.isatty() and "NO_COLOR" not in os.environ
        self._candidates = candidates
        self._set_aside = False
        """Whether the answer may be a solution that was shown only as set aside."""

    def line(self, text: str = "") -> None:
        print(text, file=self._stream, flush=True)

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self._colour else text

    def question(self, text: str, roles: dict[str, str]) -> None:
        self.line(self._paint(text.strip(), "bold"))
        self.line(self._paint("  ".join(f"{role}: {name}" for role, name in roles.items()), "dim"))
        self.line(self._paint(" step writer  reward  log p/q    ms", "dim"))

    def step(self, record: StepRecord) -> None:
        chosen = record.step
        text = _without_choice(record) if chosen is None else " ".join(readable(chosen.text).split())
        if record.kept is not None and chosen is None:
            self._set_aside = True
        elif not record.accepted:
            text += "   [thrown away]"
        if chosen is not None and record.kept is not None and len(record.kept) > 1:
            text += f"   [leads {len(record.kept)} traces]"
        reward = "   -  " if chosen is None or chosen.reward is None else f"{chosen.reward:6.3f}"
        scored = chosen is not None and record.writer is Role.DRAFT and chosen.log_p is not None
        ratio = f"{log_ratio(chosen):+8.2f}" if scored and chosen is not None else "     -  "
        line = f"{record.step_idx + 1:4d}  {record.writer:<6} {reward} {ratio} {record.seconds.wall * 1e3:6.0f}  {text}"
        self.line(self._paint(line, "dim" if record.phase is Phase.THINKING else record.writer))
        if self._candidates:
            self._all(record)

    def _all(self, record: StepRecord) -> None:
        decision = record.decision
        for idx, (candidate, score, p) in enumerate(
            zip(record.candidates, decision.scores, decision.probabilities, strict=True)
        ):
            mark = ">" if idx == decision.chosen else "=" if candidate.duplicates_of is not None else " "
            figures = [
                f"{name} {value:.3f}"
                for name, value in (
                    ("r", candidate.reward),
                    ("log p", candidate.log_p),
                    ("log p <=", candidate.log_p_at_most),
                    ("log q", candidate.log_q),
                    ("s", score),
                    ("P", p),
                )
                if value is not None and not math.isnan(value)
            ]
            text = " ".join(readable(candidate.text).split())
            self.line(self._paint(f"      {mark} {'  '.join(figures)}  {text}", "dim"))
        s = record.seconds
        ess = "" if decision.ess is None else f"effective samples {decision.ess:.1f} of {len(record.candidates)}, "
        self.line(
            self._paint(
                f"        {ess}draft {s.draft * 1e3:.1f}, target {s.target_generate * 1e3:.1f} + scoring "
                f"{s.target_score * 1e3:.1f}, prm {s.prm * 1e3:.1f}, rest {s.orchestration * 1e3:.1f} ms",
                "dim",
            )
        )

    def result(self, result: Result, right: str | None = None) -> None:
        """The totals; `right` is the right answer, if it is known."""
        seconds, accepted = result.seconds, result.accepted
        self.line()
        self.line(self._paint(f"answer   {result.answer if result.answer is not None else '(none)'}", "bold"))
        if right not in (None, result.answer):
            self.line(f"right    {right} is the right answer: the bundled models make mistakes")
        # Not all steps shown are part of the trace.
        if self._set_aside or any(len(record.kept or ()) > 1 for record in accepted):
            self.line("trace    " + " ".join(result.text.split()))
        if (end := result.thinking_end) is not None:
            self.line(f"thinking {result.thinking_tokens} tokens, {_ENDS[end]}")
        self.line(f"finish   {result.finish_reason}" + (f": {result.error}" if result.error else ""))
        first = (
            ""
            if result.time_to_first_step_s is None
            else f", first step after {result.time_to_first_step_s * 1e3:.0f} ms"
        )
        self.line(f"latency  {result.latency_s * 1e3:.0f} ms{first}")
        self.line(
            f"phases   draft {seconds.draft * 1e3:.0f}, target writing {seconds.target_generate * 1e3:.0f}, "
            f"target scoring {seconds.target_score * 1e3:.0f}, prm {seconds.prm * 1e3:.0f}, "
            f"rest {seconds.orchestration * 1e3:.0f} ms (phases overlap)"
        )
        drafted = sum(record.writer is Role.DRAFT for record in accepted)
        if len(result.models) > 1 and accepted:
            self.line(f"steps    {len(accepted)}, {drafted} by the draft ({drafted / len(accepted):.0%})")
        for role in Role:
            if role in result.usage:
                self.line(f"{role:<8} {_tokens(result.usage[role])}")
        if result.raw_scoring:
            self.line("note     log-probabilities are at temperature 1, steps are not: log-ratios are inexact")
        if result.text_scoring:
            self.line(
                "note     draft and target read each other's text (different vocabularies): log-ratios are inexact"
            )


def _without_choice(record: StepRecord) -> str:
    """Why no candidate of a step was chosen."""
    if record.kept is not None:
        return f"({len(record.kept)} finished, set aside)"
    passed = any(math.isfinite(score) for score in record.decision.scores)
    return "(no candidate passed the threshold)" if passed else "(no candidate had support)"


def _tokens(use: Usage) -> str:
    guessed = f" ({use.speculated} for guesses)" if use.speculated else ""
    parts = [f"{use.processed} tokens processed{guessed}", f"{use.cached} reused"]
    if use.generated:
        parts.append(f"{use.generated} written, {use.discarded} of them discarded")
    return ", ".join(parts)
