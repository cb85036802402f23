"""What the trade feed says of running candles. Closed candles are the charts' (REST): the feed has none, and what it lost it hides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from trader.domain.market import Candle, Timeframe
from trader.domain.money import ZERO, add

REMEMBERED = 20_000  # trades of which we know that we have seen them


@dataclass(slots=True)
class Running:
    """A candle as far as its trades came."""

    begin: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    count: int = 1


class TradeBoard:
    """Running candles of all subscribed pairs, each trade counted once."""

    def __init__(self, timeframe: Timeframe, now_us: int) -> None:
        self.timeframe = timeframe
        self.closed_us = timeframe.floor(now_us)  # everything before is closed
        self.since: dict[str, int] = {}  # pair -> open of its first wanted candle
        self._running: dict[str, Running] = {}
        self._heard: dict[int, dict[str, None]] = {}  # open of a candle -> pairs with a trade in it
        self._seen: dict[str, None] = {}

    def want(self, pairs: Iterable[str], now_us: int) -> list[str]:
        """Add pairs from the running candle on; those that are new."""
        fresh = [pair for pair in dict.fromkeys(pairs) if pair not in self.since]
        self.since.update(dict.fromkeys(fresh, max(self.timeframe.floor(now_us), self.closed_us)))
        return fresh

    def take(self, uid: str, pair: str, price: Decimal, quantity: Decimal, time_us: int) -> bool:
        """Count a trade; False for one that was counted before."""
        if uid in self._seen:
            return False
        self._seen[uid] = None
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        begin = self.timeframe.floor(time_us)
        self._heard.setdefault(begin, {})[pair] = None
        bar = self._running.get(pair)
        if bar is None or begin > bar.begin:
            self._running[pair] = Running(begin, price, price, price, price, quantity)
        elif begin == bar.begin:
            bar.high, bar.low, bar.close = max(bar.high, price), min(bar.low, price), price
            bar.volume, bar.count = add(bar.volume, quantity), bar.count + 1
        return True

    def close(self, end: int) -> tuple[Mapping[str, int], frozenset[str]]:
        """Intervals up to `end` have passed: pairs with the open of the first candle they are owed, and who traded in the last."""
        begin = end - self.timeframe.us
        owed = {pair: max(since, self.closed_us) for pair, since in self.since.items() if since <= begin}
        heard = frozenset(self._heard.get(begin, {}))
        self._heard = {key: pairs for key, pairs in self._heard.items() if key >= end}
        self.closed_us = end
        return owed, heard

    def forming(self, pair: str) -> Candle | None:
        """The newest running candle, or None before its first trade. Its volume lacks what was traded before we listened."""
        bar = self._running.get(pair)
        if bar is None:
            return None
        o, high, low, close = (float(price) for price in (bar.open, bar.high, bar.low, bar.close))
        return Candle(
            pair=pair, timeframe=self.timeframe, time_us=bar.begin, open=o, high=high, low=low, close=close, volume=float(bar.volume),
            count=bar.count, filled=bar.volume == ZERO,
        )  # fmt: skip
