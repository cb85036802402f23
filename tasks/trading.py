"""The session's stages as tasks: one plain awaited task each, named by the stage, nothing else between the beat and its work.

Creating a task run asks the API nothing; its states are queued and sent beside the beat, also after an outage.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from prefect import Task, task
from prefect.states import Completed

from tasks.policies import BARE
from trader.config import load
from trader.errors import LeaseLostError, StoppedError, TraderError

if TYPE_CHECKING:
    from trader.ports import SessionSummary

TICK: Final = timedelta(minutes=5)
ANCHOR: Final = datetime(2026, 1, 1, 0, 2, tzinfo=UTC)
"""The deployment's schedule: every 5 minutes, at minutes 2, 7, 12, ..., so that no hand-over falls on a candle close."""
MARGIN_S: Final = 20.0
"""A session ends this long before its successor is due: the concurrency slot is judged some seconds early."""


TAKEN: Final = "another session trades"
"""How a run ends that found the account taken."""
STOPPED: Final = "trading is stopped"
"""How a run ends that a person's `trader stop` keeps from starting."""
CUT: Final = "CUT"
"""What a stage returns that was cancelled; the session gets the cancellation itself."""


class NoSessionError(Exception):
    """This run starts no session and has touched nothing: somebody else holds the account, or a person has stopped trading."""

    def __init__(self, ended: str, why: TraderError) -> None:
        super().__init__(f"{ended}: {why}")
        self.ended = ended


@lru_cache(maxsize=64)
def stage_task(name: str) -> Task[[Callable[[], Awaitable[Any]]], Any]:
    """The task of a stage; made once, never tried again, nothing stored."""

    # No tags: for a task that has some, Prefect asks the API for a slot of each before it runs, and waits while that is away.
    @task(name=name, task_run_name=name, description=f"Stage {name!r} of the trading session.", **BARE)
    async def stage(work: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await work()
        except asyncio.CancelledError:
            return Completed(message="cut off by the end of the session", data=CUT)  # a crash in the UI would be a false alarm

    return stage


class Stages:
    """ports.Stage over Prefect: counts what was started."""

    def __init__(self) -> None:
        self.started = 0

    async def __call__(self, name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        """Run one stage as one awaited task."""
        self.started += 1
        result = await stage_task(name)(work)
        if result is CUT:
            raise asyncio.CancelledError
        return result


def session_seconds(minutes: float, *, due: datetime | None, now: datetime) -> float:
    """How long a session lasts, in seconds.

    `due` None (started by hand): `minutes`. Else the session ends 20 s before the tick `minutes` after the tick it belongs to,
    the newest one at or before its start, so that the schedule's next run takes over within one tick.
    """
    ticks = int(minutes * 60 // TICK.total_seconds())
    if due is None or ticks == 0:
        return minutes * 60
    begun = ANCHOR + math.floor((max(due, now) - ANCHOR) / TICK) * TICK
    left = (begun + ticks * TICK - now).total_seconds() - MARGIN_S
    return left if left > 0 else left + TICK.total_seconds()


async def trade_session(seconds: float) -> SessionSummary:
    """One session of `seconds` of machine time with its stages as tasks.

    Raises NoSessionError where the account was taken from the start, or trading is stopped; a lease lost later is the LeaseLostError
    it is.
    """
    from trader.bootstrap.trading import trade

    stages = Stages()
    try:
        return await trade(load(), seconds=seconds, stage=stages)
    except LeaseLostError as error:
        if stages.started:
            raise
        raise NoSessionError(TAKEN, error) from error
    except StoppedError as error:
        raise NoSessionError(STOPPED, error) from error


def told(summary: SessionSummary) -> dict[str, Any]:
    """A session's summary as plain values."""
    return asdict(summary)
