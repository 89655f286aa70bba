"""Steps as text: where they end, and their ids.

An object that writes text has no token ids. Its steps get one id for each word or sign with the blanks before it, so
that the driver can tell steps apart and compare their length with its limits. They are no tokens of the model.
"""

from __future__ import annotations

import re
from hashlib import blake2b

from specs.core.text import readable
from specs.engines.adapter.interface import StepText
from specs.engines.protocol import Sample
from specs.types import Candidate, End, StepPolicy, Trace

END_OF_TEXT, REST = 0, 1
"""The ids of the end of a text, and of tokens of a capped step that its words do not account for."""
_PIECE = re.compile(r"\s*(?:\w+|[^\w\s])|\s+")


def sample_of(given: str | StepText, policy: StepPolicy) -> Sample:
    """A text that a model returned, as a step: what follows a step's end is cut off, a missing delimiter is added."""
    text, end = (given, None) if isinstance(given, str) else (given.text, End(given.end))
    text = readable(text)
    length = _length(text, policy)
    if length is not None:
        text, end = text[:length], End.DELIMITER
    elif end in (None, End.DELIMITER):
        closes = policy.pattern is None and policy.delimiter
        if not closes or (end is None and not text.strip()):
            end = End.END_OF_TEXT
        else:
            text, end = text + closes, End.DELIMITER
    return Sample(_ids(text, end, policy.max_tokens), text, end, None)


def _length(text: str, policy: StepPolicy) -> int | None:
    """The length of the step at the beginning of a text; None if the text does not reach the step's end."""
    solid = len(text) - len(text.lstrip())
    if policy.pattern is not None:
        found = re.compile(policy.pattern).search(text, solid)
        return None if found is None else found.end()
    place = text.find(policy.delimiter, solid) if policy.delimiter else -1
    return None if place < 0 else place + len(policy.delimiter or "")


def _ids(text: str, end: End, cap: int) -> tuple[int, ...]:
    ids = [_id(piece) for piece in _PIECE.findall(text)]
    if end is End.CAP:
        ids += [REST] * (cap - len(ids))
    return (*ids, END_OF_TEXT) if end is End.END_OF_TEXT else tuple(ids)


def _id(piece: str) -> int:
    """48 bits, which every JSON reader keeps."""
    return int.from_bytes(blake2b(piece.encode(), digest_size=6).digest()) or 2


def contents(trace: Trace, candidate: Candidate, delimiter: str | None) -> tuple[list[str], bool]:
    """The steps of a trace and a candidate for a reward model, and whether the candidate adds anything.

    A whole solution is split at the delimiter. Blank steps are left out, and a capped step goes on in the next one.
    """
    found: list[str] = []
    goes_on = adds = False
    for step in (*trace.steps, candidate):
        adds = False
        for part in step.text.split(delimiter) if delimiter else [step.text]:
            if goes_on:
                found[-1] += part
            elif part.strip():
                found.append(part)
            adds |= goes_on or bool(part.strip())
            goes_on = False
        goes_on = step.end is End.CAP and adds
    return [readable(step).strip() for step in found], adds
