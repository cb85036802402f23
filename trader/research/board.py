"""15m candles of many pairs end to end, on one grid of closes: what every run over a shared account reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from trader.domain.market import Timeframe
from trader.errors import ConfigError
from trader.indicators.compiled import compiled
from trader.indicators.series import FILLED_BARS
from trader.research.kernel import Floats, Ints
from trader.strategy.columns import Bars

M15 = Timeframe.M15.us


class Board(NamedTuple):
    """15m candles of all pairs, end to end, and where each pair's are.

    `begin`: first row of each pair, shape (pairs + 1,); `turnover`: running sum of volume x close within the pair; `newest`: row of
    each pair's newest candle at each close of the grid, shape (pairs, bars), -1 before its first; `first_us`: first close.
    """

    first_us: int
    begin: Ints
    time: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    turnover: Floats
    newest: np.ndarray[Any, np.dtype[np.int32]]


def board_of(bars: Mapping[str, Bars]) -> tuple[tuple[str, ...], Board]:
    """The pairs by name and their board. Raises ConfigError where there is none, or candles lie off the 15m grid."""
    pairs = tuple(sorted(bars))
    if not pairs:
        raise ConfigError("no pair to run on")
    for pair in pairs:
        if len(bars[pair].time) != len(bars[pair]) or len(bars[pair]) == 0 or (bars[pair].time % M15).any():
            raise ConfigError(f"{pair}: a shared account needs 15m candles with open times on the 15m grid")
    first = min(int(bars[pair].time[0]) for pair in pairs) + M15
    last = max(int(bars[pair].time[-1]) for pair in pairs) + M15
    begin = np.concatenate(([0], np.cumsum([len(bars[pair]) for pair in pairs]))).astype(np.int64)
    opens = np.arange(first - M15, last, M15)
    newest = np.empty((len(pairs), len(opens)), np.int32)
    for k, pair in enumerate(pairs):
        places = np.searchsorted(bars[pair].time, opens, side="right") - 1
        newest[k] = np.where(places < 0, -1, places + begin[k])
    turnover = np.empty(begin[-1])
    for k, pair in enumerate(pairs):
        np.cumsum(bars[pair].volume * bars[pair].close, out=turnover[begin[k] : begin[k + 1]])

    def flat(name: str) -> Any:
        return _joined([getattr(bars[pair], name) for pair in pairs])

    return pairs, Board(
        first, begin, flat("time"), flat("open"), flat("high"), flat("low"), flat("close"), flat("volume"), turnover, newest
    )  # fmt: skip


def _joined(pieces: Sequence[Any]) -> Any:
    """The pieces end to end: the part of an array that they follow each other in, as the history store reads them, else a copy."""
    whole = pieces[0].base
    if not isinstance(whole, np.ndarray) or any(one.base is not whole or one.strides != whole.strides for one in pieces):
        return np.concatenate(pieces)
    places = [one.__array_interface__["data"][0] for one in (whole, *pieces)]
    follows = all(at + one.nbytes == after for at, one, after in zip(places[1:], pieces, places[2:], strict=False))
    first = (places[1] - places[0]) // whole.itemsize
    return whole[first : first + sum(map(len, pieces))] if follows else np.concatenate(pieces)


def changes(bars: Bars | None, first_us: int, count: int) -> Floats:
    """The reference's close over that of 96 bars before, less 1, at each close of the grid; NaN where a candle is missing."""
    found = np.full(count, np.nan)
    if bars is None or len(bars) <= FILLED_BARS:
        return found
    now, then = bars.time[FILLED_BARS:], bars.time[:-FILLED_BARS]
    whole = now - then == FILLED_BARS * M15
    places = (now + M15 - first_us) // M15
    found[places[whole]] = (bars.close[FILLED_BARS:] / bars.close[:-FILLED_BARS] - 1)[whole]
    return found


@compiled
def ranks_at(board: Board, at: int, close_us: int, turnovers: Floats, ranks: Ints) -> None:
    """Rank of each pair by its turnover of the 96 bars that end at this close, 1 = largest, then by name; shape (pairs,)."""
    count = len(turnovers)
    for p in range(count):
        row = board.newest[p, at]
        turnovers[p] = 0.0
        if row >= 0 and board.time[row] + M15 == close_us:
            before = row - FILLED_BARS
            turnovers[p] = board.turnover[row] - (board.turnover[before] if before >= board.begin[p] else 0.0)
    for p in range(count):
        rank = 1
        for q in range(count):
            if turnovers[q] > turnovers[p] or (turnovers[q] == turnovers[p] and q < p):
                rank += 1
        ranks[p] = rank


@compiled
def median_turnover(board: Board, pair: int, row: int) -> float:
    """Median of volume x close over the 96 bars that end at a row; 0 before there are as many."""
    first = row + 1 - FILLED_BARS
    if first < board.begin[pair]:
        return 0.0
    part = np.sort(board.volume[first : row + 1] * board.close[first : row + 1])
    median: float = 0.5 * (part[FILLED_BARS // 2 - 1] + part[FILLED_BARS // 2])
    return median
