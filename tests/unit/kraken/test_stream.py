"""A link dials for ever: silence ends a connection, pauses grow with jitter, a healthy life resets them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from trader.kraken.stream import Link, Work
from trader.kraken.transport import Unanswered
from trader.simulation.loops import run_stepped


class Half:
    def random(self) -> float:
        return 0.5


class Dialler:
    """A transport whose sockets live `life_s` seconds and send a heartbeat a second, or nothing."""

    has_key = False

    def __init__(self, *, life_s: float = 1e9, beats: bool = True, failures: int = 0) -> None:
        self.life_s, self.beats, self.failures = life_s, beats, failures
        self.dials: list[float] = []
        self.closed = 0
        self.tasks: list[asyncio.Task[None]] = []

    async def socket(self, *, private: bool, events: Any) -> Any:
        loop = asyncio.get_running_loop()
        self.dials.append(loop.time())
        if len(self.dials) <= self.failures:
            raise Unanswered("dial: refused")
        self.tasks.append(asyncio.create_task(self._serve(events, loop.time() + self.life_s)))
        return self

    async def _serve(self, events: Any, until: float) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            await asyncio.sleep(1)
            if self.beats:
                events.frame('{"channel":"heartbeat"}')
        events.lost("closed with 1006")

    async def send_text(self, text: str) -> None:
        return None

    async def shut(self) -> None:
        self.closed += 1


class Owner:
    def __init__(self) -> None:
        self.ups = self.frames = 0
        self.reasons: list[str] = []

    async def up(self, link: Link) -> None:
        self.ups += 1

    def text(self, link: Link, text: str) -> None:
        self.frames += 1

    def watch(self, link: Link) -> Work | None:
        return None

    def down(self, link: Link, reason: str) -> None:
        self.reasons.append(reason)


def serve(dialler: Dialler, seconds: float) -> tuple[Owner, bool]:
    async def run() -> tuple[Owner, bool]:
        owner = Owner()
        link = Link("public", dialler, owner, private=False, rng=Half())  # type: ignore[arg-type]
        link.wanted.set()
        task = asyncio.create_task(link.run())
        await asyncio.sleep(seconds)
        alive = link.alive
        for each in (task, *dialler.tasks):
            each.cancel()
        await asyncio.gather(task, *dialler.tasks, return_exceptions=True)
        return owner, alive

    return run_stepped(run)


def test_heartbeats_keep_a_connection() -> None:
    dialler = Dialler()
    owner, alive = serve(dialler, 600)
    assert (len(dialler.dials), owner.ups, owner.reasons, alive) == (1, 1, [], True)
    assert owner.frames > 500
    assert dialler.closed == 1


def test_silence_ends_a_connection_after_five_seconds() -> None:
    dialler = Dialler(beats=False)
    owner, _ = serve(dialler, 20)
    assert owner.reasons[0] == "silent for 5 s"
    assert dialler.dials[1] == pytest.approx(5 + 1.618 * 0.75, abs=0.01)
    assert dialler.closed == len(dialler.dials)


def test_pauses_between_failed_dials_grow_to_a_minute() -> None:
    dialler = Dialler(failures=1000)
    owner, alive = serve(dialler, 600)
    pauses = [b - a for a, b in zip(dialler.dials, dialler.dials[1:], strict=False)]
    assert pauses[:3] == pytest.approx([0.75 * 1.618034, 0.75 * 2.618034, 0.75 * 4.236068], abs=1e-3)
    assert max(pauses) == pytest.approx(45.0)
    assert (owner.ups, alive) == (0, False)


def test_a_connection_that_lived_long_starts_the_backoff_afresh() -> None:
    dialler = Dialler(life_s=100)
    serve(dialler, 450)
    pauses = [b - a - 100 for a, b in zip(dialler.dials, dialler.dials[1:], strict=False)]
    assert pauses == pytest.approx([0.75] * len(pauses), abs=1.1)
    assert len(pauses) >= 3


def test_nothing_is_dialled_before_it_is_wanted() -> None:
    async def run() -> int:
        dialler = Dialler()
        link = Link("public", dialler, Owner(), private=False, rng=Half())  # type: ignore[arg-type]
        task = asyncio.create_task(link.run())
        await asyncio.sleep(60)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return len(dialler.dials)

    assert run_stepped(run) == 0


@pytest.mark.parametrize("look", [1, 2, 3])
def test_an_owner_that_fails_while_it_looks_ends_the_link_with_its_error(look: int) -> None:
    class Failing(Owner):
        looks = 0

        def watch(self, link: Link) -> Work | None:
            self.looks += 1
            if self.looks == look:
                raise KeyError("what it lacks")
            return None

    async def run() -> None:
        link = Link("public", Dialler(), Failing(), private=False, rng=Half())  # type: ignore[arg-type]
        link.wanted.set()
        async with asyncio.timeout(60):
            await link.run()

    with pytest.raises(KeyError, match="lacks"):
        run_stepped(run)
