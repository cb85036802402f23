"""What competes: the six of a profile, and further candidates as rows of a TOML table. Their number enters every correction.

[[candidate]]
name = "patient"                  # any word of its own
base = "mitraillette/AGGRESSIVE"  # the row of the table it starts from
rsi_oversold = 30                 # and what is different
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from trader.domain.costs import Costs
from trader.errors import ConfigError
from trader.strategy import modes
from trader.strategy.modes import Parameters
from trader.strategy.strategies import Strategy, named, of_table, six

FIXED = ("profile", "mode", "variation", "exit_plan")
MOST = 60
LONGEST = 10 * 96
"""Bars (10 days) of the longest position a row may ask for: the purge takes as many days from each train block's 56."""
_LEVEL, _SHARE, _BARS, _PERIOD, _MONEY = (0, 100), (0, 1), (0, LONGEST), (2, 1_000), (0, 1e9)
RANGES: dict[str, tuple[float, float]] = {
    "rsi_period": _PERIOD, "rsi_oversold": _LEVEL, "rsi_overbought": _LEVEL, "composite_limit": _LEVEL, "base_score": _LEVEL,
    "min_score": _LEVEL, "h4_ema": _PERIOD, "trend_ema": (0, 1_000), "max_positions": (1, 1_000), "max_new_per_bar": (1, 1_000),
    "universe": (1, 1_000), "stagnation_bars": _BARS, "cooldown_bars": _BARS, "cooldown_stop_bars": _BARS, "max_spread": _SHARE,
    "daily_loss": _SHARE, "drawdown": _SHARE, "k1": (0, 100), "max_hold_bars": _BARS, "risk_per_trade": _SHARE, "max_stake": _SHARE,
    "stop_loss": _SHARE, "tp1": _SHARE, "tp2": _SHARE, "min_trade": _MONEY, "max_trade": _MONEY,
}  # fmt: skip
"""What a row may set each number to, both ends included."""


def strategies(profile: str, costs: Costs, table: Path | None = None) -> tuple[Strategy, ...]:
    """The six, then the rows of `table`, in order. Raises ConfigError naming the row and field that cannot be used."""
    if profile not in modes.PROFILES:
        raise ConfigError(f"profile {profile!r} is not one of {', '.join(modes.PROFILES)}")
    found = list(six(profile, costs))
    for row in _rows(table) if table is not None else ():
        made = _made(row, profile, costs, table)
        if made.name in {one.name for one in found}:
            raise ConfigError(f"{table}: candidate {made.name!r} is there twice")
        found.append(made)
    if len(found) > 6 + MOST:
        raise ConfigError(f"{table}: {len(found) - 6} candidates; at most {MOST}, since every one makes all harder to believe")
    return tuple(found)


def _rows(table: Path) -> list[Mapping[str, Any]]:
    try:
        found = tomllib.loads(table.read_text())
    except OSError as error:
        raise ConfigError(f"{table}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{table}: not valid TOML ({error})") from error
    rows = found.pop("candidate", [])
    if found or not isinstance(rows, list):
        raise ConfigError(f"{table}: rows are written [[candidate]]; {next(iter(found), 'candidate')!r} is none")
    return rows


def _made(row: Mapping[str, Any], profile: str, costs: Costs, table: Path | None) -> Strategy:
    name, base = row.get("name"), row.get("base")
    if not isinstance(name, str) or not name.strip() or not isinstance(base, str):
        raise ConfigError(f'{table}: a candidate needs a name and a base, for instance base = "sniper/DEFAULT"; seen {dict(row)}')
    start = named(base, profile, costs).parameters
    if start is None:
        raise ConfigError(f"{table}: candidate {name!r}: base {base!r} is none of the six")
    kinds = {field.name: field.type for field in fields(Parameters) if field.name not in FIXED}
    changes: dict[str, Any] = {}
    for key, value in row.items():
        if key in ("name", "base"):
            continue
        if key not in kinds:
            raise ConfigError(f"{table}: candidate {name!r}: {key!r} is no number of the table; there is {', '.join(kinds)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or (kinds[key] == "int" and not isinstance(value, int)):
            raise ConfigError(
                f"{table}: candidate {name!r}: {key} = {value!r} must be a {'whole number' if kinds[key] == 'int' else 'number'}"
            )
        least, most = RANGES[key]
        if not least <= value <= most:  # a NaN is in no range
            raise ConfigError(f"{table}: candidate {name!r}: {key} = {value!r} must be from {least:g} to {most:g}")
        changes[key] = value if kinds[key] == "int" else float(value)
    made = of_table(replace(start, **changes), costs)
    return replace(made, name=f"{start.strategy} {name.strip()}")
