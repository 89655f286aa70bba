"""Servers for the live tests, in the environment that scripts/vllm-environment makes."""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from live.servers import START_S, VLLM, Server, serving_trio
from specs import load


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.live)
            item.add_marker(pytest.mark.timeout(START_S + 300))  # whoever comes first starts the servers


@pytest.fixture(scope="session")
def vllm():
    """Without vLLM live tests are skipped; with SPECS_LIVE=1 they fail."""
    if not VLLM.is_file():
        missing = f"no vLLM at {VLLM}: run scripts/vllm-environment"
        pytest.fail(missing) if os.environ.get("SPECS_LIVE") == "1" else pytest.skip(missing)


@pytest.fixture(scope="session")
def servers(vllm, tmp_path_factory):
    """The bundled trio by role, one server each for the whole run: leave them as they are."""
    with serving_trio(tmp_path_factory.mktemp("servers")) as trio:
        yield trio


@pytest.fixture(scope="session")
def local():
    """The bundled trio in this process."""
    return load()


@pytest.fixture
def start(vllm, tmp_path):
    """`start(model, *flags, **environment)`: a server of this test's own, to be killed or otherwise flagged."""
    with ExitStack() as running:

        def one(model, *flags, **environment):
            log = tmp_path / f"server-{len(list(tmp_path.glob('server-*')))}.log"
            server = Server(model, log, *flags, **environment)
            running.callback(server.stop)
            return server.wait()

        yield one
