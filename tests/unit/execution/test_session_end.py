"""A session that ends waits for what its beat is doing with orders."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from desk_kit import House, in_house
from test_halting import recovering

from trader.errors import RejectedError
from trader.execution.session import Progress, Session
from trader.execution.wiring import Timing, run_directly
from trader.ports import SessionSummary


async def nothing(*_: object) -> None:
    """What a beat does beside orders."""


async def beating(house: House) -> Session:
    """The loop and the end of a real session around the house's parts."""
    recovery = await recovering(house, house.world.exchange)
    await recovery.run()
    session = Session.__new__(Session)
    recovery.w.timing, recovery.w.stage, recovery.w.kill = Timing(), run_directly, house.desk.kill  # type: ignore[misc]
    closing: Any = SimpleNamespace(entries_off=False, flush_history=nothing, report=nothing, redecide_deferred=nothing)
    session.w, session.desk, session.recovery, session.closing = recovery.w, house.desk, recovery, closing
    session.progress, session.summary, session.stopping = Progress(), SessionSummary(), asyncio.Event()
    session._work, session._loops, session._closing = set(), [], asyncio.Lock()
    session._universe = nothing  # type: ignore[method-assign]
    house.keeper.spawn = session.spawn
    return session


async def lose_stop(house: House) -> None:
    """Somebody cancels the stop."""
    stop = house.keeper.stop_of(house.held().position_id)
    assert stop is not None and stop.txid is not None
    await house.world.exchange.cancel(stop.txid)
    await house.desk.settle(stop.txid, stop.created_us)


async def until(true: Any) -> None:
    """Step by step, so that nothing is missed between."""
    for _ in range(100_000):
        if true():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("never came")


def test_a_session_that_ends_finishes_the_stop_that_a_beat_was_placing() -> None:
    async def test(house: House) -> None:
        await house.buy()
        session = await beating(house)
        await lose_stop(house)
        session._begin(session._beats, "beats")
        (held,) = house.keeper.held.values()
        await until(held.lock.locked)
        session.stop("its time is over")
        await session._wind_up()
        assert [o.remaining for o in house.orders(ordertype="stop-loss", status="open")] == [house.held().quantity]
        assert session.progress.failure is None and not session._work

    in_house(test)


def test_what_a_beat_raises_still_ends_the_session() -> None:
    async def test(house: House) -> None:
        session = await beating(house)

        async def failing() -> None:
            raise RejectedError("no such thing")

        session.recovery.stops_present = failing  # type: ignore[method-assign]
        session._begin(session._beats, "beats")
        await session.stopping.wait()
        with pytest.raises(RejectedError):
            raise session.progress.failure or AssertionError("it went on")
        await session._wind_up()
        assert "task.failed" not in house.rows(), "told once, as the reason of the end"

    in_house(test)


def test_a_failure_behind_the_end_of_a_session_is_written_down() -> None:
    async def test(house: House) -> None:
        session = await beating(house)

        async def late() -> None:
            await asyncio.sleep(5)
            raise RejectedError("no such thing")

        async def waiting() -> None:
            await session._kept(late, "protect")

        session._begin(waiting, "beats")
        await asyncio.sleep(1)
        session.stop("its time is over")
        await session._wind_up()
        assert "task.failed" in house.rows()

    in_house(test)
