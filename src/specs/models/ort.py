"""onnxruntime, imported in one place: it tells nobody that it runs, unless the user asks for that."""

from __future__ import annotations

import os
from typing import Any


def onnxruntime() -> Any:
    """The module. Its telemetry is off from the start: the import alone would leave files and look up a host."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime as module

    return module
