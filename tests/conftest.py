"""Being here puts this folder on the path, so that tests of every layer can import the kits beside this file."""

from __future__ import annotations

from collections.abc import Iterator

import ccxt_clock
import pytest


@pytest.fixture(autouse=True)
def _ccxt_reads_its_own_clock_again() -> Iterator[None]:
    """A simulated clock set on ccxt's classes must not reach the next test, which may be a stranger's client in real time."""
    yield
    ccxt_clock.restore()
