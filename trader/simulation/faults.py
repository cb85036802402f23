"""Fault plan of the twins: TOML `[[fault]]` tables, read once, drawn per request or frame with a seed.

[[fault]]
where = "AddOrder"          # endpoint, WebSocket channel or method, "account", "system" or "pair"
match = { type = "buy" }    # fields that must agree; a value ending in * matches by its beginning
nth = 2                     # the 2nd matching call (or a list), counted from 1; or p = 0.05: each with this chance
action = "http"
arg = 502
effect = "after"            # where an action can come on both sides: before (default) or after the request took effect

What each action does, takes and where it may happen: `fault_catalogue`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trader.errors import ConfigError
from trader.simulation.exchange_orders import unit_hash
from trader.simulation.fault_catalogue import KRAKEN_ACTIONS, Action, misplaced

EDITS = ("rename", "drop_field")
_KEYS = ("where", "match", "nth", "p", "action", "arg", "effect")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One line of the plan. `nth` empty: decided by `p`; both absent: always."""

    where: str
    action: str
    match: Mapping[str, str] = field(default_factory=dict)
    nth: tuple[int, ...] = ()
    p: float = 1.0
    arg: Any = None
    after: bool = False

    def fits(self, fields: Mapping[str, str]) -> bool:
        """Whether all `match` fields agree; `pair` may name the wire's id or the unified symbol.

        Snapshots of a channel meet edits, and whatever says match = { type = "snapshot" }: counts stay those of updates.
        """
        if fields.get("type") == "snapshot" and self.action not in EDITS and "type" not in self.match:
            return False
        for key, wanted in self.match.items():
            seen = [fields.get(key, "")] + ([fields.get("symbol", "")] if key == "pair" else [])
            if not any(value.startswith(wanted[:-1]) if wanted.endswith("*") else value == wanted for value in seen):
                return False
        return True


class FaultPlan:
    """Faults and how often each has been asked. Same seed and same calls, same faults; one fault never disturbs another."""

    def __init__(self, faults: Iterable[Fault] = (), *, seed: int = 0) -> None:
        self._seed = seed
        self._faults: list[Fault] = list(faults)
        self._asked: list[int] = [0] * len(self._faults)
        self._places = {fault.where for fault in self._faults}
        self.fired: dict[str, int] = {}
        self.missed: dict[str, int] = {}  # faults that were due and found nothing to spoil, as a field to rename

    @property
    def faults(self) -> tuple[Fault, ...]:
        return tuple(self._faults)

    def add(self, fault: Fault) -> None:
        """Put one more fault into force."""
        self._faults.append(fault)
        self._asked.append(0)
        self._places.add(fault.where)

    def clear(self) -> None:
        """No more faults: the heal phase."""
        self._faults, self._asked, self._places = [], [], set()

    def watches(self, where: str) -> bool:
        """Whether any fault could happen there (cheap question for busy channels)."""
        return where in self._places

    def miss(self, where: str, fault: Fault) -> None:
        """Count a fault that found nothing to spoil."""
        name = f"{where}:{fault.action}"
        self.missed[name] = self.missed.get(name, 0) + 1

    def take(self, where: str, fields: Mapping[str, str]) -> list[Fault]:
        """The faults that happen to this call, in plan order."""
        due: list[Fault] = []
        for number, fault in enumerate(self._faults):
            if fault.where != where or not fault.fits(fields):
                continue
            self._asked[number] += 1
            asked = self._asked[number]
            if asked in fault.nth if fault.nth else unit_hash(self._seed, "fault", number, asked) < fault.p:
                due.append(fault)
                name = f"{where}:{fault.action}"
                self.fired[name] = self.fired.get(name, 0) + 1
        return due


def plan_tables(source: str) -> list[Mapping[str, Any]]:
    """The `[[fault]]` tables of a plan's TOML text, unread. Raises ConfigError."""
    try:
        tables = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not valid TOML ({error})") from error
    rows = tables.get("fault", [])
    if set(tables) - {"fault"} or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ConfigError(f"only [[fault]] tables are allowed, not {sorted(set(tables) - {'fault'}) or ['fault']}")
    return rows


def parse_plan(source: str, *, seed: int, actions: Mapping[str, Action] = KRAKEN_ACTIONS, places: Iterable[str] | None = None) -> FaultPlan:
    """Read a plan from TOML text; `places`: the known values of `where`, None for any. Raises ConfigError."""
    return FaultPlan([parse_fault(row, number, actions, places) for number, row in enumerate(plan_tables(source), start=1)], seed=seed)


def parse_fault(
    row: Mapping[str, Any], number: int = 1, actions: Mapping[str, Action] = KRAKEN_ACTIONS, places: Iterable[str] | None = None
) -> Fault:
    """One `[[fault]]` table as a value. Raises ConfigError naming the fault by its number."""

    def bad(name: str, allowed: str) -> ConfigError:
        return ConfigError(f"fault {number}: {name} = {row.get(name)!r} is not allowed; {allowed}")

    if unknown := sorted(set(row) - set(_KEYS)):
        raise ConfigError(f"fault {number}: unknown key {unknown[0]!r}; allowed: {', '.join(_KEYS)}")
    where, action, known = row.get("where"), row.get("action"), None if places is None else tuple(places)
    if not isinstance(where, str) or not where or (known is not None and where not in known):
        raise bad("where", f"one of {', '.join(known)}" if known else "an endpoint or channel")
    if not isinstance(action, str) or action not in actions:
        raise bad("action", f"one of {', '.join(actions)}")
    if (allowed := misplaced(where, action, actions)) is not None:
        raise bad("where" if " happens at " in allowed else "action", allowed)
    match = row.get("match", {})
    if not isinstance(match, Mapping) or not all(isinstance(value, (str, int, float)) for value in match.values()):
        raise bad("match", "a table of field = value")
    if (allowed := actions[action].arg(row.get("arg"))) is not None:
        raise bad("arg", f"{action} takes {allowed}")
    effect = row.get("effect", "before")
    if effect not in ("before", "after") or ("effect" in row and not (actions[action].before and actions[action].after)):
        raise bad("effect", f"before or after, for {', '.join(name for name, one in actions.items() if one.before and one.after)}")
    nth, p = _turns(row, bad)
    return Fault(
        where=where, action=action, match={k: str(v) for k, v in match.items()}, nth=nth, p=p, arg=row.get("arg"), after=effect == "after"
    )


def _turns(row: Mapping[str, Any], bad: Callable[[str, str], ConfigError]) -> tuple[tuple[int, ...], float]:
    if "nth" in row and "p" in row:
        raise bad("p", "nth or p, not both")
    nth = row.get("nth", [])
    nth = [nth] if isinstance(nth, int) else nth
    if (
        not isinstance(nth, list)
        or not all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in nth)
        or ("nth" in row and not nth)
    ):
        raise bad("nth", "a count from 1 or a list of them")
    p = row.get("p", 1.0)
    if isinstance(p, bool) or not isinstance(p, (int, float)) or not 0 <= p <= 1:
        raise bad("p", "a chance from 0 to 1")
    return tuple(nth), float(p)
