"""The Python of the documentation, as people use it: under a strict type checker, and pasted into a notebook."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
SNIPPETS = {
    f"{page.relative_to(ROOT)}:{index}": code
    for page in PAGES
    for index, code in enumerate(FENCE.findall(page.read_text()))
}
NOTEBOOK = ["README.md", "docs/tutorial.md", "docs/howto/stream-steps.md", "docs/howto/many-questions.md"]


@pytest.mark.slow
def test_every_python_program_of_the_documentation_passes_a_strict_type_checker(tmp_path):
    programs = {**SNIPPETS, **{str(path.relative_to(ROOT)): path.read_text() for path in ROOT.glob("examples/*.py")}}
    for name, code in programs.items():
        (tmp_path / (re.sub(r"\W", "_", name) + ".py")).write_text(code)
    (tmp_path / "pyrightconfig.json").write_text(
        json.dumps({"typeCheckingMode": "strict", "extraPaths": [str(ROOT / "src")]})
    )
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson", "-p", str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True)
    said = json.loads(ran.stdout)
    assert said["summary"]["filesAnalyzed"] == len(programs)
    assert [f"{found['file']}: {found['message']}" for found in said["generalDiagnostics"]] == []


@pytest.mark.slow
@pytest.mark.parametrize("page", NOTEBOOK)
def test_the_python_of_a_page_runs_in_a_notebook(page, tmp_path):
    """In a kernel of its own, whose event loop already runs; so `await main()` takes the place of `asyncio.run`."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(cwd=str(tmp_path))
    printed: list[str] = []

    def keep(message: dict) -> None:
        if message["msg_type"] in ("stream", "execute_result"):
            printed.append(message["content"].get("text") or message["content"]["data"]["text/plain"])

    try:
        blocks = [code for name, code in SNIPPETS.items() if name.startswith(f"{page}:")]
        assert blocks
        for code in [*blocks, "import specs; specs.solve('2 + 2?', specs.load())"]:
            reply = client.execute_interactive(
                code.replace("asyncio.run(main())", "await main()"), timeout=120, output_hook=keep
            )
            assert reply["content"]["status"] == "ok", reply["content"]
        assert printed[-1].startswith("Result(answer=")  # what a cell shows is one line
        assert len(printed) > len(blocks)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
