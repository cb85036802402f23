"""Holes are filled in order per pair, late rather than never, and named when they cannot be."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from trader.domain.market import MINUTE, Candle, Timeframe
from trader.errors import FatalError, RejectedError, RetryableError
from trader.kraken.repairs import GIVE_UP, Repairs
from trader.simulation.loops import run_stepped

START = 1_767_571_200_000_000


def candle(pair: str, minute: int, close: float = 2.0) -> Candle:
    return Candle(
        pair=pair, timeframe=Timeframe.M1, time_us=START + minute * MINUTE, open=2.0, high=max(2.0, close), low=2.0, close=close,
        volume=1.0, vwap=2.0, count=1,
    )  # fmt: skip


class Venue:
    """REST with the candles of `have` minutes (all where None); each answer takes `seconds`."""

    def __init__(self, *, seconds: float = 0.1, have: Sequence[int] | None = None, errors: Sequence[Exception] = ()) -> None:
        self.seconds, self.have, self.errors = seconds, have, list(errors)
        self.asked: list[tuple[str, int]] = []
        self.now = 1

    async def fetch(self, pair: str, since_us: int) -> list[Candle]:
        self.asked.append((pair, (since_us - START) // MINUTE))
        now = self.now  # an answer shows what had closed when it was asked for
        await asyncio.sleep(self.seconds)
        if self.errors:
            raise self.errors.pop(0)
        return [candle(pair, n, 3.0) for n in range(now) if START + n * MINUTE >= since_us and (self.have is None or n in self.have)]


class Desk:
    """Closes minute after minute."""

    def __init__(self, venue: Venue) -> None:
        self.venue, self.counts, self.newest = venue, Counter[str](), dict[str, float]()
        self.repairs = Repairs(Timeframe.M1, venue.fetch, self.counts, lambda found: self.newest.update((c.pair, c.close) for c in found))

    async def close(self, minute: int, *streamed: str, missing: Sequence[str] = (), patience_s: float = 1.0) -> list[tuple[str, int]]:
        self.venue.now = minute + 1
        owed = dict.fromkeys(missing, START + minute * MINUTE)
        out = await self.repairs.close([candle(p, minute) for p in streamed], owed, START + (minute + 1) * MINUTE, patience_s=patience_s)
        return [(c.pair, (c.time_us - START) // MINUTE) for c in out]


def test_a_hole_that_rest_fills_in_time_is_delivered_with_its_close() -> None:
    async def run() -> None:
        desk = Desk(Venue())
        assert await desk.close(0, "A", missing=["B"]) == [("A", 0), ("B", 0)]
        assert desk.repairs.owed == {}
        assert desk.newest == {"B": 3.0}

    run_stepped(run)


def test_a_pair_with_a_hole_holds_its_later_candles_back() -> None:
    async def run() -> None:
        desk = Desk(Venue(seconds=90.0))
        assert await desk.close(0, "A", missing=["B"]) == [("A", 0)]
        assert await desk.close(1, "A", "B") == [("A", 1)]
        await asyncio.sleep(100)
        assert await desk.close(2, "A", "B") == [("B", 0), ("B", 1), ("A", 2), ("B", 2)]
        assert desk.counts["late candle"] == 2
        assert desk.venue.asked == [("B", 0)]  # one answer fills every hole

    run_stepped(run)


def test_many_holes_are_filled_oldest_first() -> None:
    async def run() -> None:
        desk = Desk(Venue(seconds=1.0))
        pairs = [f"P{n:02}" for n in range(20)]
        await desk.close(0, missing=["LATE"], patience_s=0.0)
        await desk.close(1, missing=pairs, patience_s=0.0)
        await asyncio.sleep(60)
        assert [pair for pair, _ in desk.venue.asked] == ["LATE", *pairs]
        out = await desk.close(2, *pairs, "LATE")
        assert len(out) == 20 * 2 + 1
        await asyncio.sleep(2)  # LATE was asked before minute 1 had closed, so it is asked once more
        out += await desk.close(3, *pairs, "LATE")
        assert [at for pair, at in out if pair == "LATE"] == [0, 1, 2, 3]

    run_stepped(run)


@pytest.mark.parametrize("error", [RetryableError("down"), RejectedError("not listed")])
def test_a_failed_read_stays_owed_and_is_tried_again_after_a_growing_pause(error: Exception) -> None:
    async def run() -> None:
        desk = Desk(Venue(errors=[error] * 3))
        asked_at = []
        for minute in range(20):
            before = len(desk.venue.asked)
            await desk.close(minute, "A", missing=["B"] if minute == 0 else ())
            await asyncio.sleep(1)
            asked_at += [minute] * (len(desk.venue.asked) - before)
        assert asked_at[:4] == [0, 2, 5, 10]
        assert desk.venue.asked[:4] == [("B", 0)] * 4

    run_stepped(run)


def test_a_candle_that_rest_does_not_have_is_called_lost_and_the_pair_goes_on() -> None:
    async def run() -> None:
        desk = Desk(Venue(have=range(2, 999)))  # minutes 0 and 1 are gone for ever
        delivered: list[int] = []
        minute = 0
        while not desk.counts["lost candle"] and minute < 200:
            closed = await (desk.close(minute, "B") if minute else desk.close(minute, missing=["B"]))
            delivered += [at for _, at in closed]
            minute += 1
            await asyncio.sleep(1)
        assert desk.counts["lost candle"] == 1  # minute 1 came by the stream and was held
        delivered += [at for _, at in await desk.close(minute, "B")]
        assert delivered == list(range(1, minute + 1))
        assert len(desk.venue.asked) == GIVE_UP + 1  # the first answer came before there was a later candle

    run_stepped(run)


def test_a_nonsense_candle_does_not_stand_in() -> None:
    async def run() -> None:
        desk = Desk(Venue())

        async def nonsense(pair: str, since_us: int) -> list[Candle]:
            return [candle(pair, 0, float("nan"))]

        desk.repairs._fetch = nonsense
        assert await desk.close(0, missing=["B"]) == []
        assert desk.repairs.owed == {"B": START}

    run_stepped(run)


def test_an_error_nobody_may_go_on_after_reaches_the_consumer() -> None:
    async def run() -> None:
        desk = Desk(Venue(errors=[FatalError("the key is refused")]))
        await desk.close(0, missing=["B"])
        with pytest.raises(FatalError, match="refused"):
            await desk.close(1)

    run_stepped(run)
