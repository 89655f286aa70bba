"""The torch engine shows no progress bars, advice or deprecations of its libraries, and restores their settings."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from helpers import tiny

pytest.importorskip("torch")
from transformers.utils.logging import set_tqdm_hook

from specs.engines.local.torch.loading import load_hf
from specs.errors import ModelError

SOLVE = "import sys; from specs.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models with a surplus tensor, about which transformers prints a table."""
    folders = tiny.write_trio(tmp_path_factory.mktemp("trio"))
    for folder in folders.values():
        (weights,) = folder.glob("*.safetensors")
        tensors = load_file(weights)
        save_file(tensors | {"model.unheard.weight": tensors["model.norm.weight"]}, weights, {"format": "pt"})
    return folders


@pytest.mark.slow
def test_a_solve_prints_nothing_to_standard_error(trio: dict[str, Path]) -> None:
    models = [word for role in ("draft", "target", "prm") for word in (f"--{role}", str(trio[role]))]
    options = ["solve", "a b", *models, "--engine", "torch", "--device", "cpu", "--n", "2"]
    options += ["--set", "max_steps=2"]
    done = subprocess.run(
        [sys.executable, "-W", "always::FutureWarning", "-W", "always::DeprecationWarning", "-c", SOLVE, *options],
        env={name: value for name, value in os.environ.items() if not name.startswith("TRANSFORMERS_")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "latency" in done.stdout


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING, logging.CRITICAL])
def test_settings_of_the_user_are_restored(trio: dict[str, Path], level: int, tmp_path: Path) -> None:
    log, shown = logging.getLogger("transformers"), []

    def bar(factory: Any, args: Any, options: Any) -> Any:
        shown.append(options)
        return factory(*args, **options)

    level_before, hook_before = log.level, set_tqdm_hook(bar)
    log.setLevel(level)
    try:
        load_hf(str(trio["draft"]), "lm", device="cpu")
        (tmp_path / "config.json").write_text("{")
        with pytest.raises(ModelError):
            load_hf(str(tmp_path), "lm", device="cpu")
        assert log.level == level
        assert shown == []
        assert set_tqdm_hook(None) is bar
    finally:
        log.setLevel(level_before)
        set_tqdm_hook(hook_before)
