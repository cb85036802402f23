"""Payloads recorded from Kraken or made by ccxt, kept beside the project and never inside it; tests skip where they are absent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "kraken_fixtures"


def load(name: str) -> Any:
    """One file as JSON, `nautilus/http_ohlc.json`; skips the test where it is absent."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"recorded payload {name} is absent: ../shared/data/kraken_fixtures belongs beside the project")
    return json.loads(path.read_text())


def names(pattern: str) -> list[str]:
    """Names of the files that match, sorted; none where the folder is absent."""
    return sorted(path.name for path in (FOLDER / "nautilus").glob(pattern))
