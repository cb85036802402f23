"""History without a store: the past of a simulated market handed to a session at once, for replays that keep nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trader.bootstrap.ingestion import lookbacks
from trader.config import Settings
from trader.domain.market import Candle, Timeframe
from trader.ports import Clock, Columns, PairGate
from trader.simulation.market import Market


def closed(market: Market, pair: str, timeframe: Timeframe, periods: int, now_us: int) -> Columns:
    """The newest `periods` closed candles of a pair."""
    end = timeframe.floor(now_us)
    return market.candles(pair, timeframe, end - periods * timeframe.us, end)


def left_out(market: Market, settings: Settings, *, short: bool, start_us: int, end_us: int) -> dict[str, str]:
    """Pairs that cannot take part from `start_us` to `end_us`, each with its reason: too young, or gone before the end."""
    found: dict[str, str] = {}
    for pair in market.pairs:
        for timeframe, wanted in lookbacks(settings, short=short).items():
            if (seen := len(closed(market, pair, timeframe, wanted, start_us))) < wanted:
                found.setdefault(pair, f"too few {timeframe} candles: {seen} of {wanted}")
        if not len(market.candles(pair, market.base, end_us - market.base.us, end_us)):
            found.setdefault(pair, "its candles end before the range does")
    return found


class MarketHistory:
    """`ports.HistoryLink` over a market. `pairs`: those that may be judged; the others are absent, which means not ready."""

    def __init__(self, market: Market, clock: Clock, pairs: Sequence[str]) -> None:
        self._market, self._clock, self._pairs = market, clock, tuple(pairs)

    async def gates(self) -> Mapping[str, PairGate]:
        return {pair: PairGate(pair=pair) for pair in self._pairs}

    async def warm(self, pairs: Sequence[str], timeframe: Timeframe, periods: int) -> Mapping[str, Columns]:
        return {pair: closed(self._market, pair, timeframe, periods, self._clock.now_us()) for pair in pairs}

    async def append(self, candles: Sequence[Candle]) -> Sequence[PairGate]:
        """The market knows its own candles."""
        return ()

    async def close(self) -> None:
        """Nothing to close."""
