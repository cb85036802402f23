"""What is checked for looking ahead: the rules as they are, and six copies with one planted leak each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.series_kit import cut
from trader.domain.costs import Costs
from trader.domain.market import SECOND, Timeframe
from trader.execution.scanner import PairFacts, fine_ranks, members_of
from trader.indicators.series import FILLED_BARS, H4, M15, Features, features
from trader.ports import Columns
from trader.simulation.market import Market
from trader.strategy.brain import candidates
from trader.strategy.modes import Parameters, parameters

STRATEGY = parameters("viable", "mitraillette", "AGGRESSIVE")
DECIDED_AFTER_US = 2 * SECOND  # of a close, by the feed of the session
MEMBERS = 4
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Study:
    """One way from candles to trades: `values` per bar (indicators and the decision), `fill` price of an entry decided at a
    close, `members` traded after bar i."""

    name: str
    values: Callable[[Columns, Columns, Parameters], Values]
    fill: Callable[[Market, str, int], float]
    members: Callable[[Mapping[str, Columns], int], tuple[str, ...]]


def decided(columns: Columns, hours: Columns, strategy: Parameters) -> dict[str, Any]:
    """The product's own columns and, over them, the brain's word on every bar."""
    return judged(features(columns, hours, strategy), strategy)


def judged(made: Features, strategy: Parameters) -> dict[str, Any]:
    found = candidates(made, strategy, Costs())
    return made._asdict() | {"enter": found.enter, "score": found.score, "unit": found.unit}


def filled(market: Market, pair: str, close_us: int) -> float:
    """The last price when the session's order arrives, on which the matching engine fills."""
    return float(market.last_price(pair, close_us + DECIDED_AFTER_US))


def ranked(candles: Mapping[str, Columns], i: int) -> tuple[str, ...]:
    """The scanner's members by turnover of the newest 96 closed bars."""
    part = slice(i + 1 - FILLED_BARS, i + 1)
    turnover = {pair: float(np.sum(c.volume[part] * c.close[part])) for pair, c in candles.items()}
    facts = [PairFacts(pair=pair, base=pair.split("/")[0], quote_volume=value) for pair, value in turnover.items()]
    return members_of(fine_ranks(facts), MEMBERS, ())


CLEAN = Study("clean code", decided, filled, ranked)


# --- planted leaks -----------------------------------------------------------------------------------------------------
def _next_close(columns: Columns, hours: Columns, strategy: Parameters) -> dict[str, Any]:
    made = features(columns, hours, strategy)
    ahead = np.r_[columns.close[1:], columns.close[-1]]
    return judged(made._replace(bb_position=(ahead - made.bb_lower) / (made.bb_upper - made.bb_lower)), strategy)


def _centred(columns: Columns, hours: Columns, strategy: Parameters) -> dict[str, Any]:
    made = features(columns, hours, strategy)
    smooth = np.convolve(columns.volume, np.ones(5) / 5, "same")
    return judged(made._replace(volume_ratio=columns.volume / smooth), strategy)


def _open_4h(columns: Columns, hours: Columns, strategy: Parameters) -> dict[str, Any]:
    early = dataclasses.replace(hours, time=hours.time - H4 + M15)  # each 4h candle is known with its first 15m bar
    made = features(columns, early, strategy)
    return judged(made._replace(ready=features(columns, hours, strategy).ready), strategy)


def _normalised(columns: Columns, hours: Columns, strategy: Parameters) -> dict[str, Any]:
    made = features(columns, hours, strategy)
    return judged(made._replace(volume_ratio=(columns.volume - columns.volume.mean()) / columns.volume.std()), strategy)


def _signal_close(market: Market, pair: str, close_us: int) -> float:
    return float(market.candles(pair, Timeframe.M15, close_us - M15, close_us).close[-1])


def _by_the_end(candles: Mapping[str, Columns], _i: int) -> tuple[str, ...]:
    return ranked(candles, min(len(c) for c in candles.values()) - 1)


LEAKS: Mapping[str, Study] = {
    "next bar's close in an indicator": dataclasses.replace(CLEAN, values=_next_close),
    "centred window": dataclasses.replace(CLEAN, values=_centred),
    "4h candle visible before its close": dataclasses.replace(CLEAN, values=_open_4h),
    "normalisation over the whole series": dataclasses.replace(CLEAN, values=_normalised),
    "fill at the signal bar's close": dataclasses.replace(CLEAN, fill=_signal_close),
    "universe chosen by end-of-period volume": dataclasses.replace(CLEAN, members=_by_the_end),
}


def early(columns: Columns, hours: Columns, n: int) -> tuple[Columns, Columns]:
    """What was known after n 15m candles: those, and the 4h candles closed by then."""
    known = int(np.searchsorted(hours.time + H4, columns.time[n - 1] + M15, side="right"))
    return cut(columns, 0, n), cut(hours, 0, known)
