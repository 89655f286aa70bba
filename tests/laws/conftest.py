import pytest

from helpers import tiny
from specs.engines.loading import Names, load_models


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
def load_on(request, tmp_path_factory, device):
    """`load_on(draft, target, prm)` loads folders (None for no model) on each in-process engine in turn, torch also
    with recorded passes; with llama.cpp the PRM runs on the light engine. `load_on.engine` names the engine.
    """
    if request.param == "llama":
        needs_llama()
    elif request.param != "light":
        pytest.importorskip("torch")
    if request.param == "recorded" and device != "cpu":
        pytest.skip("on a GPU the engine torch records its passes anyway")

    def load(draft, target, prm):
        writers = [draft, target]
        if request.param == "llama":
            folder = tmp_path_factory.mktemp("gguf")
            writers = [one and tiny.write_gguf(one, folder / f"{k}.gguf") for k, one in enumerate(writers)]
        names = Names(*(one and str(one) for one in (*writers, prm)))
        if request.param in ("light", "llama"):
            return load_models(names, engine="light")
        found = load_models(names, engine="torch", device=device, dtype="fp32")
        if request.param == "recorded":
            from helpers.traced import Traced

            for model in filter(None, (found.draft, found.target, found.prm)):
                model.backend.prepare(Traced())
        return found

    load.engine = request.param
    return load


@pytest.fixture(scope="session")
def models(load_on, trio):
    """The tiny random trio on each in-process engine."""
    return load_on(trio["draft"], trio["target"], trio["prm"])


@pytest.fixture
def clocked(models, device):
    """Models whose passes take a realistic time; passes recorded without a GPU do not, so they are skipped."""
    if device == "cpu" and getattr(models.draft.backend, "record", None):
        pytest.skip("passes recorded without a GPU are too slow for tests of time")
    return models
