"""Pairs of which no frame told in a minute: did nobody trade, or did frames get lost?

The ohlc channel is silent in both cases and public frames carry no sequence. So a quiet candle is proved before it goes out:
few of them by their OHLC rows, many by one Ticker call for all pairs (last price and trades of the day unchanged), the rest
by OHLC. What remains: a lone lost trade at an unchanged price in the seconds between the close and its Ticker answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from trader.domain.market import Candle
from trader.errors import RejectedError, RetryableError
from trader.kraken import translate
from trader.kraken.rest import Rest

ROOM_S = 2.0  # quiet candles are proved one by one where the public limit lets that many calls through in this time
AT_MOST = 8  # and never more than this many
STALE_AFTER = 2  # lost minutes in a row, while others flow, after which a symbol is subscribed anew
REST_AFTER = 5  # minutes before it is subscribed anew once more
Sample = tuple[Decimal, str]  # last price; trades of the day as Kraken counts them


class QuietProof:
    """Finds the quiet candles that a frame may be missing from."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._seen: dict[str, Sample] = {}

    async def doubtful(self, candles: Sequence[Candle]) -> list[str]:
        """Pairs of these quiet candles whose OHLC row must be read."""
        if len(candles) <= min(AT_MOST, self._rest.limiter.public_room(ROOM_S)):
            return [candle.pair for candle in candles]
        try:
            now = await self._samples()
        except (RetryableError, RejectedError):
            return [candle.pair for candle in candles]
        seen, self._seen = self._seen, now
        return [candle.pair for candle in candles if not _unchanged(candle, seen.get(candle.pair), now.get(candle.pair))]

    async def _samples(self) -> dict[str, Sample]:
        names = await self._rest.named()

        def read(result: Any) -> dict[str, Sample]:
            rows: Mapping[str, Any] = translate.mapping(result, "Ticker")
            return {names.pair(key): (translate.decimal(row["c"][0], "c"), str(row["t"][0])) for key, row in rows.items()}

        return await self._rest.public("Ticker", read=read)


def _unchanged(candle: Candle, before: Sample | None, now: Sample | None) -> bool:
    """Nobody traded: the same count of trades as a minute ago, and the last price is the close that the candle repeats."""
    return before is not None and now is not None and before[1] == now[1] and now[0] == Decimal(repr(candle.close))


class Staleness:
    """Which symbols have gone silent while they trade."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self._lost: Counter[str] = Counter()

    def judge(self, doubtful: Sequence[str], delivered: Sequence[Candle], heard: Sequence[str]) -> list[str]:
        """Symbols to subscribe anew. `doubtful`: quiet on the stream; `delivered`: what REST said of them; `heard`: not quiet."""
        for pair in heard:
            self._lost.pop(pair, None)
        lost = [candle.pair for candle in delivered if candle.pair in doubtful and not candle.filled]
        self._counts["candle without a frame"] += len(lost)
        self._lost.update(lost)
        return [pair for pair in lost if self._lost[pair] >= STALE_AFTER and (self._lost[pair] - STALE_AFTER) % REST_AFTER == 0]
