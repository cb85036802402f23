"""What a run over a shared account comes to by UTC day: net returns, what costs took, and its trades."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from trader.domain.market import DAY
from trader.research.board import M15, Board
from trader.research.kernel import Floats, Ints
from trader.research.portfolio import ENTERED, NET, PAID, PAIR, Books


@dataclass(frozen=True, slots=True, kw_only=True)
class Trades:
    """One row a position that was closed, wholly or in part, in the order of entry: day number of the entry, pair, net in quote,
    net over what it cost."""

    day: Ints
    pair: np.ndarray[Any, np.dtype[np.str_]]
    net: Floats
    gain: Floats

    def within(self, first: int, end: int) -> Trades:
        """Those entered on the days [first, end)."""
        chosen = (self.day >= first) & (self.day < end)
        return Trades(day=self.day[chosen], pair=self.pair[chosen], net=self.net[chosen], gain=self.gain[chosen])

    def by_pair(self) -> dict[str, float]:
        """Net of each pair that was traded."""
        return {pair: float(self.net[self.pair == pair].sum()) for pair in sorted(set(self.pair.tolist()))}

    def __len__(self) -> int:
        return len(self.net)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A strategy's daily record. `first_day`: number of the first whole UTC day; `returns` and `costs` (fees and slippage) are
    fractions of the equity at the end of the day before, shape (days,); `signals` that were judged."""

    name: str
    first_day: int
    returns: Floats
    costs: Floats
    trades: Trades
    signals: int

    @property
    def end_day(self) -> int:
        """The day after the last."""
        return self.first_day + len(self.returns)

    def days(self, first: int, end: int) -> slice:
        """Where the days [first, end) are."""
        return slice(first - self.first_day, end - self.first_day)


def run_of(name: str, books: Books, board: Board) -> Run:
    """Days whose closes are all on the grid; a first or last day that is only begun is left out."""
    closes = board.first_us + M15 * np.arange(len(books.equity), dtype=np.int64)
    day = (closes - 1) // DAY  # the close at 00:00 belongs to the day it ends
    last = np.flatnonzero(closes % DAY == 0)
    if len(last) < 2:
        return Run(name=name, first_day=int(day[0]), returns=np.zeros(0), costs=np.zeros(0), trades=_trades(books, board), signals=0)
    worth = books.equity[last]
    spent = np.concatenate(([0.0], np.cumsum(books.spent)))[last + 1]
    return Run(
        name=name, first_day=int(day[last[1]]), returns=worth[1:] / worth[:-1] - 1, costs=np.diff(spent) / worth[:-1],
        trades=_trades(books, board), signals=books.signals,
    )  # fmt: skip


def _trades(books: Books, board: Board) -> Trades:
    rows, first, place = np.unique(books.legs[:, ENTERED], return_index=True, return_inverse=True)
    net, paid = (np.bincount(place, weights=books.money[:, column], minlength=len(rows)).astype(np.float64) for column in (NET, PAID))
    order = np.argsort(board.time[rows], kind="stable")
    names = np.array(books.pairs, dtype=np.str_)
    return Trades(
        day=(board.time[rows] // DAY)[order], pair=names[books.legs[first, PAIR]][order], net=net[order],
        gain=np.divide(net, paid, out=np.zeros_like(net), where=paid > 0)[order],
    )  # fmt: skip
