"""Backtests of one strategy over many pairs, pairs independent: `run` gives trades as a Polars frame.

Fast because indicators are computed once per parameter, the walk jumps from signal to signal, and pairs go to threads whose
work is outside the GIL. With shared capital: `research/account.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, NoReturn

import numpy as np
import polars as pl

from trader.domain.orders import Side
from trader.errors import ConfigError
from trader.execution import exits
from trader.ports import Columns
from trader.research import kernel
from trader.strategy.columns import Bars, Signals
from trader.strategy.strategies import S1, Exits, Strategy, named, of_table, six

__all__ = ["S1", "Bars", "Exits", "Signals", "Strategy", "Sweep", "named", "of_table", "run", "run_all", "run_through", "six", "taken"]

FIELDS = ("open", "high", "low", "close")
TIME = pl.Datetime("us", "UTC")
SCHEMA: dict[str, Any] = {
    "pair": pl.String, "side": pl.String, "entry_bar": pl.Int64, "exit_bar": pl.Int64, "entry_time": TIME, "exit_time": TIME,
    "entry_price": pl.Float64, "exit_price": pl.Float64, "quantity": pl.Float64, "fees": pl.Float64, "net_return": pl.Float64,
    "reason": pl.String,
}  # fmt: skip
WORDS = {
    exits.STOP_LOSS: "stop", exits.TP1: "target", exits.TP2: "target2", exits.SIGNAL: "signal", exits.STAGNATION: "stagnation",
    exits.MAX_HOLD: "max_hold", kernel.END: "end",
}  # fmt: skip
"""How the frame of `run` names reasons; a ratcheted stop of level n is `ratchet_n`."""
_BLOCK = 31 << 20  # under glibc's largest dynamic mmap threshold: freed once, later arrays come from the heap, without page faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What one pair gave, in the order of entry: `legs`, a row each with the columns of `kernel.walk`, and their prices, shape (k,);
    `*_us`: open times of the bars, 0 where bars have none; `missed` entries were above their cap."""

    legs: kernel.Ints
    entry_us: kernel.Ints
    exit_us: kernel.Ints
    entry_price: kernel.Floats
    exit_price: kernel.Floats
    missed: int


class _Buffers:
    """The tables a worker writes legs into; kept from pair to pair, grown where one needs more."""

    def __init__(self) -> None:
        np.empty(_BLOCK, np.uint8)  # allocated and dropped: see PERFORMANCE.md section 5
        self.rows = 0
        self.fit(4_096)

    def fit(self, rows: int) -> None:
        if rows > self.rows:
            self.rows = rows
            self.legs, self.prices, self.entries = np.empty((rows, 4), np.int64), np.empty(rows), np.empty(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a pair gave under each strategy; `timed`: its bars have open times."""

    pair: str
    timed: bool
    sweeps: tuple[Sweep, ...]


def run(strategy: Strategy, data: Mapping[str, Mapping[str, Any]], threads: int = 1, *, warmup: str = "exact") -> pl.DataFrame:
    """Trades of `strategy` on every pair, each with `stake` in quote a trade; rows in the order given, then by entry bar.

    `data`: pair -> arrays `open high low close` (and optional `volume`, `time`), 1-D float64 of one length; `time` datetime64 or
    int64 microseconds. One row per exit leg; `net_return` is the leg's result after both fees over what it cost before them;
    `fees` in quote. Raises ConfigError naming pair and field for arrays that are no candles.
    """
    return run_all([strategy], data, threads, warmup=warmup)[strategy.name]


def run_all(
    strategies: Sequence[Strategy], data: Mapping[str, Mapping[str, Any]], threads: int = 1, *, warmup: str = "exact"
) -> dict[str, pl.DataFrame]:
    """`run` for several strategies over the same pairs, indicators shared; frames by strategy name."""
    if not 1 <= threads <= 256:
        raise ConfigError(f"threads {threads} must be from 1 to 256")
    names = list(data)

    def work(part: Sequence[str]) -> list[Found]:
        return _swept(strategies, ((pair, bars_of(pair, data[pair], warmup=warmup)) for pair in part))

    if threads == 1 or len(names) < 2:
        found = work(names)
    else:
        parts = [names[k::threads] for k in range(min(threads, len(names)))]
        with ThreadPoolExecutor(len(parts)) as pool:
            by_pair = {one.pair: one for part in pool.map(work, parts) for one in part}
        found = [by_pair[pair] for pair in names]
    return _frames(strategies, found)


def run_through(strategies: Sequence[Strategy], bars: Iterable[tuple[str, Bars]]) -> dict[str, pl.DataFrame]:
    """`run_all` on one thread over pairs as they come, none of which is kept: candles need not all be in memory."""
    return _frames(strategies, _swept(strategies, bars))


def _swept(strategies: Sequence[Strategy], bars: Iterable[tuple[str, Bars]]) -> list[Found]:
    """Pair by pair, so that one pair's columns are dropped before the next one's are made."""
    buffers, found, rules = _Buffers(), [], [kernel.rule_of(strategy) for strategy in strategies]
    for pair, one in bars:
        sweeps = tuple(taken(strategy, rule, one, buffers) for strategy, rule in zip(strategies, rules, strict=True))
        found.append(Found(pair=pair, timed=len(one.time) > 0, sweeps=sweeps))
        del one
    return found


def _frames(strategies: Sequence[Strategy], found: Sequence[Found]) -> dict[str, pl.DataFrame]:
    return {strategy.name: _frame(strategy, found, place) for place, strategy in enumerate(strategies)}


def taken(strategy: Strategy, rule: kernel.Rule, bars: Bars, buffers: _Buffers | None = None) -> Sweep:
    """The trades of one pair that takes every signal it is flat for; `rule` is `kernel.rule_of(strategy)`."""
    buffers = buffers or _Buffers()
    said = strategy.entries(bars)
    buffers.fit(3 * len(said.rows))
    leave = kernel.NO_FLAGS if said.leave is None else said.leave
    k, missed = kernel.walk(
        rule, bars.open, bars.high, bars.low, bars.close, leave, said.rows, said.unit, said.cap, buffers.legs, buffers.prices,
        buffers.entries,
    )  # fmt: skip
    legs = buffers.legs[:k].copy()
    both = (legs[:, kernel.ENTRY], legs[:, kernel.EXIT])
    entry_us, exit_us = (bars.time[rows] if len(bars.time) else np.zeros(k, np.int64) for rows in both)
    return Sweep(
        legs=legs, entry_us=entry_us, exit_us=exit_us, entry_price=buffers.entries[:k].copy(), exit_price=buffers.prices[:k].copy(),
        missed=missed,
    )  # fmt: skip


def _frame(strategy: Strategy, found: Sequence[Found], place: int) -> pl.DataFrame:
    """Legs of all pairs as one frame of SCHEMA; `place`: which of the sweeps."""
    fee, long = strategy.costs.taker, strategy.side is Side.BUY
    sweeps = [one.sweeps[place] for one in found]

    entry, exit_ = (_joined([getattr(one, name) for one in sweeps], np.zeros(0)) for name in ("entry_price", "exit_price"))
    legs = _joined([one.legs for one in sweeps], np.zeros((0, 4), np.int64)).T
    reason = legs[kernel.REASON]
    quantity = strategy.stake / entry * (legs[kernel.SOLD] / kernel.LOTS)
    net = (exit_ * (1 - fee) - entry * (1 + fee)) / entry if long else (entry * (1 - fee) - exit_ * (1 + fee)) / entry
    pairs = list(chain.from_iterable([one.pair] * len(gave.legs) for one, gave in zip(found, sweeps, strict=True)))
    words = {code: word(code) for code in np.unique(reason).tolist()}
    values = {
        "pair": pairs, "side": ["long" if long else "short"] * len(entry), "entry_bar": legs[kernel.ENTRY],
        "exit_bar": legs[kernel.EXIT], "entry_time": _times(found, sweeps, "entry_us"),
        "exit_time": _times(found, sweeps, "exit_us"), "entry_price": entry, "exit_price": exit_, "quantity": quantity,
        "fees": fee * quantity * (entry + exit_), "net_return": net, "reason": [words[code] for code in reason.tolist()],
    }  # fmt: skip
    return pl.DataFrame(values, schema=SCHEMA)


def _joined(parts: Sequence[Any], none: Any) -> Any:
    return np.concatenate(parts) if parts else none


def _times(found: Sequence[Found], sweeps: Sequence[Sweep], name: str) -> pl.Series:
    """Open times; null for pairs that came without times."""
    times = pl.Series(_joined([getattr(one, name) for one in sweeps], np.zeros(0, np.int64)), dtype=pl.Int64).cast(TIME)
    if all(one.timed for one in found):  # as a rule: then no row needs a look
        return times
    timed = pl.Series([one.timed for one, gave in zip(found, sweeps, strict=True) for _ in gave.legs], dtype=pl.Boolean)
    return times.zip_with(timed, pl.Series([None], dtype=TIME).new_from_index(0, len(times)))


def word(reason: int) -> str:
    """What the frame of `run` calls an exit reason."""
    return f"ratchet_{reason - exits.RATCHET}" if reason > exits.RATCHET else WORDS[reason]


# --- input -------------------------------------------------------------------------------------------------------------
def bars_of(pair: str, arrays: Mapping[str, Any], *, warmup: str = "exact") -> Bars:
    """Arrays of one pair as bars, checked; raises ConfigError naming pair, field and what is wrong with it."""
    if missing := [name for name in FIELDS if name not in arrays]:
        raise ConfigError(f"{pair}: field {missing[0]!r} is missing; needed are {', '.join(FIELDS)}")
    prices = {name: _floats(pair, name, arrays[name]) for name in FIELDS}
    n = len(prices["close"])
    none, unfilled = _blank(n)
    given = arrays.get("volume")
    volume = none if given is None else _floats(pair, "volume", given)
    time = _micros(pair, arrays.get("time"))
    sizes = {name: len(values) for name, values in (*prices.items(), ("volume", volume))} | ({"time": len(time)} if len(time) else {})
    if odd := [f"{name} {size}" for name, size in sizes.items() if size != n]:
        raise ConfigError(f"{pair}: fields differ in length: close {n}, {', '.join(odd)}")
    if n == 0:
        raise ConfigError(f"{pair}: no candles")
    made = Columns(time=time, volume=volume, filled=unfilled, **prices)
    if kernel.unfit(made.open, made.high, made.low, made.close, made.close if given is None else volume, time):
        _complain(pair, prices | {"volume": volume}, time)
    return Bars(made, warmup=warmup)


@lru_cache(maxsize=4)
def _blank(n: int) -> tuple[kernel.Floats, kernel.Flags]:
    """No volume and no filled bar, made once for all pairs of a length: columns of a pair are read, never written."""
    return np.zeros(n), np.zeros(n, np.bool_)


def _floats(pair: str, name: str, values: Any) -> kernel.Floats:
    if isinstance(values, np.ndarray) and values.dtype == np.float64 and values.ndim == 1 and values.flags.c_contiguous:
        return values  # as a rule: nothing to make of it
    found = np.ascontiguousarray(values)
    if found.ndim != 1 or found.dtype.kind not in "fiu":
        raise ConfigError(f"{pair}: field {name!r} must be a 1-D array of numbers, not {found.dtype} of shape {found.shape}")
    return np.ascontiguousarray(found, dtype=np.float64)


def _micros(pair: str, values: Any) -> kernel.Ints:
    """Open times as int64 microseconds, ascending; empty where none were given."""
    if values is None:
        return np.zeros(0, np.int64)
    found = np.asarray(values)
    if found.dtype.kind == "M":
        found = found.astype("datetime64[us]").astype(np.int64)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise ConfigError(f"{pair}: field 'time' must be datetime64 or int64 microseconds, not {found.dtype} of shape {found.shape}")
    return np.ascontiguousarray(found, dtype=np.int64)


def _complain(pair: str, columns: Mapping[str, kernel.Floats], time: kernel.Ints) -> NoReturn:
    """Say where the candles are not what `kernel.unfit` looks for."""
    for name, values in columns.items():
        enough = values >= 0 if name == "volume" else values > 0
        if len(bad := np.flatnonzero(~(enough & (values < np.inf)))):
            wanted = f"a finite number {'from' if name == 'volume' else 'above'} 0"
            raise ConfigError(f"{pair}: field {name!r}, row {bad[0]}: {values[bad[0]]} must be {wanted}; {len(bad)} rows are not")
    at = int(np.flatnonzero(time[1:] <= time[:-1])[0]) + 1
    raise ConfigError(f"{pair}: field 'time' must ascend; row {at} does not come after row {at - 1}")
