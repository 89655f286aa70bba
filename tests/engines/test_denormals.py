"""Numbers below 1e-38 become zero inside a pass of the light engine only; elsewhere the thread keeps its setting."""

import platform
import threading

import numpy as np
import pytest

from specs import load
from specs.engines.local.onnx.denormals import LIBRARY, Flushed


def smallest():
    return float(np.float32(1e-38) * np.float32(0.01))


def test_loading_and_running_a_model_keep_the_setting_of_this_thread():
    backend = load().draft.backend
    backend.forward(backend.cache(), np.array([5, 6]), np.arange(2), None, np.array([1]))
    assert smallest() > 0


@pytest.mark.skipif(platform.system() == "Windows", reason="no fenv.h")
def test_small_numbers_become_zero_inside_in_any_thread():
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


def test_an_error_inside_restores_the_setting():
    with pytest.raises(ValueError, match="no"), Flushed():
        raise ValueError("no")
    assert smallest() > 0
