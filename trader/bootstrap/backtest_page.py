"""The page of a finished backtest: which candles are drawn, how coarse, with which trades."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from trader.bootstrap.backtest import Ran
from trader.domain.market import DAY, MINUTE
from trader.domain.messages import TradeLeg
from trader.domain.money import ZERO, add, plain
from trader.indicators.resample import aggregate, cut
from trader.ports import Columns
from trader.reporting import words
from trader.reporting.backtest_page import Drawn, render
from trader.reporting.pictures import Mark, candle_picture

PAIRS = 5  # drawn over the whole range
CANDLES = 240  # at most, on one chart
BEFORE, AFTER = 32, 16  # bars around a single trade
LENGTHS = tuple(minutes * MINUTE for minutes in (5, 15, 30, 60, 120, 240, 480, 720, 1440, 2880, 10_080, 40_320))


def page_of(ran: Ran, result: Mapping[str, Any], command: Sequence[str]) -> str:
    """The page as HTML; `command`: the words that made it."""
    positions = _positions(ran)
    return render(
        result, curve=[(row.time_us, float(row.equity)) for row in ran.curve], command=shlex.join(command),
        pairs=[_whole(ran, one["name"], positions) for one in result["by_pair"][:PAIRS]],
        looks=[_look(ran, positions[one["position"]], ran.risk[one["position"]]) for one in result["notable"]],
    )  # fmt: skip


def _positions(ran: Ran) -> dict[str, list[TradeLeg]]:
    """Closed positions with their legs, by entry."""
    found: dict[str, list[TradeLeg]] = {}
    for leg in sorted(ran.legs, key=lambda leg: (leg.entry_us, leg.exit_us)):
        if leg.position_id not in ran.held:
            found.setdefault(leg.position_id, []).append(leg)
    return found


def _whole(ran: Ran, pair: str, positions: Mapping[str, list[TradeLeg]]) -> Drawn:
    """A pair over the whole range, in candles coarse enough to be seen."""
    columns, length = _coarse(cut(ran.pairs[pair].columns, ran.start_us, ran.end_us), ran.timeframe.us)
    own = [legs for legs in positions.values() if legs[0].pair == pair]
    return Drawn(
        name=pair, candles=_length(length), picture=candle_picture(columns, length, [_mark(legs) for legs in own], bar_us=ran.timeframe.us)
    )  # fmt: skip


def _look(ran: Ran, legs: Sequence[TradeLeg], risk: float) -> Drawn:
    """A trade with the candles around it, and the stop it began with."""
    bar, first = ran.timeframe.us, legs[0]
    columns = cut(ran.pairs[first.pair].columns, first.entry_us - BEFORE * bar, legs[-1].exit_us + (AFTER + 1) * bar)
    columns, length = _coarse(columns, bar)
    distance = (risk - ran.strategy.costs.round_trip) * first.side.sign
    mark = _mark(legs, stop=float(first.entry_price) * (1 - distance))
    return Drawn(name=first.pair, candles=_length(length), picture=candle_picture(columns, length, [mark], bar_us=bar))


def _mark(legs: Sequence[TradeLeg], stop: float | None = None) -> Mark:
    net = add(*(leg.net for leg in legs))
    return Mark(
        entry_us=legs[0].entry_us, entry=float(legs[0].entry_price), exits=tuple((leg.exit_us, float(leg.exit_price)) for leg in legs),
        gained=net > ZERO, words=_words(legs), stop=stop,
    )  # fmt: skip


def _words(legs: Sequence[TradeLeg]) -> str:
    """`12 Apr 10:15 at 68,100.00; first target 12 Apr 14:00 at 70,020.00; net +12.34`."""
    first, net = legs[0], add(*(leg.net for leg in legs))
    left = "; ".join(
        f"{words.exit_words(leg.reason)} {words.clock_time(leg.exit_us)} at {_price(leg.exit_price)}" for leg in legs
    )  # fmt: skip
    return f"Entered {words.clock_time(first.entry_us)} at {_price(first.entry_price)}; {left}; net {words.money(net, sign=True)}"


def _price(value: Decimal) -> str:
    return words.price(plain(value))


def _coarse(columns: Columns, bar_us: int) -> tuple[Columns, int]:
    """Candles of a length at which at most CANDLES are left; those at the edges that are not whole are dropped."""
    span = int(columns.time[-1]) + bar_us - int(columns.time[0])
    length = next((one for one in LENGTHS if one >= bar_us and one % bar_us == 0 and span / one <= CANDLES), LENGTHS[-1])
    made = aggregate(columns, _Length(bar_us), _Length(length)) if length > bar_us else columns
    return (made, length) if len(made) else (columns, bar_us)


class _Length:
    """A length of candles that need not be one of the stored timeframes."""

    def __init__(self, us: int) -> None:
        self.us = us


def _length(length_us: int) -> str:
    """`15 min`, `4 h`, `1 d`."""
    if length_us % DAY == 0:
        return f"{length_us // DAY} d"
    minutes = length_us // MINUTE
    return f"{minutes} min" if minutes % 60 else f"{minutes // 60} h"
