"""The script that made the files beside it, run at commit 7f9fa16 as `python tests/golden/v1/record.py`.

    bundled.jsonl.gz   full traces: every method on two questions of bundled:medium, the bundled models
    tabular.jsonl.gz   full traces: every method on exact tabular models (tests/toy.py)
    prompts.json       what the bundled models and tiny tokenizers (tests/tiny.py) read before the first step
    run                a folder of `specs eval`
    calibration        a folder of `specs calibrate`, with its preset

Later versions must read all of it, and repeat token for token the solves whose draws did not change.
"""

import gzip
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from helpers import tiny  # noqa: E402
from helpers import toy  # noqa: E402
from specs.models.folders import BUNDLED  # noqa: E402
from specs.models.text import HubText  # noqa: E402
from specs.record import result_json  # noqa: E402

from specs import load, solve  # noqa: E402
from specs.bundled.problems import generate  # noqa: E402
from specs.methods.registry import NAMES, SPECULATING  # noqa: E402
from specs.types import Chat, Turn  # noqa: E402

QUESTIONS = [generate("medium", seed).question for seed in (1_000_004, 1_000_005)]
PROMPTS = [
    *QUESTIONS,
    "1 + 1",
    "a b.\n\nc",
    "  two  spaces\tand a tab ",
    "\u00e9 \u65e5\u672c",
    "a < b and c > d",
    "{{ x }}",
]
CHATS = [
    Chat(),
    Chat((Turn("system", "Be brief."),)),
    Chat((Turn("user", "a b"), Turn("assistant", "c d."))),
    Chat(template=False),
]


def write(name, results):
    lines = [json.dumps(result_json(result, candidates=True), ensure_ascii=False) + "\n" for result in results]
    (HERE / name).write_bytes(gzip.compress("".join(lines).encode(), mtime=0))


def specs(*words):
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r}); from specs.cli import main; sys.exit(main())"
    subprocess.run([sys.executable, "-c", code, *words], check=True, cwd=HERE)


def main():
    names = [*NAMES, *SPECULATING]
    models = load()
    write(
        "bundled.jsonl.gz",
        (solve(q, models, name, n=4, seed=seed) for name in names for seed, q in enumerate(QUESTIONS)),
    )
    tabular = (
        solve("q", toy.models_for(n.removesuffix("+speculation")), n, n=4, seed=3, temperature=1.0) for n in names
    )
    write("tabular.jsonl.gz", tabular)

    with tempfile.TemporaryDirectory() as folder:
        tiny.write_tokenizer(Path(folder) / "template")
        shutil.copytree(Path(folder) / "template", Path(folder) / "plain")
        (Path(folder) / "plain" / "chat_template.jinja").unlink()
        places = {role: BUNDLED / role for role in ("draft", "target", "prm")}
        places |= {f"tiny-{name}": Path(folder) / name for name in ("template", "plain")}
        for name in ("template", "plain"):
            (Path(folder) / name / "config.json").write_text('{"eos_token_id": 2}')
        prompts = [
            {"text": name, "question": question, "chat": idx, "ids": HubText(path).prompt(question, chat=chat)}
            for name, path in places.items()
            for question in PROMPTS
            for idx, chat in enumerate(CHATS)
        ]
    (HERE / "prompts.json").write_text("[\n" + ",\n".join(json.dumps(row) for row in prompts) + "\n]\n")

    methods = "specs,beam,target,majority,soft-best-of-n"
    specs(
        "eval",
        "--dataset",
        "bundled:easy",
        "--limit",
        "3",
        "--seeds",
        "2",
        "--n",
        "4",
        "--methods",
        methods,
        "--out",
        "run",
    )
    specs(
        "calibrate",
        "--dataset",
        "bundled:easy",
        "--limit",
        "20",
        "--check",
        "20",
        "--n",
        "2",
        "--max-latency-ratio",
        "5",
        "--out",
        "calibration",
    )


if __name__ == "__main__":
    main()
