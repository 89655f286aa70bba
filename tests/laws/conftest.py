import pytest
import tiny

from specs.models.load import Names, load_models


@pytest.fixture(scope="session")
def trio(tmp_path_factory):
    return tiny.write_trio(tmp_path_factory.mktemp("trio"))


@pytest.fixture(scope="session")
def gguf_pair(trio, tmp_path_factory):
    """Draft and target of the trio as GGUF files."""
    needs_llama()
    folder = tmp_path_factory.mktemp("gguf")
    return {role: tiny.write_gguf(trio[role], folder / f"{role}.gguf") for role in ("draft", "target")}


def needs_llama():
    pytest.importorskip("llama_cpp", reason="needs the extra llama")
    pytest.importorskip("gguf", reason="needs the extra dev")


@pytest.fixture(
    scope="session",
    params=["light", "torch", *(pytest.param(name, marks=pytest.mark.slow) for name in ("recorded", "llama"))],
)
def models(request, trio):
    """The tiny random trio on each in-process engine, on torch also with recorded passes; beside llama.cpp the PRM is
    on the light one.
    """
    if request.param == "llama":
        files = request.getfixturevalue("gguf_pair")
        return load_models(Names(str(files["draft"]), str(files["target"]), str(trio["prm"])), engine="light")
    names = Names(str(trio["draft"]), str(trio["target"]), str(trio["prm"]))
    if request.param == "light":
        return load_models(names, engine="light")
    pytest.importorskip("torch")
    found = load_models(names, engine="torch", device="cpu", dtype="fp32")
    if request.param == "recorded":
        from traced import Traced

        for model in (found.draft, found.target, found.prm):
            model.backend.prepare(Traced())
    return found


@pytest.fixture
def clocked(models):
    """Models whose passes take an engine's time, which passes recorded without a GPU do not."""
    if getattr(models.draft.backend, "record", None):
        pytest.skip("recordings without a GPU are slow")
    return models
