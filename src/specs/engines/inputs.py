"""What a model reads for the traces of a solve, and how rewards are read from a PRM.

All sessions derive from `PolicyInputs` or `RewardInputs`, which make the token ids of traces and candidates.
`RewardInputs.score` also returns the rewards, which `specs.rewards.format` computes from the rows of each engine's
`head_outputs`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from specs.core.ledger import Ids, Query
from specs.engines.arrays import Floats
from specs.engines.protocol import CandidateGroup
from specs.engines.text import Text, checked_ids
from specs.errors import EngineError, InputError
from specs.rewards.format import PRMFormat
from specs.types import NO_CONTEXT, Candidate, Chat, End, Judge, Phase, Trace


class PolicyInputs:
    """The inputs of one language model in one solve; the base class of its sessions.

    Attributes:
        text: the model's vocabulary.
        through_text: whether the writers of the solve have different vocabularies.
    """

    def __init__(self, text: Text, prompt_ids: Sequence[int], fingerprints: frozenset[str]) -> None:
        """`fingerprints` are the vocabularies of all writers of the solve. If they differ, this model reads
        traces and candidates through their text."""
        self.text = text
        self._prompt = tuple(prompt_ids)
        self.through_text = fingerprints != frozenset({text.fingerprint})

    def trace_ids(self, trace: Trace) -> Ids:
        """The tokens of the prompt and the trace."""
        return self._prompt + (tuple(self.text.encode_plain(trace.text)) if self.through_text else trace.token_ids)

    def close_id(self, trace: Trace) -> int | None:
        """The token that closes the thinking in the middle of which a trace is; None outside it."""
        thinking = self.text.thinking if trace.phase is Phase.THINKING else None
        return None if thinking is None else thinking.close_id

    def candidate_paths(self, trace: Trace, candidates: Sequence[Candidate]) -> tuple[Ids, list[Ids]]:
        """The tokens common to all candidates, prompt included, and the remaining tokens of each.

        If the vocabularies differ, this model tokenises the text of the trace and a candidate together; that is
        inexact, and the result says so. A candidate's own tokens begin where any candidate first differs from the
        trace alone; the common part cancels. A candidate that adds no text (a single special token) has no tokens:
        this model cannot read it. Tokens that nobody sampled (`Candidate.forced`) are left out.
        """
        if not self.through_text:
            return self.trace_ids(trace), [candidate.sampled_ids for candidate in candidates]
        end = [self.text.end_id]
        whole = [
            (*self.text.encode_plain(trace.text + c.text), *(end if c.end is End.END_OF_TEXT else []))
            for c in candidates
        ]
        before = tuple(self.text.encode_plain(trace.text))
        common = len(before)
        for ids in (ids for ids in whole if ids != before):
            length = min(common, max(len(ids) - 1, 0))
            common = next((token_idx for token_idx in range(length) if ids[token_idx] != before[token_idx]), length)
        return self._prompt + tuple(before[:common]), [ids[common:] if ids != before else () for ids in whole]

    def without_end(self, path: Ids) -> Ids:
        """A step without its end-of-text token: the chat template itself ends the turn before a question about it."""
        return path[:-1] if path[-1] in self.text.end_ids else path

    def judge_path(self, trace: Trace, path: Ids, judge: Judge) -> Ids:
        """A step of a trace and the question about it.

        Inside the thinking, the question is the same whether or not the step closes the block.
        """
        return (*self.without_end(path), *self.text.judgement(judge, trace.phase)[0])

    def query(self, groups: Sequence[CandidateGroup], judge: Judge) -> Query:
        """See `specs.engines.protocol.PolicySession.query`."""
        return [
            (trace.token_ids, [self.judge_path(trace, candidate.sampled_ids, judge) for candidate in candidates])
            for trace, candidates in groups
        ]

    def label_rating(self, token: int, judge: Judge, phase: Phase) -> float:
        """The rating in [0, 1] of the model's answer `token`: the rank of this label, or 0 for any other token.

        `phase` is that of the trace, since a label may be another token after another question.
        """
        _, labels = self.text.judgement(judge, phase)
        return labels.index(token) / (len(labels) - 1) if token in labels else 0.0


MOST_BYTES_A_TOKEN = 16
"""More than any text has on average over a whole prompt."""


def check_size(name: str, context: int, question: str, chat: Chat = NO_CONTEXT) -> None:
    """Refuse a question that cannot fit before it is tokenized, which takes seconds for a megabyte.

    Raises:
        InputError: question and chat have more than `MOST_BYTES_A_TOKEN` bytes for each token of the context.
    """
    size = sum(
        len(text.encode("utf-8", "surrogatepass")) for text in (question, *(turn.content for turn in chat.before))
    )
    if size > MOST_BYTES_A_TOKEN * context:
        raise InputError(f"the question has {size} bytes and {name} has room for {context} tokens; shorten it")


def checked_prompt(ids: Sequence[int], name: str, context: int, vocabulary: float) -> Ids:
    """The prompt unchanged, if the model `name` can read it and write after it.

    Raises:
        InputError: the prompt fills the context of `context` tokens.
        ModelError: the model lacks one of its tokens (`checked_ids`).
    """
    if len(ids) >= context:
        raise InputError(
            f"the question takes {len(ids)} tokens and {name} has room for {context}; shorten it or the chat template"
        )
    return checked_ids(ids, name, vocabulary)


ROUNDING = 1e-6
"""How far rounding may put a reward outside [0, 1]."""


class RewardInputs(ABC):
    """The inputs of one PRM in one solve; the base class of its sessions, which compute the head's outputs.

    Attributes:
        prompt: tokens before the first step.
    """

    def __init__(self, name: str, prm_format: PRMFormat, prompt_ids: Sequence[int]) -> None:
        """`name` is the model's name in error messages."""
        self._name, self._prm_format = name, prm_format
        self.prompt: Ids = tuple(prompt_ids)
        self._content_ids: dict[tuple[str, bool, bool], Ids] = {}
        self._last: tuple[tuple[Candidate, ...], Ids, bool] = ((), (), False)
        """The steps whose tokens were last made, these tokens, and whether the last step was cut at its cap."""

    @abstractmethod
    def head_outputs(self, query: Query) -> Floats:
        """Compute the outputs [paths, labels] after each path of the query, in order; there is at least one."""

    def score(self, groups: Sequence[CandidateGroup], delimiter: str | None) -> list[float]:
        """Reward in [0, 1] of each trace extended by one candidate, read at its last step.

        Raises:
            EngineError: the model's output is not a reward.
        """
        rewards: list[float] = []
        filled: list[int] = []
        for (trace, _), (_, paths) in zip(groups, self._group_paths(groups, delimiter), strict=True):
            # After a blank step, the trace still ends with the step before it, if there is one.
            before = trace.steps[-1].reward if trace.steps else None
            filled += [len(rewards) + path_idx for path_idx, path in enumerate(paths) if path]
            rewards += [0.0 if before is None else before] * len(paths)
        if query := self.query(groups, delimiter):
            found = self._prm_format.rewards(self.head_outputs(query)).tolist()
            for candidate_idx, reward in zip(filled, found, strict=True):
                if not -ROUNDING <= reward <= 1 + ROUNDING:
                    raise EngineError(
                        f"{self._name} gives a reward of {reward:g}, and rewards lie in [0, 1]; "
                        "check that prm_format is the one that it was trained for"
                    )
                rewards[candidate_idx] = reward
        return rewards

    def query(self, groups: Sequence[CandidateGroup], delimiter: str | None) -> Query:
        """See `specs.engines.protocol.RewardSession.query`; blank steps have no tokens.

        A trace with blank candidates only has no paths, but the search may still extend it.
        """
        query = [(prefix, [path for path in paths if path]) for prefix, paths in self._group_paths(groups, delimiter)]
        return query if any(paths for _, paths in query) else []

    def reward_lengths(self, path: Ids) -> list[int]:
        """The lengths of the beginnings of a path after which the format reads a reward."""
        ask = self._prm_format.ask
        return [
            length
            for length, token in enumerate(path, 1)
            if token == ask[-1] and path[length - len(ask) : length] == ask
        ]

    def _group_paths(self, groups: Sequence[CandidateGroup], delimiter: str | None) -> list[tuple[Ids, list[Ids]]]:
        """Tokens of each trace after the prompt, and the tokens that each of its candidates adds."""
        found: list[tuple[Ids, list[Ids]]] = []
        for trace, candidates in groups:
            prefix, continues = self._prefix(trace, delimiter)
            found.append((prefix, [self._path(prefix, c, continues, delimiter) for c in candidates]))
        return found

    def _prefix(self, trace: Trace, delimiter: str | None) -> tuple[Ids, bool]:
        """Tokens of a trace after the prompt, and whether its last step was cut at its cap."""
        steps, before, continues = self._last
        if trace.steps[: len(steps)] != steps:
            steps, before, continues = (), (), False
        ids = list(before)
        for step in trace.steps[len(steps) :]:
            content = self._content(step.text, continues, not ids, delimiter)
            ids += content
            closes = step.end is not End.CAP and bool(content or continues)
            continues = step.end is End.CAP and bool(content or continues)
            if closes:
                ids += self._prm_format.join
        self._last = trace.steps, tuple(ids), continues
        return self._last[1:]

    def _path(self, prefix: Ids, candidate: Candidate, continues: bool, delimiter: str | None) -> Ids:
        """The tokens that the model reads for a step, `ask` included; none for a blank step.

        A step that was cut at its token cap is rewarded as well. If the trace continues it, later inputs have the
        step's text without `ask`.
        """
        content = self._content(candidate.text, continues, not prefix, delimiter)
        return (*content, *self._prm_format.ask) if content or continues else ()

    def _content(self, text: str, continues: bool, first: bool, delimiter: str | None) -> Ids:
        key = (text, continues, first)
        if key not in self._content_ids:
            ids: list[int] = []
            breaks = self._prm_format.breaks or delimiter
            for part_idx, part in enumerate(text.split(breaks) if breaks else [text]):
                content = self._prm_format.content(part, first and not ids, continues and not part_idx)
                if part_idx and content and (ids or continues):
                    ids += self._prm_format.join
                ids += content
            self._content_ids[key] = tuple(ids)
        return self._content_ids[key]
