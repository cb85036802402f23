"""The soak: `python -m tests.chaos.soak --days D --pairs N` (RELIABILITY section 11, row R1).

Days of trading in one process while streams break, the AI comes and goes and nobody takes anything out of Slack's outbox. Once a
simulated hour memory, descriptors, tasks and order work are counted; after the first of them none may grow. Exit code 1 where one
does, where a beat was missed, or where an invariant broke. The exchange's twin lives in the same process, and its books grow with
every order: what is measured is an upper bound of the trader's own growth.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import gc
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.amounts import above, whole
from tests.chaos.acts import ACTS
from tests.chaos.catalogue import chosen
from tests.chaos.evidence import gather
from tests.chaos.invariants import judge
from tests.chaos.ordeal import BEAT_S, HEAL_US, Ground, heal, scratch
from tests.chaos.persons import persons
from tests.chaos.plan import draw
from tests.chaos.world import World, served
from tests.session_kit import state_dir
from trader.domain.market import DAY, SECOND
from trader.simulation.loops import run_stepped

STORM = ("W4", "W6", "N2")  # rows that go on all the time; Slack's outbox fills beside them
WARM_UP_H = 1
MARKET_DAYS = 3  # the stand-in's market keeps so many days of minutes; they are made first, as they are no growth of the trader's
RSS_MB_PER_H = 1.0
SPREAD = 2.0  # standard errors from a slope to its upper bound, and from what is flat to what grows
MISSED_SHARE = 0.02  # of the beats: a start after a halt may cost one
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What was in use at a simulated hour. `work`: order tasks of the session; `outbox_mb`: what waits for Slack."""

    hour: int
    rss_mb: float
    descriptors: int
    tasks: int
    work: int
    outbox_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """Growth an hour by least squares, and the upper bound of it."""

    per_hour: float
    upper: float


def slope(values: Sequence[float]) -> Slope:
    """Of values an hour apart. Raises ValueError for fewer than three."""
    count = len(values)
    if count < 3:
        raise ValueError(f"a slope needs 3 values, not {count}")
    hours, mean = range(count), sum(values) / count
    middle = (count - 1) / 2
    spread = sum((hour - middle) ** 2 for hour in hours)
    per_hour = sum((hour - middle) * (value - mean) for hour, value in zip(hours, values, strict=True)) / spread
    rest = sum((value - mean - per_hour * (hour - middle)) ** 2 for hour, value in zip(hours, values, strict=True))
    return Slope(per_hour=per_hour, upper=per_hour + SPREAD * math.sqrt(rest / (count - 2) / spread))


def grown(samples: Sequence[Sample]) -> list[str]:
    """What grew after the warm-up: memory by more than it may, the counts by more than one in the time measured."""
    found = []
    memory = slope([one.rss_mb for one in samples])
    if memory.upper >= RSS_MB_PER_H:
        found.append(f"memory grows by up to {memory.upper:.2f} MB an hour")
    for name in ("descriptors", "tasks", "work"):
        counts = slope([getattr(one, name) for one in samples])
        certain = counts.per_hour - (counts.upper - counts.per_hour)
        if certain * len(samples) > 1:
            found.append(f"{name} grow by {counts.per_hour:.2f} an hour")
    return found


def soak(seed: int, *, days: float, pairs: int) -> dict[str, object]:
    """Play it; the report."""
    samples: list[Sample] = []
    begun = time.process_time()
    with scratch("trader-soak-") as folder:
        ground = Ground.of(seed, Path(folder), pairs=pairs)
        plan = draw(seed, chosen(STORM), int(days * DAY))
        paths = state_dir(ground.stage, Path(folder) / "state", ground.history)

        async def main() -> World:
            return await _story(World(ground.stage, paths, plan, ground.market, transport="wire"), samples)

        evidence = gather(run_stepped(main))
    problems = judge(evidence)
    beats, due = evidence.count("beat"), int(days * DAY / SECOND / BEAT_S)
    measured = samples[WARM_UP_H:]
    found = [*grown(measured), *(f"{name}: {what[0]}" for name, what in problems.items())]
    if beats < due * (1 - MISSED_SHARE):
        found.append(f"{beats} beats of {due}")
    return {
        "ok": not found, "found": found, "hours": len(samples), "pairs": pairs, "beats": beats, "due": due, "fills": len(evidence.fills),
        "rss_mb_per_h": asdict(slope([one.rss_mb for one in measured])), "cpu_s": round(time.process_time() - begun, 1),
        "first": asdict(measured[0]), "last": asdict(measured[-1]),
    }  # fmt: skip


async def _story(world: World, samples: list[Sample]) -> World:
    async with served(world):
        for back in range(MARKET_DAYS):
            world.twin.market.minute(world.clock.now_us() // DAY * DAY - back * DAY)
        calm_us = world.clock.now_us() + world.plan.fault_us
        acting = [asyncio.create_task(one, name=f"soak {number}") for number, one in enumerate((persons(world), _flapping(world)))]
        sampling = asyncio.create_task(_sampled(world, samples), name="soak samples")
        healing = asyncio.create_task(heal(world, calm_us, acting), name="heal")
        await world.lives(lambda: calm_us + HEAL_US)
        await healing
        sampling.cancel()
        await asyncio.gather(sampling, return_exceptions=True)
    return world


async def _flapping(world: World) -> None:
    while True:
        await ACTS["slack_down"](world, "N1")


async def _sampled(world: World, samples: list[Sample]) -> None:
    while True:
        await world.clock.sleep(3600.0)
        session = world.session
        if session is not None:
            samples.append(_sample(world, len(session._work), len(samples) + 1))
            print(f"hour {samples[-1].hour}: {samples[-1].rss_mb:.1f} MB, {samples[-1].tasks} tasks", file=sys.stderr, flush=True)


def _sample(world: World, work: int, hour: int) -> Sample:
    gc.collect()
    with contextlib.suppress(AttributeError):  # glibc's own
        ctypes.CDLL(None).malloc_trim(0)  # what the allocator keeps for later is no growth
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Sample(
        hour=hour, rss_mb=pages * PAGE_MB, descriptors=sum(1 for _ in Path("/proc/self/fd").iterdir()), tasks=len(asyncio.all_tasks()),
        work=work, outbox_mb=world.paths.ops.stat().st_size / 1e6 if world.paths.ops.exists() else 0.0,
    )  # fmt: skip


def main(words: Sequence[str] | None = None) -> int:
    """Run the soak and print its report."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--days", type=above(), default=3.0)
    parser.add_argument("--pairs", type=whole(), default=144)
    parser.add_argument("--seed", type=whole(0), default=1)
    given = parser.parse_args(words)
    if given.days * 24 < WARM_UP_H + 4:
        parser.error(f"--days {given.days}: the warm-up takes {WARM_UP_H} h and a slope 3 h more")
    report = soak(given.seed, days=given.days, pairs=given.pairs)
    print(json.dumps(report, indent=1))
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
