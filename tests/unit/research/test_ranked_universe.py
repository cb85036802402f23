"""Universe membership over a backtest: ranked at full hours, serving the closes after them; a new pair at its first close."""

from __future__ import annotations

import numpy as np

from trader.domain.market import Timeframe
from trader.research.universe import RankedUniverse

M15, H1 = Timeframe.M15.us, Timeframe.H1.us
START = 24 * H1


class _Market:
    """What the ranking reads of a pair: when its bars begin, and its turnover, which changes at an hour."""

    def __init__(self, before: float, after: float, *, change_us: int, first_us: int = START - M15) -> None:
        self.bars = self
        self.time = np.array([first_us])
        self._before, self._after, self._change_us = before, after, change_us

    def quote_volume(self, close_us: int) -> float:
        return self._after if close_us >= self._change_us else self._before


def test_a_reading_serves_the_closes_after_its_hour() -> None:
    hour = START + H1
    turnover = {"A/EUR": (3.0, 1.0), "B/EUR": (2.0, 3.0), "C/EUR": (1.0, 2.0)}  # A falls from first to third, beyond the edge
    pairs = {pair: _Market(*both, change_us=hour - M15) for pair, both in turnover.items()}
    universe = RankedUniverse(pairs, 1, START)  # type: ignore[arg-type]
    asked = [START + M15, hour, hour + M15]
    assert [[pair for pair in pairs if universe.holds(pair, at)] for at in asked] == [["A/EUR"], ["A/EUR"], ["B/EUR"]]


def test_a_pair_is_ranked_once_it_has_a_bar_and_nobody_is_left_out_where_there_is_room() -> None:
    young = _Market(9.0, 9.0, change_us=0, first_us=START + M15)
    pairs = {"A/EUR": _Market(3.0, 3.0, change_us=0), "young/EUR": young}
    universe = RankedUniverse(pairs, 1, START)  # type: ignore[arg-type]
    assert universe.holds("A/EUR", START + M15) and not universe.holds("young/EUR", START + M15)
    assert universe.holds("young/EUR", START + 2 * M15)
    assert RankedUniverse(pairs, 2, START).holds("young/EUR", START + M15)  # type: ignore[arg-type]
