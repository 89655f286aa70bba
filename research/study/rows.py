"""Rows of the study, one for each solve: written while it runs, compressed when a part is complete.

A row holds what tables need: tier, problem seed and setting, whether the answer is right, FLOPs, tokens by role, steps,
those that the draft wrote and those that were rewritten, and seconds, which count only where nothing else ran (part
`time-...`). Where all candidates are whole solutions, `solutions_right` says how many of them are right.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from research.benchmarks.bundled import LAW, LIMITS
from specs.bundled.problems import generate
from specs.config import SolveConfig
from specs.config.text import method_from_text
from specs.core.votes import boxed
from specs.decoding.stream import stream
from specs.engines.protocol import Models
from specs.eval.grading import correct
from specs.methods.registry import make
from specs.types import Result, Role

RECORDS = Path(__file__).parents[1] / "records" / "study"
Row = dict[str, Any]


def solved(models: Models, tier: str, problem: int, method: str, seed: int = 0) -> Row:
    """Solve one problem; a solve that fails is a row with `error`, and neither right nor wrong."""
    name, options = method_from_text(method)
    config = SolveConfig(make(name, **options), LAW, LIMITS, seed=seed)
    asked, begun = generate(tier, problem), time.process_time()
    result = stream(asked.question, models, config).result
    core_s = time.process_time() - begun
    row = {"tier": tier, "problem": problem, "method": method, "seed": seed}
    if result.error is not None:
        return {**row, "error": result.error}
    whole = [candidate.text for record in result.steps if record.step_idx == 0 for candidate in record.candidates]
    each = {"solutions_right": sum(_right(boxed(text), asked.answer) for text in whole)} if _whole(result) else {}
    return {
        **row,
        "right": int(_right(result.answer, asked.answer)),
        **each,
        **spent(result),
        "core_s": round(core_s, 4),
    }


def _right(answer: str | None, expected: str) -> bool:
    return correct(answer, expected) is True


def _whole(result: Result) -> bool:
    """Whether the method chose among whole solutions."""
    return all(record.step_idx == 0 for record in result.steps) and boxed(result.text) is not None


def spent(result: Result) -> Row:
    """What a solve took; its models are in this process, so its work is known."""
    assert result.flops is not None
    return {
        "mflops": round(result.flops / 1e6),
        "tokens": {role: use.processed for role, use in sorted(result.usage.items())},
        "steps": len(result.accepted),
        "drafted": sum(record.writer is Role.DRAFT for record in result.accepted),
        "rewritten": sum(not record.accepted and record.writer is Role.DRAFT for record in result.steps),
        "latency_s": round(result.latency_s, 4),
        "busy_s": {phase: round(seconds, 4) for phase, seconds in asdict(result.seconds).items() if phase != "wall"},
        "drawn": {role: use.generated for role, use in sorted(result.usage.items())},
    }


def key(row: Row) -> tuple[str, int, str, int]:
    """What tells solves apart."""
    return row["tier"], row["problem"], row["method"], row["seed"]


def read(part: str, folder: Path = RECORDS) -> list[Row]:
    """The rows of a part, those of complete and of unfinished files; without duplicates, in the order of solves."""
    found: dict[Any, Row] = {}
    for path in sorted(folder.glob(f"{part}.*jsonl*")):
        for row in _rows(path):
            found[key(row)] = row
    return list(found.values())


def _rows(path: Path) -> Iterator[Row]:
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    for line in text.decode().splitlines(keepends=True):
        if line.endswith("\n"):  # a process may have been killed within a line
            yield json.loads(line)


def compress(part: str, folder: Path = RECORDS) -> Path:
    """Put all rows of a part into one compressed file, the same bytes for the same rows, and remove the others."""
    rows = sorted(read(part, folder), key=key)
    path = folder / f"{part}.jsonl.gz"
    text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
    whole = path.with_suffix(".part")
    whole.write_bytes(gzip.compress(text.encode(), mtime=0))
    whole.replace(path)
    for other in folder.glob(f"{part}.*.jsonl"):
        other.unlink()
    return path


def append(path: Path, rows: Iterable[Row]) -> Iterator[Row]:
    """Write rows to a file as they come, behind its whole lines, and pass them on."""
    whole = path.read_bytes().rpartition(b"\n") if path.exists() else (b"", b"", b"")
    with path.open("ab") as cut:
        cut.truncate(len(whole[0]) + len(whole[1]))
    with path.open("a", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, separators=(",", ":")) + "\n")
            out.flush()
            yield row
