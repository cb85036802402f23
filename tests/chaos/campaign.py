"""Many seeds over several processes, what they came to in one report, and the smallest plan that still fails."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from tests.chaos.behaviour import behaviours
from tests.chaos.catalogue import ROWS, Row
from tests.chaos.exits import exits
from tests.chaos.invariants import INVARIANTS
from tests.chaos.ordeal import Ended, Ground, play, scratch
from tests.chaos.plan import ChaosPlan, draw
from trader.domain.market import DAY

T, R = TypeVar("T"), TypeVar("R")
CRASH, EQUAL = "CRASH", "INV-19"
TASKS_A_PROCESS = 20
SHRINKS = 40  # plays that the search for a smaller plan may cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One seed to play. `twice`: compare with a second play; `both`: with a play over the other transport.

    `only`: of the seed's plan, the injections of these rows; all where it is empty. `until_us`: how much of it is played;
    all where it is 0.
    """

    seed: int
    fault_us: int
    ids: tuple[str, ...]
    transport: str = "direct"
    pairs: int = 8
    twice: bool = False
    both: bool = False
    only: tuple[str, ...] = ()
    until_us: int = 0
    shrink: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a seed came to, in plain values."""

    seed: int
    problems: dict[str, list[str]]
    plan: tuple[str, ...]
    smallest: tuple[str, ...] = ()
    delivered: dict[str, int] = field(default_factory=dict)
    behaviour: dict[str, str] = field(default_factory=dict)
    deaths: int = 0
    compared: dict[str, int] = field(default_factory=dict)
    beats: int = 0
    cpu_s: float = 0.0


def run(task: Task) -> Result:
    """Play a seed; a crash of the harness or the trader is a problem of its own kind."""
    with scratch("trader-ground-") as folder:
        ground = Ground.of(task.seed, Path(folder), pairs=task.pairs)
        plan = draw(task.seed, tuple(ROWS[name] for name in task.ids), task.fault_us)
        plan = plan.without([one for one in plan.injections if task.only and one.row not in task.only])
        plan = plan.until(task.until_us) if task.until_us else plan
        ended = attempt(plan, ground, task.transport)
        if isinstance(ended, Ended):
            ended = _compared(ended, ground, task)
        problems = ended.problems if isinstance(ended, Ended) else {CRASH: [ended]}
        smallest = shrink(plan, lambda smaller: _fails(smaller, ground, task, set(problems))) if problems and task.shrink else plan
    common: dict[str, Any] = {
        "seed": task.seed, "problems": {name: found[:10] for name, found in problems.items()},
        "plan": tuple(map(str, plan.injections)),
        "smallest": tuple(map(str, smallest.injections)) if problems and task.shrink else (),
    }  # fmt: skip
    if not isinstance(ended, Ended):
        return Result(**common)
    evidence = ended.evidence
    excused = [one.excused for one in exits(evidence)]
    compared = {
        "fills": len(evidence.fills),
        "orders": len(evidence.ours()),
        "intents": len(evidence.intents),
        "journal": len(evidence.journal),
        "looks": evidence.seen.looks,
        "exits": excused.count(False),
        "exits_excused": excused.count(True),
    }
    return Result(
        **common, delivered=dict(ended.delivered), behaviour=behaviours(evidence),
        deaths=len(evidence.seen.deaths), compared=compared, beats=ended.beats, cpu_s=ended.cpu_s,
    )  # fmt: skip


def attempt(plan: ChaosPlan, ground: Ground, transport: str) -> Ended | str:
    """The ended run, or the last lines of what broke it off."""
    try:
        return play(plan, ground, transport=transport)
    except Exception:  # noqa: BLE001 - whatever breaks a run off is reported with its seed
        return traceback.format_exc(limit=-6)


def _compared(ended: Ended, ground: Ground, task: Task) -> Ended:
    """The same run once more, here or over the other transport: INV-19 where journals or books differ."""
    problems = dict(ended.problems)
    others = ([task.transport] if task.twice else []) + (["wire" if task.transport == "direct" else "direct"] if task.both else [])
    for transport in others:
        again = attempt(ended.plan, ground, transport)
        found = [again] if isinstance(again, str) else INVARIANTS[EQUAL](replace(ended.evidence, again=(again.journal, again.books)))
        if found:
            problems[EQUAL] = [*problems.get(EQUAL, ()), *(f"over {transport}: {what}" for what in found)]
    return replace(ended, problems=problems)


def _fails(plan: ChaosPlan, ground: Ground, task: Task, wanted: set[str]) -> bool:
    ended = attempt(plan, ground, task.transport)
    return bool(wanted & ({CRASH} if isinstance(ended, str) else set(ended.problems)))


def shrink(plan: ChaosPlan, fails: Callable[[ChaosPlan], bool]) -> ChaosPlan:
    """A plan with as few injections as still fail: halves first, then single ones, within `SHRINKS` plays."""
    left, size = SHRINKS, max(1, len(plan.injections) // 2)
    while size >= 1:
        start = 0
        while start < len(plan.injections) and left > 0:
            smaller = plan.without(plan.injections[start : start + size])
            left -= 1
            if fails(smaller):
                plan = smaller
            else:
                start += size
        size = 0 if size == 1 or left <= 0 else size // 2
    return plan


def play_all(tasks: Sequence[Task], jobs: int, told: Callable[[Result], None]) -> list[Result]:
    """Every task, `jobs` at a time, in the order of the seeds; `told` hears of each as its turn comes."""
    return [_tell(result, told) for result in in_processes(run, tasks, jobs)]


def in_processes(work: Callable[[T], R], tasks: Iterable[T], jobs: int) -> Iterator[R]:
    """Results in the order of the tasks, from so many processes; from this one where that is one.

    Processes are new ones every so many tasks, as what runs leaves some memory behind. The pool's own `max_tasks_per_child` would do
    that without a pause, and for ever: where its processes end together none follows (CPython issue 115634).
    """
    if jobs <= 1:
        yield from map(work, tasks)
        return
    left = iter(tasks)
    while some := list(islice(left, jobs * TASKS_A_PROCESS)):
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            yield from pool.map(work, some)


def _tell(result: Result, told: Callable[[Result], None]) -> Result:
    told(result)
    return result


def report(results: Sequence[Result], rows: Iterable[Row], *, fault_us: int) -> dict[str, Any]:
    """The campaign in one object: verdict, every fault with its count under pending work, throughput.

    `without_fills`: seeds whose market gave no entry, or whose faults prevented all; hardly anything can go wrong in them, and a
    campaign of nothing else is not ok.
    """
    delivered, seen = Counter[str](), dict[str, tuple[int | None, str]]()
    for result in results:
        delivered.update(result.delivered)
        for row, text in result.behaviour.items():
            seen.setdefault(row, (result.seed, text))
    faults: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row.injectable:
            seed, text = seen.get(row.id, (None, ""))
            faults[row.id] = {"what": row.what, "under_pending": delivered[row.id], "seed": seed, "seen": text}
    never = [name for name, fault in faults.items() if not fault["under_pending"]]
    failing = [result for result in results if result.problems]
    compared = sum((Counter(r.compared) for r in results), Counter[str]())
    unjudged = compared["exits_excused"] > 0 and not compared["exits"]  # INV-8 would say nothing at all
    cpu_s, beats = sum(result.cpu_s for result in results), sum(result.beats for result in results)
    return {
        "ok": not failing and not never and not unjudged and compared["fills"] > 0,
        "seeds": len(results), "days_each": fault_us / DAY, "violations": sum(len(result.problems) for result in failing),
        "failing": [
            {"seed": r.seed, "problems": r.problems, "plan": list(r.plan), "smallest": list(r.smallest)} for r in failing
        ],
        "without_fills": [result.seed for result in results if not result.compared.get("fills")],
        "faults": faults, "never_delivered": never,
        "not_injectable": {row.id: row.elsewhere for row in rows if not row.injectable},
        "compared": dict(compared),
        "deaths": sum(result.deaths for result in results), "beats": beats, "cpu_s": round(cpu_s, 1),
        "beats_per_cpu_s": round(beats / cpu_s, 1) if cpu_s else 0.0,
    }  # fmt: skip
