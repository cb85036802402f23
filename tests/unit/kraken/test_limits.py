"""Our counters never run below Kraken's and keep a share for exits."""

from __future__ import annotations

import asyncio

import pytest

from trader.errors import RetryableError
from trader.kraken.limits import TIERS, Kind, Limiter


class HandClock:
    """Time moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.us = 1_767_571_200_000_000
        self.slept: list[float] = []

    def now_us(self) -> int:
        return self.us

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.us += int(seconds * 1e6)

    async def sleep_until(self, time_us: int) -> None:
        self.us = max(self.us, time_us)


def test_entries_leave_a_quarter_of_the_engine_counter_to_exits() -> None:
    limiter = Limiter(HandClock(), tier=TIERS["starter"])
    sent = 0
    while limiter.delay_s(Kind.ADD, pair="BTC/EUR") == 0:
        limiter.charge(Kind.ADD, pair="BTC/EUR")
        sent += 1
    assert sent == 45
    assert limiter.delay_s(Kind.ADD, pair="BTC/EUR", reducing=True) == 0
    assert limiter.delay_s(Kind.ADD, pair="ETH/EUR") == 0


def test_an_early_cancel_costs_more_than_a_late_one_and_an_unknown_age_the_most() -> None:
    clock = HandClock()
    limiter = Limiter(clock)
    limiter.saw_order("O1", "BTC/EUR", clock.now_us())
    limiter.saw_order("O2", "ETH/EUR", clock.now_us() - 400_000_000)
    for txid in ("O1", "O2", "O3"):
        limiter.charge(Kind.CANCEL, txid=txid)
    now = clock.now_us()
    assert [limiter.engine[pair].at(now) for pair in ("BTC/EUR", "ETH/EUR", "")] == [8.0, 0.0, 8.0]


def test_an_amend_restarts_the_age_of_its_order() -> None:
    clock = HandClock()
    limiter = Limiter(clock)
    limiter.saw_order("O1", "BTC/EUR", clock.now_us() - 100_000_000)
    limiter.charge(Kind.AMEND, txid="O1")
    assert limiter.engine["BTC/EUR"].at(clock.now_us()) == 1.0
    limiter.charge(Kind.CANCEL, txid="O1")
    assert limiter.engine["BTC/EUR"].at(clock.now_us()) == 9.0


def test_reads_wait_for_the_rest_counter_and_public_calls_for_their_turn() -> None:
    async def run() -> tuple[list[float], float]:
        clock = HandClock()
        limiter = Limiter(clock, public_per_s=2.0)
        for _ in range(12):
            await limiter.wait(Kind.READ)
        waited = list(clock.slept)
        before = clock.now_us()
        for _ in range(5):
            await limiter.wait(Kind.PUBLIC)
        return waited, (clock.now_us() - before) / 1e6

    waited, public = asyncio.run(run())
    assert len(waited) == 1  # the twelfth read is over three quarters of 15
    assert public == pytest.approx(2.0, abs=0.01)


def test_a_lockout_stops_private_calls_only() -> None:
    async def run() -> None:
        limiter = Limiter(HandClock(), public_per_s=None)
        limiter.refused(None, 900.0, engine=False)
        await limiter.wait(Kind.PUBLIC)
        with pytest.raises(RetryableError) as caught:
            await limiter.wait(Kind.READ, reducing=True)
        assert caught.value.retry_after_s == pytest.approx(900.0)

    asyncio.run(run())


def test_a_refusal_of_the_venue_fills_our_counter() -> None:
    limiter = Limiter(HandClock())
    limiter.refused("BTC/EUR", None, engine=True)
    assert limiter.delay_s(Kind.ADD, pair="BTC/EUR", reducing=True) > 0
    assert limiter.delay_s(Kind.ADD, pair="ETH/EUR") == 0
    limiter.refused(None, None, engine=False)
    assert limiter.delay_s(Kind.READ, reducing=True) > 0
