"""The forty numbered kill points of RELIABILITY section 10, in one process: each at its first hit, its second, and during a recovery.

A kill takes every object away at one instant: what was committed stays, what was on its way arrives, nothing else happens. The
slow layer (`python -m tests.kill`) does the same with SIGKILL and real processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.chaos.catalogue import BUY
from tests.chaos.ordeal import Ended, Ground, play, scratch
from tests.chaos.plan import ChaosPlan, Injection, Tagged
from trader.domain.market import MINUTE

FIRST, SECOND, RECOVERING = "first", "second", "recovering"
WHEN = (FIRST, SECOND, RECOVERING)
RUN_US = 50 * MINUTE
EXIT_US = 21 * MINUTE  # when a person closes the oldest position; entries come with the first closes, at 15 minutes
BEFORE_EFFECT_S, AFTER_EFFECT_S = 0.010, 0.051  # the twin acts 20 to 50 ms after a request has come
RECOVERS_AT = "after_fill_commit"  # the first death of a life that dies again while it recovers
BARE = "swallow_stops"
ROW = "KILL"  # stands for a row of the catalogue: these deaths are counted apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A numbered point: the points of the code that lead to it, and how long after the last one the death comes.

    `faults`: what the exchange must do to get there; `act`: what a person or the market does; `once`: a life reaches it once, so that
    its second hit is the next life's; `unreached`: why it is never reached.
    """

    number: int
    name: str
    chain: tuple[str, ...]
    after_s: float = 0.0
    faults: tuple[Tagged, ...] = ()
    act: str = ""
    once: bool = False
    unreached: str = ""


def _p(number: int, name: str, *chain: str, **more: Any) -> Point:
    return Point(number=number, name=name, chain=chain or (name,), **more)


def _bare() -> tuple[Tagged, ...]:
    return (Tagged(where="AddOrder", action=BARE, match=dict(BUY), nth=(1, 2, 3, 4), row="K7"),)


NO_ORPHAN = "no exit begins before its stop has ended by the exchange's own word, so no live stop is left at a flat position"

POINTS: Mapping[str, Point] = {
    point.name: point
    for point in (
        _p(1, "before_intent"),
        _p(2, "after_intent"),
        _p(3, "mid_send", "after_intent", after_s=0.001),
        _p(4, "after_send", "after_intent", after_s=BEFORE_EFFECT_S),
        _p(5, "mid_reply", "after_intent", after_s=AFTER_EFFECT_S),
        _p(6, "after_ack"),
        _p(7, "after_ack_commit"),
        _p(8, "before_fill_commit"),
        _p(9, "mid_fill_batch", "before_fill_commit", act="in_parts"),
        _p(10, "after_fill_commit"),
        _p(11, "before_stop_intent", faults=_bare()),
        _p(12, "after_stop_intent", faults=_bare()),
        _p(13, "after_stop_send", "after_stop_intent", after_s=AFTER_EFFECT_S, faults=_bare()),
        _p(14, "after_stop_ack", faults=_bare()),
        _p(15, "after_amend_intent"),
        _p(16, "after_amend_send", "after_amend_intent", after_s=AFTER_EFFECT_S),
        _p(17, "after_amend_ack"),
        _p(18, "before_cancel_stop"),
        _p(19, "after_cancel_send", "before_cancel_stop", after_s=AFTER_EFFECT_S),
        _p(20, "after_cancel_ack"),
        _p(21, "after_exit_intent"),
        _p(22, "after_exit_send", "after_exit_intent", after_s=AFTER_EFFECT_S),
        _p(23, "after_exit_ack"),
        _p(24, "before_exit_fill_commit", "after_exit_ack", "before_fill_commit"),
        _p(25, "after_exit_fill", "after_exit_ack", "after_fill_commit"),
        _p(26, "stop_fill_seen", "stop_touched", "before_fill_commit", act="touch_stop"),
        _p(27, "before_cancel_orphan", unreached=NO_ORPHAN),
        _p(28, "kill_switch_set", act="kill_switch_set", once=True),
        _p(29, "lease_acquired", once=True),
        _p(30, "after_read_open"),
        _p(31, "after_read_trades"),
        _p(32, "mid_recovery_write", "after_read_trades", "mid_ledger_commit"),
        _p(33, "before_protect"),
        _p(34, "before_ready", once=True),
        _p(35, "lease_renewal"),
        _p(36, "mid_ledger_commit", "after_intent", "mid_ledger_commit"),
        _p(37, "nonce_ceiling"),
        _p(38, "mid_shutdown", act="ending", once=True),
        _p(39, "mid_migration", unreached="a migration runs before there is a session: tests/chaos/test_kills.py dies in one by itself"),
        _p(40, "part_written_not_catalogued", "part_written"),
    )
}
IN_RECOVERY = ("lease_acquired", "after_read_open", "after_read_trades", "mid_recovery_write", "before_protect", "before_ready")


def plan(point: Point, when: str, seed: int) -> ChaosPlan:
    """One death at the point, or two where it comes during a recovery."""
    one = Injection(row=ROW, faults=point.faults, act=point.act)
    return ChaosPlan(seed=seed, fault_us=RUN_US, injections=(one,), exit_us=EXIT_US, deaths=deaths(point, when))


def deaths(point: Point, when: str) -> tuple[tuple[str, tuple[str, ...], int, float], ...]:
    """The deaths of a plan: points of a recovery come after a first one in any case."""
    last = (ROW, point.chain, 2 if when == SECOND and not point.once else 1, point.after_s)
    again = (last,) if when == SECOND and point.once else ()
    first = ((ROW, (RECOVERS_AT,), 1, 0.0),) if when == RECOVERING or point.name in IN_RECOVERY else ()
    return (*first, last, *again)


def kill(point: Point, when: str, ground: Ground, seed: int, *, transport: str = "direct") -> Ended:
    """Play the deaths of a point; a point that was not reached is a problem of the name of the point."""
    wanted = plan(point, when, seed)
    ended = play(wanted, ground, transport=transport)
    missed = len(wanted.deaths) - len(ended.evidence.seen.deaths)
    return replace(ended, problems=ended.problems | {point.name: [f"{missed} deaths did not come ({when})"]}) if missed > 0 else ended


def kill_task(task: tuple[str, str, int]) -> list[str]:
    """One kill for a process of its own: point, when, seed; what was wrong."""
    name, when, seed = task
    with scratch("trader-ground-") as folder:
        ended = kill(POINTS[name], when, Ground.of(seed, Path(folder), pairs=5), seed)
    return [f"{invariant}: {found[0]}" for invariant, found in ended.problems.items()]


def kills_report(points: Mapping[str, Mapping[str, list[str]]]) -> dict[str, Any]:
    """Point -> edition -> what was wrong, with the verdict and why some points are not reached."""
    played = [problems for editions in points.values() for problems in editions.values()]
    bad = sum(bool(problems) for problems in played)
    unreached = {name: point.unreached for name, point in POINTS.items() if point.unreached}
    return {"ok": not bad, "kills": len(played), "violations": bad, "points": points, "unreached": unreached}
