"""Nothing looks ahead, and each planted leak is caught by the check that is there for it."""

from __future__ import annotations

import pytest

from tests.lookahead.checks import CHECKS, World
from tests.lookahead.studies import CLEAN, LEAKS

CAUGHT_BY = {
    "next bar's close in an indicator": "future truncated",
    "centred window": "future truncated",
    "4h candle visible before its close": "future truncated",
    "normalisation over the whole series": "recursive warm-up",
    "fill at the signal bar's close": "one-bar delay",
    "universe chosen by end-of-period volume": "future shuffled",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World.of(tmp_path_factory.mktemp("lookahead"), points=6)


@pytest.mark.parametrize("check", CHECKS)
def test_clean_code_is_never_reported(check: str, world: World) -> None:
    assert CHECKS[check](CLEAN, world) == []


@pytest.mark.parametrize("leak", LEAKS)
def test_a_planted_leak_is_caught_by_name(leak: str, world: World) -> None:
    assert CHECKS[CAUGHT_BY[leak]](LEAKS[leak], world)
