"""15m candles of many pairs end to end, on one grid of closes: what every run over a shared account reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from trader.domain.market import Timeframe
from trader.errors import ConfigError
from trader.indicators.compiled import compiled
from trader.indicators.series import FILLED_BARS
from trader.ports import Columns
from trader.research.kernel import Floats, Ints
from trader.strategy.columns import Bars

M15 = Timeframe.M15.us
Rows = np.ndarray[Any, np.dtype[np.int32]]
KINDS = {name: np.dtype(np.float64) for name in Columns.__slots__} | {"time": np.dtype(np.int64), "filled": np.dtype(np.bool_)}


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
    newest: Rows


class BoardMaker:
    """Puts candles end to end, pair by pair in the order of their names, so that what they were read into may go.

    `room`: of how many rows at most; what is not filled takes no memory.
    """

    def __init__(self, room: int) -> None:
        self.pairs: list[str] = []
        self._ends = [0]
        self._columns = Columns(**{name: np.empty(room, kind) for name, kind in KINDS.items()})

    def add(self, pair: str, columns: Columns) -> Columns:
        """A pair's candles where they lie from now on. Raises ConfigError where they are none of 15m."""
        if len(columns.time) != len(columns.close) or len(columns) == 0 or (columns.time // M15 * M15 != columns.time).any():
            raise ConfigError(f"{pair}: a shared account needs 15m candles with open times on the 15m grid")
        begin, end = self._ends[-1], self._ends[-1] + len(columns)
        for name in KINDS:
            getattr(self._columns, name)[begin:end] = getattr(columns, name)
        self.pairs.append(pair)
        self._ends.append(end)
        return self._part(begin, end)

    def _part(self, begin: int, end: int) -> Columns:
        return Columns(**{name: getattr(self._columns, name)[begin:end] for name in KINDS})

    def board(self) -> Board:
        """What was put end to end. Raises ConfigError where nothing was."""
        if not self.pairs:
            raise ConfigError("no pair to run on")
        whole, begin = self._part(0, self._ends[-1]), np.array(self._ends, np.int64)
        first = int(whole.time[begin[:-1]].min()) + M15
        last = int(whole.time[begin[1:] - 1].max()) + M15
        turnover, newest = _over_time(begin, whole.time, whole.close, whole.volume, first, (last - first) // M15 + 1)
        return Board(
            first, begin, whole.time, whole.open, whole.high, whole.low, whole.close, whole.volume, turnover, newest
        )  # fmt: skip


def board_of(bars: Mapping[str, Bars]) -> tuple[tuple[str, ...], Board]:
    """The pairs by name and their board. Raises ConfigError where there is none, or candles lie off the 15m grid."""
    made = BoardMaker(sum(map(len, bars.values())))
    for pair in sorted(bars):
        made.add(pair, bars[pair].columns)
    return tuple(made.pairs), made.board()


@compiled
def _over_time(  # noqa: PLR0917 - compiled functions take positions
    begin: Ints, time: Ints, close: Floats, volume: Floats, first_us: int, count: int
) -> tuple[Floats, Rows]:
    """`turnover` and `newest` of a board with `count` closes from `first_us` on."""
    pairs = len(begin) - 1
    turnover, newest = np.empty(len(time)), np.empty((pairs, count), np.int32)
    for p in range(pairs):
        total, row = 0.0, begin[p]
        for k in range(begin[p], begin[p + 1]):
            total += volume[k] * close[k]
            turnover[k] = total
        for at in range(count):
            opens = first_us + (at - 1) * M15
            if row < begin[p + 1] and time[row] <= opens:
                row += 1
            newest[p, at] = row - 1 if row > begin[p] else -1
    return turnover, newest


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
def rank_at(board: Board, at: int, pairs: Ints, turnovers: Floats, ranks: Ints) -> None:
    """Ranks of these pairs by their turnover of the 96 bars that end at this close, 1 = largest, then by name; shape of the last two:
    (all pairs,)."""
    for p in range(len(turnovers)):
        row = board.newest[p, at]
        turnovers[p] = 0.0
        if row >= 0 and board.time[row] + M15 == board.first_us + at * M15:
            before = row - FILLED_BARS
            turnovers[p] = board.turnover[row] - (board.turnover[before] if before >= board.begin[p] else 0.0)
    for p in pairs:
        rank, mine = 1, turnovers[p]
        for q in range(len(turnovers)):
            rank += int((turnovers[q] > mine) | ((turnovers[q] == mine) & (q < p)))
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
