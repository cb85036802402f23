"""Keeps a trading session alive: when no process holds the trader's lock for a while, a new run of its deployment is made."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from trader.errors import RejectedError, RetryableError
from trader.maintenance.prefect_control import Run


class RunsOfSessions(Protocol):
    """What the watch asks of Prefect; `PrefectApi` is one."""

    async def runs(self, states: tuple[str, ...], *, deployment: str | None = None, before: float | None = None) -> list[Run]: ...
    async def newest(self, deployment: str) -> Run | None: ...
    async def start_run(self, deployment: str) -> Run: ...
    async def force_cancel(self, run: Run, message: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchTiming:
    """Seconds of machine time.

    A session must be gone `free_s` before one is made (`crashed_s` when its run says it died). None is made when the
    schedule has one due within `horizon_s`, or when one is being started, for up to `startup_s`. From the second session in
    a row that lived shorter than `steady_s` (or never came up) on, the pause doubles, from `free_s` up to `longest_s`.
    """

    poll_s: float = 1.0
    free_s: float = 5.0
    crashed_s: float = 2.0
    horizon_s: float = 8.0
    startup_s: float = 40.0
    steady_s: float = 60.0
    longest_s: float = 120.0


class SessionWatch:
    """`run` until cancelled. `held`: whether a session holds the lock; `forbidden`: why there must be none, or ''."""

    def __init__(
        self,
        api: RunsOfSessions,
        deployment: str,
        *,
        held: Callable[[], bool],
        forbidden: Callable[[], str],
        tell: Callable[[str], None],
        timing: WatchTiming | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._api, self._deployment = api, deployment
        self._held, self._forbidden, self._tell = held, forbidden, tell
        self.timing = timing or WatchTiming()
        self._now = now
        self._free_since: float | None = now()
        self._held_since: float | None = None
        self._short = 0  # failures in a row: sessions that died young, and runs that never became one
        self._awaited = False
        self._told = ""
        self.started = 0

    @property
    def pause_s(self) -> float:
        """How long the lock must be free before a run is made."""
        return min(self.timing.free_s * 2.0 ** max(0, min(self._short, 20) - 1), self.timing.longest_s)

    async def run(self) -> None:
        """Look every second; an API that is away is asked again."""
        while True:
            await asyncio.sleep(self.timing.poll_s)
            try:
                await self.look()
            except (RetryableError, RejectedError) as error:
                self._once(f"session watch: {error}")

    async def look(self) -> Run | None:
        """One look; the run it started, if any."""
        now = self._now()
        if self._held():
            self._begin(now)
            return None
        if self._free_since is None:
            self._end(now)
        assert self._free_since is not None
        gone = now - self._free_since
        if gone < self.pause_s and not await self._died(gone):
            return None
        if why := self._forbidden():
            self._once(f"no session is started: {why}")
            return None
        if await self._coming(now, gone):
            return None
        return await self._start(now)

    def _begin(self, now: float) -> None:
        if self._held_since is None:
            self._held_since, self._free_since, self._awaited, self._told = now, None, False, ""
        elif now - self._held_since >= self.timing.steady_s:
            self._short = 0

    def _end(self, now: float) -> None:
        """A session that lived shortly makes the next one wait longer."""
        if self._held_since is not None and now - self._held_since < self.timing.steady_s:
            self._short += 1
        self._held_since, self._free_since = None, now

    async def _died(self, gone: float) -> bool:
        """Whether the session before is known to be dead, so that there is nothing to wait for; the first time in a row only."""
        if self._short > 1 or self._awaited or gone < self.timing.crashed_s:
            return False
        last = await self._api.newest(self._deployment)
        return last is not None and last.state in ("CRASHED", "FAILED")

    async def _coming(self, now: float, gone: float) -> bool:
        """Whether the schedule or an earlier call of ours is about to bring one.

        Runs that have been starting for too long are written off: they would hold the deployment's only slot for ever.
        """
        due = await self._api.runs(("SCHEDULED",), deployment=self._deployment, before=now + self.timing.horizon_s)
        begun = await self._api.runs(("PENDING", "RUNNING", "CANCELLING"), deployment=self._deployment)
        fresh = [run for run in (*due, *begun) if now - run.expected < self.timing.startup_s]
        if fresh and gone < self.pause_s + 2 * self.timing.startup_s:
            return True
        for run in begun:
            if now - run.expected >= self.timing.startup_s:
                await self._api.force_cancel(run, "no session of this run holds the account")
        return False

    async def _start(self, now: float) -> Run:
        last = await self._api.newest(self._deployment)
        why = f"the last one ({last.name}) is {last.state_name}: {last.message[:200]}" if last is not None else "there was none yet"
        run = await self._api.start_run(self._deployment)
        self.started += 1
        self._tell(f"no session for {now - (self._free_since or now):.0f} s; {why}; started {run.name}")
        self._short += self._awaited
        self._awaited, self._free_since = True, now
        return run

    def _once(self, text: str) -> None:
        """Say a thing when it is new."""
        if text != self._told:
            self._told = text
            self._tell(text)
