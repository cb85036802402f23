"""Rows T1 and T2: the exchange's clock, this process's local time, and a machine that slept."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any

from tests.chaos.watching import Skew
from tests.chaos.world import World
from trader.domain.market import MINUTE, SECOND
from trader.execution.reconcile import RECOVERED
from trader.simulation.exchange_orders import unit_hash

HOUR_US = 60 * MINUTE
SUMMER_S = 16 * 60.0  # long enough for the close of a candle of 15 minutes
SWITCH_S = 60.0
REPLAYED_US = 10 * MINUTE  # what was done while the ledger took no writes is written down later, at its own time
LONGEST_DEADLINE_US = MINUTE


async def skew(world: World, row: str) -> None:
    """The exchange's clock apart from ours; later our local time goes forward, of which nobody may take notice."""
    offset_us = (-10 * SECOND, HOUR_US)[int(unit_hash(world.plan.seed, "skew") * 2)]
    world.twin.shown.offset_us += offset_us
    span = Skew(since_us=world.clock.now_us(), until_us=world.clock.now_us() + 180 * SECOND, first=_next_order(world))
    world.skewed.append(span)
    world.trouble(200)
    world.seen.behaviour[row] = f"exchange {offset_us / SECOND:+.0f} s"
    try:
        await world.clock.sleep(180)
    finally:
        world.twin.shown.offset_us -= offset_us
        span.after = _next_order(world)
    await _summer_time(world, row)


def _next_order(world: World) -> int:
    return world.twin.exchange.state.counters.get("order", 0) + 1


async def _summer_time(world: World, row: str) -> None:
    ((last,),) = await _asked(world, "SELECT coalesce(max(seq), 0) FROM journal")
    begun_us = world.clock.now_us()
    world.happened(row, "")
    world.seen.behaviour[row] = f"{world.seen.behaviour.get(row, '')}, then local time goes forward".lstrip(", ")
    with summer_time(begun_us + int(SWITCH_S * SECOND)):
        await world.clock.sleep(SUMMER_S)
        for what in await moved(world, last, begun_us):
            world.seen.breach("INV-10", what)


@contextmanager
def summer_time(switch_us: int) -> Iterator[None]:
    """Local time is UTC, and from that moment on an hour ahead of it, as `time.localtime` and all that is built on it read it."""
    at, before = datetime.fromtimestamp(switch_us // SECOND, UTC), os.environ.get("TZ")
    day = at.timetuple().tm_yday - 1
    os.environ["TZ"] = f"STD0DST-1,{day}/{at:%H:%M:%S},{(day + 180) % 365}/0"
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


async def moved(world: World, last: int, begun_us: int) -> list[str]:
    """What the ledger has written since its row `last` at a time that has not been, or with a deadline that is none."""
    rows = await _asked(world, "SELECT seq, type, time_us FROM journal WHERE seq > ?", last)
    sent = "SELECT cl_ord_id, deadline_us - created_us FROM intent WHERE origin = 'strategy' AND created_us >= ? AND reason <> ?"
    orders = await _asked(world, sent, begun_us, RECOVERED)  # a recovered one has no deadline of its own
    earliest_us, latest_us = begun_us - REPLAYED_US, world.clock.now_us()
    found = [
        f"journal row {seq}, {kind}, is of {(at - latest_us) / 1e6:+.0f} s from now"
        for seq, kind, at in rows
        if not earliest_us <= at <= latest_us
    ]
    return found + [f"{name} has {left / 1e6:+.0f} s to its deadline" for name, left in orders if not 0 < left <= LONGEST_DEADLINE_US]


async def _asked(world: World, query: str, *values: int | str) -> list[Any]:
    """The ledger's answer; of one that is damaged (D5), once it has been put back."""
    while True:
        with contextlib.suppress(sqlite3.DatabaseError), closing(sqlite3.connect(f"{world.paths.ledger.as_uri()}?mode=ro", uri=True)) as it:
            return it.execute(query, values).fetchall()
        await world.clock.sleep(5)


async def suspend(world: World, _row: str) -> None:
    world.seen.asleep(world.clock.now_us(), 2 * HOUR_US)
    world.trouble(2 * HOUR_US / SECOND + 10)  # from the moment at which it fell asleep
    world.clock.origin_us += 2 * HOUR_US
    world.shifted_us += 2 * HOUR_US
    await world.clock.sleep(1)
