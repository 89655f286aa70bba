"""Imports onnxruntime, with telemetry off unless the user turns it on."""

from __future__ import annotations

import os
from typing import Any


def onnxruntime() -> Any:
    """The module. Telemetry must be off before the import, which would otherwise write files and look up a host."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime as module

    return module
