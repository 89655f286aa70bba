"""How a language model reads traces in a solve: by their token ids, or through their text."""

from __future__ import annotations

from collections.abc import Sequence

from specs.core.ledger import Ask, Ids
from specs.engine import Group
from specs.models.text import Text
from specs.types import Candidate, End, Judge, Trace


class Reader:
    """One model's reading.

    Attributes:
        through_text: whether the writers of the solve have different vocabularies.
    """

    def __init__(self, text: Text, prompt_ids: Sequence[int], fingerprints: frozenset[str]) -> None:
        """`fingerprints` are the vocabularies of all writers of this solve: with more than one,
        traces and candidates are read through their text."""
        self._text = text
        self._prompt = tuple(prompt_ids)
        self.through_text = fingerprints != {text.fingerprint}

    def ids(self, trace: Trace) -> Ids:
        """The prompt and the trace."""
        return self._prompt + (tuple(self._text.encode(trace.text)) if self.through_text else trace.token_ids)

    def paths(self, trace: Trace, candidates: Sequence[Candidate]) -> tuple[Ids, list[Ids]]:
        """What is before all candidates, prompt included, and the tokens of each from there.

        Candidates of another vocabulary become tokens of this one (inexact, said in the result):
        prefix and candidate are tokenised together and taken from where the candidates, and the
        prefix as it stands, first differ; what lies before is common to all and cancels.
        """
        if not self.through_text:
            return self.ids(trace), [candidate.token_ids for candidate in candidates]
        end = min(self._text.end_ids)
        whole = [
            (*self._text.encode(trace.text + c.text), *([end] if c.end is End.END_OF_TEXT else [])) for c in candidates
        ]
        before = self._text.encode(trace.text)
        common = len(before)
        for ids in whole:
            length = min(common, len(ids) - 1)
            common = next((k for k in range(length) if ids[k] != before[k]), length)
        return self._prompt + tuple(before[:common]), [ids[common:] for ids in whole]

    def said(self, path: Ids) -> Ids:
        """A step without end-of-text: a question about it ends the turn in the template's own way."""
        return path[:-1] if path[-1] in self._text.end_ids else path

    def asked(self, path: Ids, judge: Judge) -> Ids:
        """A step and the question about it."""
        return (*self.said(path), *self._text.judgement(judge)[0])

    def ask(self, groups: Sequence[Group], judge: Judge) -> Ask:
        """What ratings have the model run through, for the ledger."""
        return [
            (trace.token_ids, [self.asked(candidate.token_ids, judge) for candidate in candidates])
            for trace, candidates in groups
        ]

    def rating(self, token: int, judge: Judge) -> float:
        """Rating in [0, 1] that the model's answer `token` is: the place of the label, 0 where it is none."""
        _, labels = self._text.judgement(judge)
        return labels.index(token) / (len(labels) - 1) if token in labels else 0.0
