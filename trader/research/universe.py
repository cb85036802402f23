"""Universe membership over a backtest, ranked by the session's own rule from the candles of all pairs."""

from __future__ import annotations

from collections.abc import Mapping

from trader.domain.market import Timeframe
from trader.execution.scanner import Universe
from trader.research.markets import PairMarket

M15, H1 = Timeframe.M15.us, Timeframe.H1.us


class RankedUniverse:
    """Members at each close, asked for in time order. It starts empty: the first close ranks what there is.

    With no more pairs than places everybody is a member, and nothing is ranked.
    """

    def __init__(self, markets: Mapping[str, PairMarket], size: int, first_us: int) -> None:
        self._markets, self._next = markets, first_us + M15
        self._universe = Universe(size)
        self._all = len(markets) <= size
        self._begins = sorted((int(market.bars.time[0]) + M15, pair) for pair, market in markets.items())
        self._begun: list[str] = []

    def holds(self, pair: str, close_us: int) -> bool:
        """Whether a pair may be entered on the close at `close_us`."""
        if not self._all:
            self._advance(close_us)
        return self._all or pair in self._universe

    def _advance(self, close_us: int) -> None:
        for now_us in range(self._next, close_us + M15, M15):
            while self._begins and self._begins[0][0] <= now_us:
                self._begun.append(self._begins.pop(0)[1])
            if self._universe.lacks(self._begun):
                self._rank(now_us)
            if now_us < close_us and now_us % H1 == 0:
                self._rank(now_us)
        self._next = close_us

    def _rank(self, now_us: int) -> None:
        self._universe.rank({pair: self._markets[pair].quote_volume(now_us) for pair in self._begun})
