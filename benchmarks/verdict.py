"""What an entry waits for the AI: the order path's look-up with everything healthy, with the provider hanging, with the worker killed.

    python -m benchmarks.verdict [--quick] [--lookups N]

A worker process of its own is connected to the Gemini twin; the book holds a verdict for every pair, side and strategy there can be.
One look-up is what the session does when a signal fires: the ruling and, on DEFER, the priority question. JSON lines on stdout, times
in ms. Exit code 1 where the 99th percentile reaches 1 ms, where a healthy book admits nothing, or where a sick one admits an entry.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.kernel import figure
from tests.amounts import whole
from trader.domain.market import SECOND
from trader.domain.orders import Side
from trader.domain.verdicts import AiMode, AskOutcome, Ruling, Verdict, VerdictKey
from trader.execution.confirmation import Desk, Snapshot
from trader.execution.verdict_book import VerdictBook, rule
from trader.gemini.socket_link import SocketLink
from trader.gemini.worker import KEY_VARIABLE, SOCKET
from trader.ports import Clock
from trader.simulation.clock import wall_clock
from trader.simulation.gemini_faults import gemini_plan
from trader.simulation.gemini_server import GeminiTwin

PAIRS, QUICK, FULL = 144, 20_000, 200_000
STRATEGIES = tuple(f"viable/{mode}/{kind}" for mode in ("mitraillette", "sniper") for kind in ("CONSERVATIVE", "DEFAULT", "AGGRESSIVE"))
KEYS = tuple(VerdictKey(pair=f"P{i:03d}/EUR", side=side, strategy=name) for i in range(PAIRS) for side in Side for name in STRATEGIES)
LIMIT_MS = 1.0
BREATH = 64  # look-ups between two turns of the event loop, which then reads the worker's lines
HANG = '[[fault]]\nwhere = "decisions"\naction = "hang"\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Times of one condition in ns, ascending, and how the look-ups ended (ruling/look-up)."""

    times: list[int]
    ends: dict[str, int]

    def ms(self, share: float) -> float:
        return self.times[min(len(self.times) - 1, math.ceil(share * len(self.times)))] / 1e6

    @property
    def admitted(self) -> int:
        """Entries that were let through, whole or halved."""
        return sum(count for end, count in self.ends.items() if end.split("/")[0] in (Ruling.ALLOW, Ruling.SHRINK))


class OrderPath:
    """The session's side: a book, a desk, and the link to the worker."""

    def __init__(self, link: SocketLink, clock: Clock) -> None:
        self.link, self.clock, self.book = link, clock, VerdictBook()
        self.desk = Desk(self.book)
        self._shot = Snapshot(key=KEYS[0], price=100.0, atr_fraction=0.01, stop=0.0247, target=0.05, costs=0.009, features={"rsi": 30.0})

    def fill(self) -> None:
        """A fresh verdict for every key: full is the worst a look-up can meet."""
        now_us = self.clock.now_us()
        for number, key in enumerate(KEYS):
            self.book.put(
                Verdict(
                    key=key,
                    outcome=AskOutcome.OK,
                    asked_us=now_us,
                    expires_us=now_us + 300 * SECOND,
                    band_lo=99.0,
                    band_hi=101.0,
                    p_loss=number % 100 / 100,
                )
            )

    def look_up(self, key: VerdictKey) -> str:
        """What an entry does about the AI."""
        seen = rule(AiMode.VETO, self.book, key, 100.0, self.clock.now_us(), tau=0.4).used
        if seen.ruling is Ruling.DEFER:
            question = self.desk.priority(replace(self._shot, key=key), self.clock.now_us())
            if question is not None:
                self.link.want([question])
        return f"{seen.ruling}/{seen.lookup}"

    async def measure(self, count: int) -> Measured:
        """`count` look-ups over all keys, the loop served in between as a session serves it."""
        times, ends = [], Counter[str]()
        gc.collect()
        for number in range(count):
            key = KEYS[number % len(KEYS)]
            begin = time.perf_counter_ns()
            end = self.look_up(key)
            times.append(time.perf_counter_ns() - begin)
            ends[end] += 1
            if number % BREATH == 0:
                self.book.link_state = self.link.state()
                self.desk.take(self.link.take(), self.clock.now_us())
                await asyncio.sleep(0)
        return Measured(times=sorted(times), ends=dict(sorted(ends.items())))


@contextmanager
def worker(state: Path, url: str) -> Iterator[subprocess.Popen[bytes]]:
    """The AI worker's own process, pointed at the twin."""
    environment = {**os.environ, KEY_VARIABLE: "any text for the twin", "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-m", "trader.gemini.worker", "--state", os.fspath(state), "--base-url", url]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@asynccontextmanager
async def connected(folder: Path, clock: Clock) -> AsyncIterator[tuple[OrderPath, GeminiTwin, subprocess.Popen[bytes]]]:
    """A path whose link, worker and twin all stand."""
    twin, link = GeminiTwin(clock), SocketLink(folder / SOCKET)
    await twin.start(port=0)
    try:
        with worker(folder, twin.url) as process:
            await link.start()
            await until(lambda: link.state() == "ok", 120.0)
            yield OrderPath(link, clock), twin, process
    finally:
        await link.close()
        await twin.close()


async def until(true: Callable[[], bool], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.05)


async def conditions(folder: Path, count: int) -> dict[str, Measured]:
    """Healthy, hanging, killed, in turn, on one worker."""
    found: dict[str, Measured] = {}
    async with connected(folder, wall_clock()) as (path, twin, process):
        path.fill()
        found["healthy"] = await path.measure(count)
        twin.plan = gemini_plan(HANG)
        path.book.void_before(path.clock.now_us())  # a change of regime: every verdict is stale, every entry asks
        asked = twin.requests
        found["hanging"] = await path.measure(count)
        await until(lambda: twin.requests > asked, 10.0)  # the questions did leave
        path.fill()
        process.send_signal(signal.SIGKILL)
        process.wait()
        await until(lambda: path.link.state() == "NO_WORKER", 6.0)
        path.book.link_state = path.link.state()
        found["killed"] = await path.measure(count)
    return found


def tell(found: dict[str, Measured]) -> list[str]:
    """Print the figures; what of them misses its goal."""
    problems = []
    figure("verdict.book", len(KEYS), "verdicts")
    for name, one in found.items():
        figure(f"verdict.{name}.lookups", len(one.times), "look-ups")
        for share, word in ((0.5, "p50"), (0.99, "p99"), (1.0, "max")):
            figure(f"verdict.{name}.{word}", one.ms(share), "ms")
        figure(f"verdict.{name}.admitted", one.admitted, "entries")
        print(f"{name}: {one.ends}", file=sys.stderr)
        if one.ms(0.99) >= LIMIT_MS:
            problems.append(f"{name}: p99 {one.ms(0.99):.3f} ms, below {LIMIT_MS} wanted")
        if bool(one.admitted) != (name == "healthy"):
            problems.append(f"{name}: {one.admitted} entries admitted")
    return problems


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdict", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} look-ups a condition instead of {FULL}")
    parser.add_argument("--lookups", type=whole(), help="look-ups a condition")
    asked = parser.parse_args(arguments)
    count = asked.lookups or (QUICK if asked.quick else FULL)
    if count < 1_000:
        parser.error("--lookups: a 99th percentile wants 1000 or more")
    with tempfile.TemporaryDirectory(prefix="v") as folder:
        problems = tell(asyncio.run(conditions(Path(folder), count)))
    for problem in problems:
        print(f"MISS {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
