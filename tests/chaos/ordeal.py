"""Plays a plan from start to verdict: fault phase, heal phase, evidence. One call is one seed."""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.acts import ACTS, TELLING
from tests.chaos.evidence import Evidence, gather
from tests.chaos.invariants import INVARIANTS, judge
from tests.chaos.persons import persons
from tests.chaos.plan import ChaosPlan
from tests.chaos.world import World, served
from tests.session_kit import Stage, fetch_history, state_dir
from trader.domain.market import SECOND
from trader.simulation.loops import run_stepped
from trader.simulation.market import Market

BEAT_S = 97.1
HEAL_US = int(3 * BEAT_S * SECOND) + 150 * SECOND  # three beats, and the restart of a session that was down when the faults ended
COLLECT_EVERY = (100_000, 20, 20)  # objects, and collections of the next younger generation
MEMORY = Path("/dev/shm")  # noqa: S108 - state of a simulated run: where there is a memory disk, it costs no disk


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a run came to. `problems`: invariant -> what is wrong; `beats` and `cpu_s` for the benchmark."""

    plan: ChaosPlan
    problems: dict[str, list[str]]
    evidence: Evidence
    journal: str
    books: str
    beats: int
    cpu_s: float

    @property
    def delivered(self) -> Counter[str]:
        """Row -> deliveries while an order, stop or fill was pending."""
        return Counter(one.row for one in self.evidence.seen.deliveries if one.pending)


@contextmanager
def rarely_collected() -> Iterator[None]:
    """What the process holds when a run begins, half a million objects of its modules, is not looked through for garbage again."""
    gc.freeze()
    before = gc.get_threshold()
    gc.set_threshold(*COLLECT_EVERY)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
        gc.collect()


def scratch(prefix: str) -> tempfile.TemporaryDirectory[str]:
    """A directory for one run's state."""
    return tempfile.TemporaryDirectory(prefix=prefix, dir=MEMORY if MEMORY.is_dir() else None)


@dataclass(frozen=True, slots=True)
class Ground:
    """A market with its history: what every run of a seed starts from. Its prices are the same for each and made once."""

    stage: Stage
    history: Path
    market: Market

    @classmethod
    def of(cls, seed: int, root: Path, *, pairs: int) -> Ground:
        stage = Stage.of(seed, pairs=pairs)
        return cls(stage, fetch_history(stage, root / f"history{seed}"), stage.world.market())


def play(plan: ChaosPlan, ground: Ground, *, transport: str = "wire") -> Ended:
    """Run a plan to its end in a fresh state directory."""
    with scratch("trader-chaos-") as folder:
        paths = state_dir(ground.stage, Path(folder) / "state", ground.history)

        async def main() -> World:
            return await _story(World(ground.stage, paths, plan, ground.market, transport=transport))

        with rarely_collected():
            begun = time.process_time()
            world = run_stepped(main)
            cpu_s = time.process_time() - begun
        evidence = gather(world)
    problems = judge(evidence, INVARIANTS)
    return Ended(
        plan=plan, problems=problems, evidence=evidence, journal=evidence.journal_hash, books=evidence.books_hash,
        beats=evidence.count("beat"), cpu_s=cpu_s,
    )  # fmt: skip


async def _story(world: World) -> World:
    async with served(world):
        calm_us = world.clock.now_us() + world.plan.fault_us
        acting = [asyncio.create_task(_acts(world, world.plan.fault_us), name="acts"), asyncio.create_task(persons(world), name="persons")]
        healing = asyncio.create_task(heal(world, calm_us, acting), name="heal")
        await world.lives(lambda: calm_us + world.shifted_us + HEAL_US)
        await healing
    return world


async def _acts(world: World, fault_us: int) -> None:
    """Every act of the plan at its time, one beside the other."""
    start = world.clock.now_us()

    async def one(act: str, row: str, at: float) -> None:
        await world.clock.sleep_until(start + int(at * fault_us))
        await world.until_pending()
        if act not in TELLING:
            world.happened(row, "")
        await ACTS[act](world, row)

    async with asyncio.TaskGroup() as group:
        for injection in world.plan.injections:
            if injection.act and not injection.kills:
                group.create_task(one(injection.act, injection.row, injection.at), name=f"act {injection.row}")


async def heal(world: World, calm_us: int, acting: list[asyncio.Task[None]]) -> None:
    """The faults stop; a person clears the halts that only a person may clear."""
    while world.clock.now_us() < calm_us + world.shifted_us:
        await world.clock.sleep_until(calm_us + world.shifted_us)
    for task in acting:
        task.cancel()
    for result in await asyncio.gather(*acting, return_exceptions=True):
        if isinstance(result, Exception):
            raise result
    world.faults.clear()
    world.ai_faults.clear()
    world.reaper.armed.clear()
    world.healed_us = world.clock.now_us()
    await world.twin.clear_faults()
    world.trouble(0)
