"""When a new session is made, and when not: a table of situations over fake time and a fake Prefect."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from trader.maintenance.prefect_control import Run
from trader.maintenance.sessions import SessionWatch, WatchTiming

TIMING = WatchTiming()


def run_of(state: str, expected: float, name: str = "r") -> Run:
    return Run(id=name, name=name, state=state, state_name=state.capitalize(), message="", expected=expected, deployment="d")


class World:
    """One deployment, its runs, the lock and the time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.locked = False
        self.stopped = ""
        self.known: list[Run] = []
        self.made: list[float] = []
        self.said: list[str] = []
        self.watch = SessionWatch(
            self, "d", held=lambda: self.locked, forbidden=lambda: self.stopped, tell=self.said.append, now=lambda: self.now
        )

    async def runs(self, states: tuple[str, ...], *, deployment: str | None = None, before: float | None = None) -> list[Run]:
        return [run for run in self.known if run.state in states and (before is None or run.expected < before)]

    async def newest(self, deployment: str) -> Run | None:
        begun = [run for run in self.known if run.state != "SCHEDULED"]
        return begun[-1] if begun else None

    async def start_run(self, deployment: str) -> Run:
        run = run_of("SCHEDULED", self.now, f"made {len(self.made)}")
        self.made.append(self.now)
        self.known.append(run)
        return run

    async def force_cancel(self, run: Run, message: str) -> None:
        self.known[self.known.index(run)] = replace(run, state="CANCELLED")

    def pass_time(self, seconds: float) -> None:
        """One look a second."""
        for _ in range(int(seconds)):
            self.now += 1.0
            asyncio.run(self.watch.look())

    def session(self, seconds: float) -> None:
        """A session appears, its run begins, it lives, and the lock is freed."""
        self.known = [replace(run, state="RUNNING") for run in self.known if run.state == "SCHEDULED" and run.expected <= self.now]
        self.locked = True
        self.pass_time(seconds)
        self.locked = False


def test_no_run_is_made_while_a_session_holds_the_lock() -> None:
    world = World()
    world.locked = True
    world.pass_time(600)
    assert world.made == []


def test_a_missing_session_is_made_after_five_seconds() -> None:
    world = World()
    world.pass_time(4)
    assert world.made == []
    world.pass_time(2)
    assert world.made == [1005.0]


def test_a_crashed_session_is_replaced_after_two_seconds() -> None:
    world = World()
    world.session(100)
    ended = world.now
    world.known = [run_of("CRASHED", 1000.0)]
    world.pass_time(5)
    assert world.made == [ended + 3.0]  # seen free after one second, two more


def test_a_scheduled_run_that_is_about_to_start_is_waited_for() -> None:
    world = World()
    world.session(100)
    world.known = [run_of("SCHEDULED", world.now + 10)]
    world.pass_time(12)
    assert world.made == []


def test_a_run_that_never_becomes_a_session_is_written_off_and_replaced() -> None:
    world = World()
    world.known = [run_of("PENDING", world.now)]
    world.pass_time(35)
    assert world.made == []
    world.pass_time(20)
    assert len(world.made) == 1
    assert [run.state for run in world.known if run.name == "r"] == ["CANCELLED"]


def test_sessions_that_die_young_are_made_ever_more_slowly() -> None:
    world = World()
    gaps = []
    for _ in range(6):
        ended = world.now
        count = len(world.made)
        while len(world.made) == count:
            world.pass_time(1)
        gaps.append(world.made[-1] - ended)
        world.session(3)
        world.known = []
    assert gaps == [5.0, 6.0, 11.0, 21.0, 41.0, 81.0]


def test_a_steady_session_ends_the_slowness() -> None:
    world = World()
    for _ in range(3):
        world.pass_time(60)
        world.session(3)
        world.known = []
    world.session(120)
    ended, count = world.now, len(world.made)
    world.pass_time(10)
    assert world.made[count:] == [ended + 6.0]


def test_a_person_s_stop_is_respected_and_said_once() -> None:
    world = World()
    world.stopped = "stopped by ann"
    world.pass_time(60)
    assert world.made == []
    assert [text for text in world.said if "ann" in text] == ["no session is started: stopped by ann"]
