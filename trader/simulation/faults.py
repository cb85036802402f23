"""Fault plan of the twins: TOML `[[fault]]` tables, read once, drawn per request or frame with a seed.

[[fault]]
where = "AddOrder"          # endpoint, WebSocket channel, or "account"
match = { type = "buy" }    # fields that must agree; a value ending in * matches by its beginning
nth = 2                     # the 2nd matching call (or a list), counted from 1; or p = 0.05: each with this chance
action = "http"
arg = 502
effect = "after"            # for http, html, delay and hang: before (default) or after the request took effect
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trader.errors import ConfigError
from trader.simulation.exchange_orders import unit_hash

_KEYS = ("where", "match", "nth", "p", "action", "arg", "effect")
ArgCheck = Callable[[Any], str | None]  # says what is allowed, or None where the argument is fine


def no_arg(arg: Any) -> str | None:
    """The action takes no argument."""
    return None if arg is None else "no arg"


def seconds(arg: Any) -> str | None:
    """A finite, non-negative number of seconds."""
    fine = isinstance(arg, (int, float)) and not isinstance(arg, bool) and math.isfinite(arg) and arg >= 0
    return None if fine else "a number of seconds, 0 or more"


def optional_seconds(arg: Any) -> str | None:
    """As `seconds`; absent means for ever."""
    return None if arg is None else seconds(arg)


def text(arg: Any) -> str | None:
    """A non-empty string."""
    return None if isinstance(arg, str) and arg else "a non-empty string"


def status(arg: Any) -> str | None:
    """An HTTP status that is an error."""
    return None if isinstance(arg, int) and not isinstance(arg, bool) and 400 <= arg <= 599 else "an HTTP status from 400 to 599"


def foreign(arg: Any) -> str | None:
    """A table {pair, side, quantity, after_s} of a trade that somebody else makes on the account."""
    allowed = 'a table { pair, side = buy|sell, quantity = "1.5", after_s }'
    if not isinstance(arg, Mapping) or set(arg) != {"pair", "side", "quantity", "after_s"} or arg["side"] not in ("buy", "sell"):
        return allowed
    return None if text(arg["pair"]) is text(arg["quantity"]) is seconds(arg["after_s"]) is None else allowed


KRAKEN_ACTIONS: Mapping[str, ArgCheck] = {
    "lost_request": no_arg,  # closed before the effect
    "lost_response": no_arg,  # effect, then reset
    "delay": seconds,
    "hang": no_arg,
    "error": text,  # Kraken's string, before the effect
    "http": status,
    "html": no_arg,
    "cut_json": no_arg,
    "hold_reply": no_arg,  # effect; the answer waits for POST /_twin/release
    "swallow_stops": no_arg,
    "non_monotonic": no_arg,
    "nan": no_arg,
    "negative": no_arg,
    "gap": no_arg,
    "foreign_fill": foreign,
    "ws_drop": no_arg,
    "ws_stall": optional_seconds,
    "ws_duplicate": no_arg,
}
_BOUND = {
    "swallow_stops": ("AddOrder",),
    "foreign_fill": ("account",),
    "non_monotonic": ("OHLC",),
    "nan": ("OHLC", "ohlc"),
    "negative": ("OHLC", "ohlc"),
    "gap": ("OHLC", "ohlc"),
}
_AT_SUBSCRIBE = ("error", "delay", "hang", "lost_request", "lost_response", "ws_drop")
_TIMED = ("http", "html", "delay", "hang")


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
        """Whether all `match` fields agree; `pair` may name the wire's id or the unified symbol."""
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
        self.fired: dict[str, int] = {}

    @property
    def faults(self) -> tuple[Fault, ...]:
        return tuple(self._faults)

    def add(self, fault: Fault) -> None:
        """Put one more fault into force."""
        self._faults.append(fault)
        self._asked.append(0)

    def clear(self) -> None:
        """No more faults: the heal phase."""
        self._faults, self._asked = [], []

    def watches(self, where: str) -> bool:
        """Whether any fault could happen there (cheap question for busy channels)."""
        return any(fault.where == where for fault in self._faults)

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


def load_plan(path: Path, *, seed: int, actions: Mapping[str, ArgCheck] = KRAKEN_ACTIONS, places: Iterable[str] | None = None) -> FaultPlan:
    """Read a plan file. Raises ConfigError naming the file, the fault and what is allowed."""
    try:
        source = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"fault plan {path}: {error.strerror}") from error
    try:
        return parse_plan(source, seed=seed, actions=actions, places=places)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse_plan(
    source: str, *, seed: int, actions: Mapping[str, ArgCheck] = KRAKEN_ACTIONS, places: Iterable[str] | None = None
) -> FaultPlan:
    """Read a plan from TOML text; `places`: the known values of `where`, None for any. Raises ConfigError."""
    try:
        tables = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"fault plan: not valid TOML ({error})") from error
    rows = tables.get("fault", [])
    if set(tables) - {"fault"} or not isinstance(rows, list):
        raise ConfigError(f"fault plan: only [[fault]] tables are allowed, not {sorted(set(tables) - {'fault'}) or ['fault']}")
    return FaultPlan([parse_fault(row, number, actions, places) for number, row in enumerate(rows, start=1)], seed=seed)


def parse_fault(
    row: Mapping[str, Any], number: int = 1, actions: Mapping[str, ArgCheck] = KRAKEN_ACTIONS, places: Iterable[str] | None = None
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
    if actions is KRAKEN_ACTIONS and (bound := _BOUND.get(action)) and where not in bound:
        raise bad("where", f"{action} happens at {' or '.join(bound)}")
    if where == "subscribe" and action not in _AT_SUBSCRIBE:
        raise bad("action", f"at subscribe one of {', '.join(_AT_SUBSCRIBE)}")
    match = row.get("match", {})
    if not isinstance(match, Mapping) or not all(isinstance(value, (str, int, float)) for value in match.values()):
        raise bad("match", "a table of field = value")
    if (allowed := actions[action](row.get("arg"))) is not None:
        raise bad("arg", f"{action} takes {allowed}")
    effect = row.get("effect", "before")
    if effect not in ("before", "after") or ("effect" in row and action not in _TIMED):
        raise bad("effect", f"before or after, for {', '.join(_TIMED)}")
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
