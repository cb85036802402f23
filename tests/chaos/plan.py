"""A seed's plan: which faults, when, and at which calls; drawn by hashes, so that equal seeds give equal plans anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.chaos.catalogue import SLOTS, Row
from trader.domain.market import MINUTE, SECOND
from trader.simulation.exchange_orders import unit_hash
from trader.simulation.faults import Fault

TURN = 3  # every row with faults by chance is in one of so many seeds for certain, in others by chance
ALSO = 0.15
ACTS_TURN = 5
CALLS_PER_HOUR = {"buy": 0.8, "exit": 0.5, "stop": 0.4, "cancel": 0.8}  # slots that are filled; what comes later finds a calm exchange
FIRST, LAST = 0.12, 0.92  # acts come in this part of the fault phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagged(Fault):
    """A line of a plan that knows which row of the catalogue it plays."""

    row: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """One thing that will go wrong: lines of the twins' plans, an act at a time (fraction of the fault phase), or deaths."""

    row: str
    faults: tuple[Fault, ...] = ()
    act: str = ""
    at: float = 0.0
    kills: tuple[tuple[str, float, int], ...] = ()  # (point, seconds after it, which hit)

    def __str__(self) -> str:
        words = [
            f"{f.where} {f.action}{'' if f.arg is None else f'={f.arg}'}{f' nth={f.nth}' if f.nth else f' p={f.p}'}" for f in self.faults
        ]
        words += [f"{self.act} at {self.at:.0%}"] if self.act else []
        words += [f"die at {point}{f'+{after}s' if after else ''} hit {hit}" for point, after, hit in self.kills]
        return f"{self.row}: {'; '.join(words)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosPlan:
    """What one run must survive. `fault_us`: length of the fault phase; the heal phase follows.

    `exit_us`: how often a person closes the oldest position, so that exits happen while faults do; `deaths`: (row, chain of
    points, hits, seconds after) of kills beside those of the injections.
    """

    seed: int
    fault_us: int
    injections: tuple[Injection, ...]
    ai: bool = False
    exit_us: int = 45 * MINUTE
    deaths: tuple[tuple[str, tuple[str, ...], int, float], ...] = ()

    def without(self, dropped: Sequence[Injection]) -> ChaosPlan:
        """The same run with some of its troubles left out."""
        return replace(self, injections=tuple(one for one in self.injections if one not in dropped))

    def until(self, fault_us: int) -> ChaosPlan:
        """The first part of the same run: everything comes when it came, and the heal phase begins earlier."""
        longer = self.fault_us / fault_us
        left = (replace(one, at=one.at * longer) for one in self.injections if one.at * longer <= 1)
        return replace(self, fault_us=fault_us, injections=tuple(left))


def draw(seed: int, rows: Sequence[Row], fault_us: int) -> ChaosPlan:
    """The plan of a seed: a rotation, so that few seeds reach every row, and chance on top, so that many seeds mix them."""
    rows = [row for row in rows if row.injectable]
    hours = fault_us / (3600 * SECOND)
    injections: list[Injection] = []
    for slot in SLOTS:
        injections += _slotted(seed, slot, [row for row in rows if row.slot == slot and row.variants], hours)
    by_chance = [row for row in rows if row.variants and not row.slot]
    injections += [_by_chance(seed, row) for n, row in enumerate(by_chance) if _in_turn(seed, n, ACTS_TURN if row.ai else TURN, row.id)]
    acting = [row for row in rows if row.act and not row.kills]
    injections += [_act(seed, row) for n, row in enumerate(acting) if _in_turn(seed, n, ACTS_TURN, row.id)]
    injections += _deaths(seed, [row for row in rows if row.kills], hours)
    return ChaosPlan(seed=seed, fault_us=fault_us, injections=tuple(injections), ai=any(_ai(rows, one) for one in injections))


def _ai(rows: Sequence[Row], one: Injection) -> bool:
    return any(row.ai and row.id == one.row for row in rows)


def _in_turn(seed: int, number: int, turn: int, row_id: str) -> bool:
    return (seed + number) % turn == 0 or unit_hash(seed, "also", row_id) < ALSO


def _pick(choices: Sequence[Any], *about: str | int) -> Any:
    return choices[int(unit_hash(*about) * len(choices))]


def _slotted(seed: int, slot: str, rows: Sequence[Row], hours: float) -> list[Injection]:
    """The n-th order of a kind meets the n-th row of this seed's turn; each order meets one fault at most."""
    count = min(len(rows), max(2, round(hours * CALLS_PER_HOUR[slot])))
    found = []
    for place in range(count):
        row = rows[(seed * count + place) % len(rows)]
        lines = _pick(row.variants, seed, "variant", row.id)
        nth = (place + 1,)
        faults = tuple(_tagged(line, row.id, match=dict(SLOTS[slot]), nth=nth) for line in lines)
        found.append(Injection(row=row.id, faults=faults))
    return found


def _by_chance(seed: int, row: Row) -> Injection:
    lines = _pick(row.variants, seed, "variant", row.id)
    return Injection(row=row.id, faults=tuple(_tagged(line, row.id) for line in lines))


def _act(seed: int, row: Row) -> Injection:
    return Injection(row=row.id, act=row.act, at=FIRST + (LAST - FIRST) * unit_hash(seed, "act", row.id))


def _deaths(seed: int, rows: Sequence[Row], hours: float) -> list[Injection]:
    """A death every three hours, one row after the other."""
    count = min(len(rows), max(1, round(hours / 3)))
    found = []
    for place in range(count):
        row = rows[(seed * count + place) % len(rows)]
        point, after = _pick(row.kills, seed, "kill", row.id)
        hit = 1 + int(unit_hash(seed, "hit", row.id) * 2) if row.deaths == 1 else 1
        found.append(Injection(row=row.id, act=row.act, kills=((point, after, hit),) * row.deaths))
    return found


def _tagged(line: Fault, row_id: str, **more: Any) -> Tagged:
    fields = {name: getattr(line, name) for name in ("where", "action", "match", "nth", "p", "arg", "after")}
    return Tagged(**(fields | more | {"row": row_id}))
