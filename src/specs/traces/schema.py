"""Writes a solve as JSON: the result that `--json` prints, and the full trace that `--trace` writes."""

from __future__ import annotations

import gzip
import json
import math
import os
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from specs.core.selection import log_ratio
from specs.core.text import readable
from specs.errors import InputError
from specs.types import NO_CONTEXT, Candidate, Phase, Probed, Result, Role, StepRecord


def result_json(result: Result, candidates: bool = False) -> dict[str, Any]:
    """The result as JSON values; with `candidates` the full trace, including all candidates and the prompts' token ids.

    Numbers that JSON cannot represent (a log-probability of minus infinity) become strings.
    """
    record: dict[str, Any] = {
        "answer": result.answer,
        "text": result.text,
        "finish_reason": str(result.finish_reason),
        "method": result.method,
        "question": result.question,
        "steps": [step_json(step, candidates) for step in result.steps],
        "usage": {str(role): asdict(use) for role, use in result.usage.items()},
        "flops": result.flops,
        "latency_s": result.latency_s,
        "time_to_first_step_s": result.time_to_first_step_s,
        "draft_share": result.draft_share,
        "seed": result.seed,
        "draws": result.draws,
        "models": {str(role): name for role, name in result.models.items()},
        "settings": plain(result.settings),
        "text_scoring": result.text_scoring,
        "raw_scoring": result.raw_scoring,
        "error": result.error,
        "unfinished": asdict(result.unfinished),
    }
    if result.thinking:
        record["thinking"] = result.thinking
    if result.notes:
        record["notes"] = list(result.notes)
    if result.chat != NO_CONTEXT:
        record["chat"] = {"before": [asdict(turn) for turn in result.chat.before], "template": result.chat.template}
        if result.chat.think:
            record["chat"]["think"] = True
    if candidates:
        record["prompt_token_ids"] = {str(role): list(ids) for role, ids in result.prompt_token_ids.items()}
    return record


def step_json(record: StepRecord, candidates: bool) -> dict[str, Any]:
    """One step as JSON values; see `result_json`."""
    step, decision = record.step, record.decision
    value: dict[str, Any] = {
        "step_idx": record.step_idx,
        "writer": str(record.writer),
        "accepted": record.accepted,
        "text": None if step is None else readable(step.text),
        "n_tokens": None if step is None else len(step.token_ids),
        "end": None if step is None else str(step.end),
        "reward": None if step is None else _number(step.reward),
        "log_ratio": None if step is None else _number(_ratio(record, step)),
        "chosen": decision.chosen,
        "n_candidates": len(record.candidates),
        "n_distinct": sum(c.duplicates_of is None for c in record.candidates),
        "ess": decision.ess,
        "chi2": decision.chi2,
        "discarded": record.discarded,
        "seconds": asdict(record.seconds),
    }
    if record.phase is not Phase.ANSWER:
        value["phase"] = str(record.phase)
    if record.entropy is not None:
        value["entropy"] = record.entropy
    if record.probe is not None:
        value["probe"] = _probe_json(record.probe)
    if record.kept is not None or record.parents is not None:
        value |= {"kept": record.kept, "parents": record.parents}
    if candidates:
        value["candidates"] = [
            {
                "token_ids": list(c.token_ids),
                "text": readable(c.text),
                "end": str(c.end),
                "log_p": _number(c.log_p),
                "log_q": _number(c.log_q),
                "reward": _number(c.reward),
                "score": _number(score),
                "probability": None if math.isnan(probability) else probability,
                "duplicates_of": c.duplicates_of,
                **({"forced": c.forced} if c.forced else {}),
                **({} if c.log_p_by_token is None else {"log_p_by_token": plain(c.log_p_by_token)}),
                **({} if c.log_p_at_most is None else {"log_p_at_most": _number(c.log_p_at_most)}),
            }
            for c, score, probability in zip(record.candidates, decision.scores, decision.probabilities, strict=True)
        ]
    return value


def _probe_json(probe: Probed) -> dict[str, Any]:
    return {
        "token_ids": list(probe.token_ids),
        "text": readable(probe.text),
        "end": str(probe.end),
        "log_p": plain(probe.log_p),
    }


def _ratio(record: StepRecord, step: Candidate) -> float | None:
    """`log p - log q` of the chosen step; None for a draft step that the target did not score."""
    return None if record.writer is Role.DRAFT and step.log_p is None else log_ratio(step)


def _number(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)


_SURROGATE = re.compile("[\ud800-\udfff]")


def plain(value: Any) -> Any:
    """The value in JSON's types: infinite numbers and NaN become text, tuples become lists."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in cast(dict[str, Any], value).items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in cast(Sequence[Any], value)]
    return _number(value) if isinstance(value, float) else value


def json_text(value: Any, indent: int | None = None) -> str:
    """A value as standard JSON text, with lone surrogates escaped so that it can be encoded as UTF-8."""
    text = json.dumps(plain(value), ensure_ascii=False, allow_nan=False, indent=indent)
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def check_writable(path: Path) -> None:
    """Raise `InputError` if a file cannot be written there; does not write anything."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is not a folder; make it first")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path.parent} is not writable; choose another folder")


def write_json(path: Path, value: dict[str, Any], indent: int | None = None) -> None:
    """Write a JSON file completely or not at all; gzipped if its name ends in .gz, as long traces should be."""
    write_text(path, json_text(value, indent) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file completely or not at all; keeps its mode, follows links, writes directly to devices and pipes."""
    data = text.encode()
    if path.suffix == ".gz":
        data = gzip.compress(data, mtime=0)
    path = path.resolve()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        temporary.write_bytes(data)
        if path.exists():
            temporary.chmod(path.stat().st_mode & 0o7777)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(f"{path} could not be written: {error.strerror or error}") from None
