"""One small market with its history, made once for all whole-trader tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from session_kit import Stage, fetch_history

SEED = 1


@pytest.fixture(scope="session")
def stage() -> Stage:
    return Stage.of(SEED)


@pytest.fixture(scope="session")
def history(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Candles up to the stage's start; copy it into each state directory."""
    return fetch_history(stage, tmp_path_factory.mktemp("history"))
