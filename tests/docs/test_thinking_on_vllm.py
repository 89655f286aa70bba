"""docs/howto/thinking-on-vllm.md: its tables are the planner's, and its commands are ones that the programs take.

python tests/docs/test_thinking_on_vllm.py     rewrites the tables
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from deploy import checkpoints
from deploy.checkpoints import model_of
from specs.cli.main import parser
from specs.cli.options import method_of
from specs.deploy.memory_plan import GB, Model
from specs.deploy.sizes import parse_gpus
from specs.deploy.thinking_plan import plan_thinking, thinking_context, thinking_load
from specs.errors import NoRoom
from specs.types import Role

PAGE = Path(__file__).parents[2] / "docs/howto/thinking-on-vllm.md"
LOAD = thinking_load(n=8)
MODELS = {
    "Qwen3-0.6B": "QWEN3_0_6B", "Qwen3-1.7B": "QWEN3_1_7B", "Qwen3-4B": "QWEN3_4B", "Qwen3-8B": "QWEN3_8B",
    "Qwen3-14B": "QWEN3_14B", "Qwen3-32B": "QWEN3_32B", "R1-Distill-Qwen-1.5B": "R1_1_5B",
    "R1-Distill-Qwen-7B": "R1_7B", "R1-Distill-Qwen-14B": "R1_14B", "R1-Distill-Qwen-32B": "R1_32B",
}  # fmt: skip
QWEN3, R1 = "Qwen3-", "R1-Distill-Qwen-"
PAIRS = [
    *((QWEN3, draft, target) for draft, target in (("0.6B", "4B"), ("0.6B", "8B"), ("0.6B", "14B"), ("0.6B", "32B"))),
    *((QWEN3, "1.7B", target) for target in ("8B", "14B", "32B")),
    *((R1, "1.5B", target) for target in ("7B", "14B", "32B")),
]
GPUS = {"24": "24", "48": "48", "80": "80", "2 x 24": "24,24", "2 x 48": "48,48", "2 x 80": "80,80"}


def model(name: str) -> Model:
    return model_of(name, getattr(checkpoints, MODELS[name]))


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def sizes() -> str:
    """The table of models: weights, KV bytes of a token, KV of one trace with eight candidates at its last step."""
    rows = [row("model", "weights, GB", "KV of a token, kB", "KV of a trace, GB"), row("---", "---:", "---:", "---:")]
    for name in MODELS:
        found = model(name)
        kv = LOAD.kv_tokens() * found.kv_per_token() / GB
        rows.append(row(name, f"{found.weights / GB:.1f}", f"{found.kv_per_token() / 1000:.1f}", f"{kv:.1f}"))
    return "".join(f"{line}\n" for line in rows)


def fitting() -> str:
    """The table of pairs: how many traces fit on which GPUs, or what budget does."""
    rows = [row("draft and target", *(f"{gpus} GB" for gpus in GPUS)), row("---", *["---:"] * len(GPUS))]
    for family, draft, target in PAIRS:
        models = {Role.DRAFT: model(family + draft), Role.TARGET: model(family + target)}
        rows.append(row(f"{family}{draft}, {target}", *(cell(models, gpus) for gpus in GPUS.values())))
    return "".join(f"{line}\n" for line in rows)


def cell(models: dict[Role, Model], gpus: str) -> str:
    try:
        return str(plan_thinking(models, parse_gpus(gpus), LOAD).solves)
    except NoRoom as shortage:
        said = str(shortage)
    if budget := re.search(r"with thinking_tokens=(\d+) one fits$", said):
        return f"({int(budget[1]):,})"
    return "(n=1)" if said.endswith("with n=1 one fits") else "none"


TABLES = {"sizes": sizes, "fitting": fitting}
MARKED = re.compile(r"(<!-- table: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def test_the_tables_are_the_planner_s():
    found = {name: text for _, name, text, _ in MARKED.findall(PAGE.read_text())}
    assert found.keys() == TABLES.keys()
    for name, text in found.items():
        assert text == TABLES[name](), "run PYTHONPATH=src:tests python tests/docs/test_thinking_on_vllm.py"


def commands() -> list[list[str]]:
    blocks = re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    text = "".join(blocks).replace("\\\n", " ").replace("$PAIR", "--draft Qwen/Qwen3-0.6B --target Qwen/Qwen3-8B")
    text = text.replace("$SERVERS", "--draft http://127.0.0.1:8000 --target http://127.0.0.1:8001")
    return [shlex.split(line, comments=True) for line in text.splitlines() if line.startswith("specs ")]


def test_its_commands_are_parsed():
    found = commands()
    assert {words[1] for words in found} == {"launch", "doctor", "solve", "eval", "serve"}
    for words in found:
        parser().parse_args(words[1:])


@pytest.mark.parametrize("words", [words for words in commands() if words[1] == "solve"], ids=" ".join)
def test_its_solves_fit_the_servers_that_it_starts(words):
    """Without another budget the planned context is that of the launch above; those with one say a smaller one."""
    _, sampling, limits = method_of(parser().parse_args(words[1:]))
    assert sampling.thinks
    assert thinking_context(limits.max_thinking_tokens) <= LOAD.context


def write() -> None:
    PAGE.write_text(MARKED.sub(lambda match: f"{match[1]}{TABLES[match[2]]()}{match[4]}", PAGE.read_text()))


if __name__ == "__main__":
    write()
