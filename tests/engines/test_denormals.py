"""Numbers below 1e-38 are zeros inside a pass of the light engine, and what they are elsewhere."""

import platform
import threading

import numpy as np
import pytest

from specs import load
from specs.engines.local.onnx.denormals import LIBRARY, Flushed


def smallest():
    return float(np.float32(1e-38) * np.float32(0.01))


def test_loading_and_running_a_model_leave_this_thread_as_it_was():
    backend = load().draft.backend
    backend.forward(backend.cache(), np.array([5, 6]), np.arange(2), None, np.array([1]))
    assert smallest() > 0


@pytest.mark.skipif(platform.system() == "Windows", reason="no fenv.h")
def test_they_are_zeros_inside_in_whatever_thread():
    assert LIBRARY is not None
    seen = []

    def look():
        with Flushed():
            seen.append(smallest())
        seen.append(smallest())

    look()
    other = threading.Thread(target=look)
    other.start()
    other.join()
    assert seen == [0.0, smallest()] * 2


def test_an_error_inside_brings_the_environment_back():
    with pytest.raises(ValueError, match="no"), Flushed():
        raise ValueError("no")
    assert smallest() > 0
