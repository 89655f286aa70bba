"""Which files of a model are fetched from the hub, here a folder."""

import shutil
from fnmatch import fnmatch

import pytest

torch = pytest.importorskip("torch")

import huggingface_hub  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from helpers import prms  # noqa: E402
from specs.engines.loading import Names, load_models  # noqa: E402

NAME = "Skywork/Skywork-o1-Open-PRM-Qwen-2.5-1.5B"


@pytest.mark.parametrize("pickled", [True, False])
def test_pickled_weights_are_fetched_only_if_there_are_no_safetensors(pickled, tmp_path, monkeypatch):
    """A Skywork PRM as published, with pickled weights only, and with both kinds."""
    repository, cache = prms.write("skywork", tmp_path / "hub"), tmp_path / "cache"
    (repository / "modeling_qwen2_rm.py").write_text("raise SystemExit('code of a checkpoint was run')")
    torch.save(load_file(repository / "model.safetensors"), repository / "pytorch_model.bin")
    if pickled:
        (repository / "model.safetensors").unlink()

    def fetch(name, allow_patterns):
        assert name == NAME
        cache.mkdir(exist_ok=True)
        for file in repository.iterdir():
            if any(fnmatch(file.name, pattern) for pattern in allow_patterns):
                shutil.copy(file, cache)
        return str(cache)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    prm = load_models(Names(None, None, NAME), device="cpu", dtype="fp32").prm
    assert (prm.name, prm.prm_format.name) == (NAME, "skywork")
    fetched = {file.name for file in cache.iterdir()}
    assert ("pytorch_model.bin" in fetched) == pickled
    assert ("model.safetensors" in fetched) != pickled
    assert "modeling_qwen2_rm.py" not in fetched
