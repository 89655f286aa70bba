import pytest
import tiny

from specs.models.load import Names, load_models


@pytest.fixture(scope="session")
def trio(tmp_path_factory):
    return tiny.write_trio(tmp_path_factory.mktemp("trio"))


@pytest.fixture(scope="session", params=["light", "torch"])
def models(request, trio):
    """The tiny random trio on each in-process engine."""
    if request.param == "torch":
        pytest.importorskip("torch")
    names = Names(str(trio["draft"]), str(trio["target"]), str(trio["prm"]))
    return load_models(names, engine=request.param, device="cpu", dtype="fp32")
