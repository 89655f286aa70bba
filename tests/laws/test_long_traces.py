"""Long traces: the work of a step does not grow with the trace (500 steps, 32,000 tokens, models that cost nothing).

Work is counted in calls of functions, which no busy machine changes. Copies and comparisons of whole token lists, which
Python does in one call, still grow, as does the attention mask of the engines in this process.
"""

import json
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest

from research.cost_suite.blank import Blank
from specs.config import Limits, SolveConfig
from specs.core import votes
from specs.decoding import limits as limits_module
from specs.decoding.stream import stream
from specs.engines.local.buffers import MOST_SPARE_ENTRIES, enlarged
from specs.engines.local.logits import NUMPY_LOGITS_OPS
from specs.engines.local.models import LocalPolicy, LocalReward
from specs.engines.protocol import Models
from specs.methods.registry import make
from specs.rewards.families import TokenClassification
from specs.types import SamplingParams, StepPolicy, Thinking

STEPS, TOKENS, WIDTH = 500, 64, 50
CHUNKS = StepPolicy.chunks(TOKENS)


@dataclass
class Free:
    """A `Backend` whose outputs are taken from a table by token and position."""

    name: str
    width: int
    vocabulary: int = 0x20000
    context: int = 40_000
    parameters: int = 0
    device: str = "cpu"
    concurrent_calls: int = 0
    tolerance: float = 0.0
    if_not_finite: str = ""
    logits_ops = NUMPY_LOGITS_OPS

    def __post_init__(self):
        table = np.random.default_rng(len(self.name)).normal(size=(4096, self.width)).astype(np.float32)
        self.table = table if self.width > 1 else 0.1 * table + 3

    def cache(self):
        return None

    def forward(self, cache, ids, positions, visible, want):
        return self.table[(ids[want] * 31 + positions[want]) % 4096]

    def keep(self, cache, length, moved):
        pass


class Thinker(Blank):
    thinking = Thinking("", WIDTH, chr(0x20000 + WIDTH), (WIDTH,), chr(0x20000 + WIDTH))


def models(backend=Free):
    text = Thinker()
    return Models(
        LocalPolicy(backend("q", WIDTH), text),
        LocalPolicy(backend("pp", WIDTH), text),
        LocalReward(backend("rrr", 1), TokenClassification(text), ""),
    )


def run(method, thinks=True, steps=STEPS, among=None, **limits):
    law = SamplingParams(1.0, 1.0, CHUNKS, CHUNKS if thinks else None)
    most = Limits(max_steps=steps, max_tokens=STEPS * TOKENS, max_thinking_tokens=STEPS * TOKENS + 1)
    question = "".join(map(Thinker().spelling, range(3, 43)))
    return stream(question, among or models(), SolveConfig(method, law, replace(most, **limits), 0))


def calls_by_step(running):
    """The function calls of each step."""
    count, found = 0, []

    def counted(frame, event, arg):
        nonlocal count
        count += event == "call"

    sys.setprofile(counted)
    try:
        for record in running:
            if record.accepted:  # what was thrown away belongs to the step that replaces it
                found.append(count)
                count = 0
    finally:
        sys.setprofile(None)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("thinks", [True, False])
@pytest.mark.parametrize("name", ["specs", "prm-free", "beam"])
def test_the_work_of_a_step_does_not_grow_with_the_trace(name, thinks):
    running = run(make(name, n=2), thinks)
    calls = calls_by_step(running)
    assert len(calls) == STEPS
    assert running.result.error is None
    first, last = np.median(calls[20:120]), np.median(calls[-100:])
    assert last < 1.1 * first
    for use in running.result.usage.values():
        assert use.processed == use.minimum + use.speculated


@pytest.mark.parametrize("thinks", [True, False])
def test_the_work_of_a_step_does_not_grow_over_100_steps(thinks):
    calls = calls_by_step(run(make("specs", n=2), thinks, steps=100))
    assert np.median(calls[-30:]) < 1.1 * np.median(calls[10:40])


def test_boxes_are_looked_for_in_the_answer_only(monkeypatch):
    """However long the thinking is, and however many unclosed boxes it holds."""
    read = []
    monkeypatch.setattr(limits_module, "boxed", lambda text: read.append(len(text)) or votes.boxed(text))
    result = run(make("target"), steps=30, max_thinking_tokens=20 * TOKENS).result
    assert result.thinking_tokens == 20 * TOKENS + 1
    assert read == [0] * 20 + [TOKENS * k for k in range(1, 11)]


def test_caches_grow_by_what_a_solve_needs():
    """A trace of 33,000 tokens takes at most 4,096 entries more, and the cache moves at most 12 times."""
    capacity, moves = 512, 0
    for entries in range(1, 33_001):
        if entries > capacity:
            capacity, moves = enlarged(capacity, entries), moves + 1
    assert 33_000 <= capacity <= 33_000 + MOST_SPARE_ENTRIES
    assert moves <= 12
    assert enlarged(512, 100_000) == 100_000


@dataclass
class Entries:
    """What happens to the entries of a cache that grows as those of real models do, from 512 entries on."""

    used: int = 0
    capacity: int = 512
    moves: int = 0
    copied: int = 0
    read: int = 0
    most: int = 0
    """The most entries of old and new memory together."""

    def add(self, new):
        if self.used + new + 1 > self.capacity:
            before, self.capacity = self.capacity, enlarged(self.capacity, self.used + new + 1)
            self.moves, self.copied = self.moves + 1, self.copied + self.used
            self.most = max(self.most, before + self.capacity)
        self.used += new
        self.read += self.used


@dataclass
class Growing(Free):
    """`Free` with caches that count their entries."""

    def cache(self):
        self.made = Entries()
        return self.made

    def forward(self, cache, ids, positions, visible, want):
        cache.add(len(ids))
        return super().forward(cache, ids, positions, visible, want)

    def keep(self, cache, length, moved):
        cache.used = length + len(moved)


def entries_by_role(method):
    """What happens to the caches of a solve of 320 steps, which thinks 20,480 tokens after a prompt of 40."""
    growing = models(Growing)
    assert run(method, steps=320, among=growing).result.thinking_tokens == 320 * TOKENS == 20_480
    return {role: growing.writer(role).backend.made for role in method.roles}


@pytest.mark.slow
def test_moving_the_cache_of_a_long_solve_costs_little():
    """The figures of docs/decisions/caches-grow.md."""
    writer = entries_by_role(make("target"))["target"]
    assert (writer.moves, round(writer.copied, -3), round(writer.read, -5)) == (8, 65_000, 210_500_000)
    assert writer.most == 45_056
    assert round(writer.copied / writer.read, 4) == 0.0003
    verifier = entries_by_role(make("prm-free", n=8))["target"]
    assert (verifier.moves, round(verifier.copied, -2), round(verifier.read, -5)) == (8, 61_200, 3_400_000)
    assert round(verifier.copied / verifier.read, 3) == 0.018


def test_a_trace_of_32000_tokens_is_written_and_read():
    """As JSON it has few bytes a token beyond its text and ids."""
    result = run(make("target"), steps=STEPS).result
    text = result.to_json()
    assert len(result.accepted) == STEPS
    assert json.loads(text)["thinking"] == result.thinking == result.text
    assert len(text.encode()) < 32_000 * 30 + STEPS * 1_200
