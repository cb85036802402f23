"""Recorded Kraken payloads, outside the repository."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trader.kraken.exact import exact_json

ROOT = Path(os.environ.get("TRADER_SHARED_DATA", Path(__file__).parents[3].parent / "shared" / "data")) / "kraken_fixtures"


def _recorded(name: str) -> Any:
    path = ROOT / name
    if not path.exists():
        pytest.skip(f"recorded Kraken payload {name} is absent; set TRADER_SHARED_DATA to the data directory")
    return exact_json(path.read_text())


@pytest.fixture
def body() -> Callable[[str], Any]:
    """Reads a recorded file as exact JSON; skips the test where the data are absent."""
    return _recorded
