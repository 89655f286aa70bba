"""The option `--device`: the device of the torch engine in tests that use the fixture `device`."""

import pytest


def pytest_addoption(parser):
    parser.addoption("--device", default="cpu", help="of the torch engine: cpu, cuda, cuda:N (default: %(default)s)")


@pytest.fixture(scope="session")
def device(request):
    return request.config.getoption("--device")
