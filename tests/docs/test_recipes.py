"""Recipes agree with the command line: specs accepts the arguments that each one passes."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from specs.cli.main import parser
from specs.cli.options import cells_of, names_of

ROOT = Path(__file__).parents[2]
TELL = """#!{python}
import json, sys
with open({out!r}, "a") as file:
    print(json.dumps(sys.argv[1:]), file=file)
"""


@pytest.mark.parametrize("recipe", sorted((ROOT / "recipes").glob("*.sh")), ids=lambda path: path.stem)
def test_specs_accepts_the_arguments_of_a_recipe(recipe, tmp_path):
    """The recipe runs with a program in place of specs that records its arguments."""
    told, stand_in = tmp_path / "told.jsonl", tmp_path / "specs"
    stand_in.write_text(TELL.format(python=sys.executable, out=str(told)))
    stand_in.chmod(stat.S_IRWXU)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([recipe, str(tmp_path / "out")], env={**os.environ, "PATH": path}, check=True)
    commands = [json.loads(line) for line in told.read_text().splitlines()]
    assert len(commands) >= 3
    for command in commands:
        args = parser().parse_args(command)
        cells, law, limits = cells_of(args)
        assert set(names_of(args, [cell.method for cell in cells])) == {"draft", "target", "prm"}
        assert law.steps.max_tokens < limits.max_tokens
