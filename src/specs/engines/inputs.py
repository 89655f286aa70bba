"""How models read the traces of a solve: a language model by token ids or through text, a PRM in its format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from specs.core.keys import Key
from specs.core.ledger import Ask, Ids
from specs.engines.arrays import Floats
from specs.engines.protocol import Ahead, Group, Guesses
from specs.engines.text import Text, known
from specs.errors import EngineError, InputError
from specs.rewards.formats import RewardFormat
from specs.types import Candidate, End, Judge, Law, Trace


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

    def warm(self, trace: Trace) -> Future[Any] | None:
        """Starts nothing; sessions that work in the background override this."""
        return None

    def begin(self, trace: Trace, candidate: Candidate, law: Law, judge: Judge | None) -> Future[Any] | None:
        """See `warm`."""
        return None

    def ahead(self, trace: Trace, beside: Sequence[Trace], n: int, law: Law, key: Key) -> Ahead | None:
        """See `warm`."""
        return None

    def guesses(self, traces: Sequence[Trace], n: int, law: Law, keys: Sequence[Key], tokens: int) -> Guesses | None:
        """See `warm`."""
        return None

    def ids(self, trace: Trace) -> Ids:
        """The prompt and the trace."""
        return self._prompt + (tuple(self._text.encode_plain(trace.text)) if self.through_text else trace.token_ids)

    def paths(self, trace: Trace, candidates: Sequence[Candidate]) -> tuple[Ids, list[Ids]]:
        """The tokens common to all candidates, prompt included, and the remaining tokens of each.

        Candidates in another vocabulary are tokenised again in this one (inexact; the result says so).
        Prefix and candidate are tokenised together. Each candidate's tokens start where the candidates and the
        tokens of the prefix alone first differ; the common part cancels. A candidate that adds no text (a single
        special token) has no tokens: it cannot be read.
        """
        if not self.through_text:
            return self.ids(trace), [candidate.token_ids for candidate in candidates]
        end = [self._text.end_id]
        whole = [
            (*self._text.encode_plain(trace.text + c.text), *(end if c.end is End.END_OF_TEXT else []))
            for c in candidates
        ]
        before = tuple(self._text.encode_plain(trace.text))
        common = len(before)
        for ids in (ids for ids in whole if ids != before):
            length = min(common, max(len(ids) - 1, 0))
            common = next((k for k in range(length) if ids[k] != before[k]), length)
        return self._prompt + tuple(before[:common]), [ids[common:] if ids != before else () for ids in whole]

    def said(self, path: Ids) -> Ids:
        """A step without its end-of-text token: the template itself ends the turn before a question about it."""
        return path[:-1] if path[-1] in self._text.end_ids else path

    def asked(self, path: Ids, judge: Judge) -> Ids:
        """A step and the question about it."""
        return (*self.said(path), *self._text.judgement(judge)[0])

    def ask(self, groups: Sequence[Group], judge: Judge) -> Ask:
        """The tokens that the model processes for ratings, for the ledger."""
        return [
            (trace.token_ids, [self.asked(candidate.token_ids, judge) for candidate in candidates])
            for trace, candidates in groups
        ]

    def rating(self, token: int, judge: Judge) -> float:
        """The model's answer `token` as a rating in [0, 1], by the label's place; 0 if it is not a label."""
        _, labels = self._text.judgement(judge)
        return labels.index(token) / (len(labels) - 1) if token in labels else 0.0


def fitting(ids: Sequence[int], name: str, room: int, vocabulary: float) -> Ids:
    """The prompt unchanged, if the model can read it and write after it.

    Raises:
        InputError: the prompt leaves no room for an answer in `room` tokens.
        ModelError: the model does not have one of its tokens (`known`).
    """
    if len(ids) >= room:
        raise InputError(
            f"the question takes {len(ids)} tokens and {name} has room for {room}; shorten it, or its chat template"
        )
    return known(ids, name, vocabulary)


ROUNDING = 1e-6
"""How far a reward may lie outside [0, 1]."""


class RewardReader(ABC):
    """A process reward model's reading; sessions say how its outputs are computed.

    Attributes:
        prompt: tokens before the first step.
    """

    def __init__(self, name: str, form: RewardFormat, prompt_ids: Sequence[int]) -> None:
        """`name` is the model's, for error messages."""
        self._name, self._form = name, form
        self.prompt: Ids = tuple(prompt_ids)
        self._read: dict[tuple[str, bool, bool], Ids] = {}

    def warm(self) -> Future[Any] | None:
        """See `Reader.warm`."""
        return None

    def begin(self, trace: Trace, candidate: Candidate, delimiter: str | None) -> Future[Any] | None:
        """See `Reader.warm`."""
        return None

    @abstractmethod
    def outputs(self, asked: Ask) -> Floats:
        """[paths, labels] outputs after each path of traces, in order; there is at least one."""

    def rewards(self, groups: Sequence[Group], delimiter: str | None) -> list[float]:
        """Reward in [0, 1] of each trace extended by one candidate, read at its last step.

        Raises:
            EngineError: the model's output is not a reward.
        """
        rewards: list[float] = []
        filled: list[int] = []
        for (trace, _), (_, paths) in zip(groups, self._read_groups(groups, delimiter), strict=True):
            # A blank step closes nothing: the trace still ends with the step before it, if any.
            before = trace.steps[-1].reward if trace.steps else None
            filled += [len(rewards) + k for k, path in enumerate(paths) if path]
            rewards += [0.0 if before is None else before] * len(paths)
        if asked := self.ask(groups, delimiter):
            for k, reward in zip(filled, self._form.rewards(self.outputs(asked)).tolist(), strict=True):
                if not -ROUNDING <= reward <= 1 + ROUNDING:
                    raise EngineError(
                        f"{self._name} gives a reward of {reward:g}, and rewards lie in [0, 1]; "
                        "see whether --prm-format is the one that it was trained for"
                    )
                rewards[k] = reward
        return rewards

    def ask(self, groups: Sequence[Group], delimiter: str | None) -> Ask:
        """The tokens that the model processes for these rewards, for the ledger; none for blank steps."""
        read = self._read_groups(groups, delimiter)
        return [(prefix, filled) for prefix, paths in read if (filled := [path for path in paths if path])]

    def stops(self, path: Ids) -> list[int]:
        """The numbers of tokens of a path after which a reward can be read."""
        ask = self._form.ask
        return [k for k, token in enumerate(path, 1) if token == ask[-1] and path[k - len(ask) : k] == ask]

    def _read_groups(self, groups: Sequence[Group], delimiter: str | None) -> list[tuple[Ids, list[Ids]]]:
        """Tokens of each trace after the prompt, and the tokens that each of its candidates adds."""
        read: list[tuple[Ids, list[Ids]]] = []
        for trace, candidates in groups:
            prefix, continues = self._prefix(trace, delimiter)
            read.append((prefix, [self._path(prefix, c, continues, delimiter) for c in candidates]))
        return read

    def _prefix(self, trace: Trace, delimiter: str | None) -> tuple[Ids, bool]:
        ids: list[int] = []
        continues = False
        for step in trace.steps:
            content = self._content(step.text, continues, not ids, delimiter)
            ids += content
            closes = step.end is not End.CAP and bool(content or continues)
            continues = step.end is End.CAP and bool(content or continues)
            if closes:
                ids += self._form.join
        return tuple(ids), continues

    def _path(self, prefix: Ids, candidate: Candidate, continues: bool, delimiter: str | None) -> Ids:
        """The tokens that a step adds to the model's input to read its reward; none for a blank step.

        An unfinished step gets a reward too, but the tokens that ask for it are not part of later input.
        """
        content = self._content(candidate.text, continues, not prefix, delimiter)
        return (*content, *self._form.ask) if content or continues else ()

    def _content(self, text: str, continues: bool, first: bool, delimiter: str | None) -> Ids:
        key = (text, continues, first)
        if key not in self._read:
            ids: list[int] = []
            breaks = self._form.breaks or delimiter
            for part_idx, part in enumerate(text.split(breaks) if breaks else [text]):
                content = self._form.content(part, first and not ids, continues and not part_idx)
                if part_idx and content and (ids or continues):
                    ids += self._form.join
                ids += content
            self._read[key] = tuple(ids)
        return self._read[key]
