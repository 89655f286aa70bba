"""onnxruntime, imported in one place, with telemetry off unless the user sets it."""

from __future__ import annotations

import os
from typing import Any


def onnxruntime() -> Any:
    """The module. Telemetry is off before the import, which alone would write files and look up a host."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime as module

    return module
