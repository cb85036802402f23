"""JSON as it goes over the wire."""

from __future__ import annotations

import json
from typing import Any

_ENCODER = json.JSONEncoder(separators=(",", ":"), check_circular=False)  # what is sent is made here and holds no circle


def dumps(value: Any) -> str:
    """Compact JSON."""
    return _ENCODER.encode(value)
