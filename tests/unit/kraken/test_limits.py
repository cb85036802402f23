"""Our counters never run below Kraken's and keep a share for exits."""

from __future__ import annotations

import asyncio

import pytest

from trader.errors import RetryableError
from trader.kraken.limits import Limiter
from trader.kraken.tariff import TIERS, Kind


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


def spend(limiter: Limiter, kind: Kind, **what: object) -> None:
    """A call that leaves and is answered at once."""
    limiter.settle(limiter.charge(kind, **what))  # type: ignore[arg-type]


async def call(limiter: Limiter, kind: Kind, **what: object) -> None:
    async with limiter.turn(kind, **what):  # type: ignore[arg-type]
        return


def test_entries_leave_a_quarter_of_the_engine_counter_to_exits() -> None:
    limiter = Limiter(HandClock(), tier=TIERS["starter"])
    sent = 0
    while limiter.delay_s(Kind.ADD, pair="BTC/EUR") == 0:
        spend(limiter, Kind.ADD, pair="BTC/EUR")
        sent += 1
    assert sent == 45
    assert limiter.delay_s(Kind.ADD, pair="BTC/EUR", reducing=True) == 0
    assert limiter.delay_s(Kind.ADD, pair="ETH/EUR") == 0


# KRAKEN.md section 8, written out: (kind, age in seconds, charge)
CHARGES = [
    (Kind.ADD, None, 1.0),
    *((Kind.AMEND, age, charge) for age, charge in ((0, 4.0), (4.9, 4.0), (5, 3.0), (9.9, 3.0), (10, 2.0), (14.9, 2.0), (15, 1.0))),
    *((Kind.EDIT, age, charge) for age, charge in ((0, 7.0), (5, 6.0), (10, 5.0), (15, 3.0), (45, 2.0), (90, 1.0), (400, 1.0))),
    *((Kind.CANCEL, age, charge) for age, charge in ((0, 8.0), (5, 6.0), (10, 5.0), (15, 4.0), (45, 2.0), (90, 1.0), (300, 0.0))),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "age", "charge"), CHARGES)
def test_a_change_costs_what_the_age_of_its_order_says(kind: Kind, age: float | None, charge: float) -> None:
    clock = HandClock()
    limiter = Limiter(clock)
    if age is not None:
        limiter.saw_order("O1", "BTC/EUR", clock.now_us())
        clock.us += int(age * 1e6)
    spend(limiter, kind, pair="BTC/EUR", txid=None if age is None else "O1")
    assert limiter.engine_at("BTC/EUR") == charge


def test_tiers_are_those_of_the_reference() -> None:
    rows = {name: (t.rest_max, t.rest_decay, t.engine_max, t.engine_decay) for name, t in TIERS.items() if name != "unlimited"}
    assert rows == {"starter": (15, 0.33, 60, 1.0), "intermediate": (20, 0.5, 125, 2.34), "pro": (20, 1.0, 180, 3.75)}


def test_an_order_of_unknown_age_and_pair_costs_the_most_and_counts_for_every_pair() -> None:
    limiter = Limiter(HandClock())
    spend(limiter, Kind.CANCEL, txid="O3")
    assert [limiter.engine_at(pair) for pair in ("BTC/EUR", "ETH/EUR")] == [8.0, 8.0]


def test_an_order_from_before_our_start_is_as_young_as_we_are() -> None:
    clock = HandClock()
    limiter = Limiter(clock)
    limiter.saw_order("O1", "BTC/EUR", clock.now_us() - 400_000_000)  # who knows when it was amended last
    clock.us += 6_000_000
    spend(limiter, Kind.CANCEL, txid="O1")
    assert limiter.engine_at("BTC/EUR") == 6.0


def test_an_amend_restarts_the_age_of_its_order_when_it_is_answered() -> None:
    clock = HandClock()
    limiter = Limiter(clock)
    limiter.saw_order("O1", "BTC/EUR", clock.now_us())
    clock.us += 400_000_000
    amend = limiter.charge(Kind.AMEND, txid="O1")
    clock.us += 7_000_000
    limiter.settle(amend)
    assert limiter.engine_at("BTC/EUR") == 1.0
    spend(limiter, Kind.CANCEL, txid="O1")
    assert limiter.engine_at("BTC/EUR") == 9.0


def test_a_batch_is_counted_once_per_order() -> None:
    limiter = Limiter(HandClock())
    spend(limiter, Kind.ADD, pair="BTC/EUR", orders=15)
    assert limiter.engine_at("BTC/EUR") == 15.0


def test_a_charge_does_not_fall_before_its_call_has_ended() -> None:
    """The venue counts it at any moment until then, so a model that lets it fall at once runs below the venue's."""
    clock = HandClock()
    limiter = Limiter(clock, tier=TIERS["pro"])
    under_way = limiter.charge(Kind.READ)
    clock.us += 5_000_000
    assert limiter.rest.at(clock.now_us()) == 1.0
    limiter.settle(under_way)
    clock.us += 500_000
    assert limiter.rest.at(clock.now_us()) == 0.5


def test_a_call_that_fails_is_settled_too() -> None:
    async def run() -> float:
        limiter = Limiter(HandClock())
        with pytest.raises(ValueError, match="no answer"):
            async with limiter.turn(Kind.READ):
                raise ValueError("no answer")
        return limiter.rest.pending

    assert asyncio.run(run()) == 0.0


def test_the_venues_own_counter_raises_ours_and_never_lowers_it() -> None:
    limiter = Limiter(HandClock(), tier=TIERS["pro"])
    limiter.counted("BTC/EUR", 120.0)
    limiter.counted("BTC/EUR", 3.0)
    assert limiter.engine_at("BTC/EUR") == 120.0


def test_reads_wait_for_the_rest_counter_and_public_calls_for_their_turn() -> None:
    async def run() -> tuple[list[float], float]:
        clock = HandClock()
        limiter = Limiter(clock, public_per_s=2.0)
        for _ in range(12):
            await call(limiter, Kind.READ)
        waited = list(clock.slept)
        before = clock.now_us()
        for _ in range(5):
            await call(limiter, Kind.PUBLIC)
        return waited, (clock.now_us() - before) / 1e6

    waited, public = asyncio.run(run())
    assert len(waited) == 1  # the twelfth read is over three quarters of 15
    assert public == pytest.approx(2.0, abs=0.01)


def test_what_orders_wait_for_does_not_wait_for_candles_but_takes_its_turn_among_all_others() -> None:
    async def run() -> None:
        clock = HandClock()
        limiter = Limiter(clock, public_per_s=1.0)
        for _ in range(8):
            limiter.charge(Kind.CANDLES)
        assert limiter.delay_s(Kind.STATUS) == 0.0
        assert limiter.delay_s(Kind.PUBLIC) == limiter.delay_s(Kind.CANDLES) == 8.0
        await call(limiter, Kind.STATUS)
        assert limiter.delay_s(Kind.STATUS) == 1.0, "the venue counts these by address"
        assert limiter.delay_s(Kind.PUBLIC) == 9.0
        await clock.sleep(9.0)
        await call(limiter, Kind.PUBLIC)
        assert limiter.delay_s(Kind.STATUS) == 1.0

    asyncio.run(run())


def test_a_lockout_stops_private_calls_only() -> None:
    async def run() -> None:
        limiter = Limiter(HandClock(), public_per_s=None)
        limiter.refused(None, 900.0, engine=False)
        await call(limiter, Kind.PUBLIC)
        with pytest.raises(RetryableError) as caught:
            await call(limiter, Kind.READ, reducing=True)
        assert caught.value.retry_after_s == pytest.approx(900.0)

    asyncio.run(run())


def test_a_refusal_of_the_venue_fills_our_counter() -> None:
    limiter = Limiter(HandClock())
    limiter.refused("BTC/EUR", None, engine=True)
    assert limiter.delay_s(Kind.ADD, pair="BTC/EUR", reducing=True) > 0
    assert limiter.delay_s(Kind.ADD, pair="ETH/EUR") == 0
    limiter.refused(None, None, engine=False)
    assert limiter.delay_s(Kind.READ, reducing=True) > 0
