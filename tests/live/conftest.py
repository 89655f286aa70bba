"""Servers for the live tests, run from the environment that scripts/vllm-environment installs."""

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
            item.add_marker(pytest.mark.timeout(START_S + 300))  # the first test of a server also starts it


@pytest.fixture(scope="session")
def vllm():
    """Skip live tests without vLLM, or fail them if SPECS_LIVE=1."""
    if not VLLM.is_file():
        missing = f"no vLLM at {VLLM}: run scripts/vllm-environment"
        pytest.fail(missing) if os.environ.get("SPECS_LIVE") == "1" else pytest.skip(missing)


@pytest.fixture(scope="session")
def servers(vllm, tmp_path_factory):
    """The bundled trio by role, one server each, shared by the whole run: do not change or stop them."""
    with serving_trio(tmp_path_factory.mktemp("servers")) as trio:
        yield trio


@pytest.fixture(scope="session")
def local():
    """The bundled trio in this process."""
    return load()


@pytest.fixture
def start(vllm, tmp_path):
    """`start(model, *flags, **environment)`: a server for this test only, which may be killed or have other flags."""
    with ExitStack() as running:

        def one(model, *flags, **environment):
            log = tmp_path / f"server-{len(list(tmp_path.glob('server-*')))}.log"
            server = Server(model, log, *flags, **environment)
            running.callback(server.stop)
            return server.wait()

        yield one
