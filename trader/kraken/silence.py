"""Pairs of which no update told in a minute: did nobody trade, or did frames get lost?

The ohlc channel is silent in both cases and public frames carry no sequence. So a candle no update told of is proved before
it goes out: few of them by their OHLC rows, many by one Ticker call for all pairs (the day's count of trades is that of the
last answer, the last price is the close), the rest by OHLC. A new connection asks Ticker before it subscribes, so that what
its snapshots show is measured from before. What remains: a lone lost trade at an unchanged price in the seconds between a
close and its Ticker answer.
"""

from __future__ import annotations

import asyncio
import logging
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
PATIENCE_S = 10.0  # I/O time for the Ticker call
STALE_AFTER = 2  # lost minutes in a row, while others flow, after which a symbol is subscribed anew
REST_AFTER = 5  # minutes before it is subscribed anew once more
log = logging.getLogger(__name__)
Sample = tuple[Decimal, str]  # last price; trades of the day as Kraken counts them


class QuietProof:
    """Finds the quiet candles that a frame may be missing from."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._seen: dict[str, Sample] = {}

    async def doubtful(self, candles: Sequence[Candle]) -> list[Candle]:
        """Those of these quiet candles whose OHLC row must be read."""
        if len(candles) <= min(AT_MOST, self._rest.limiter.public_room(ROOM_S)):
            return list(candles)
        before = self._seen
        await self.refresh()
        return [candle for candle in candles if not _unchanged(candle, before.get(candle.pair), self._seen.get(candle.pair))]

    async def refresh(self) -> None:
        """Ask what has traded so far; an answer that cannot be had in time proves nothing."""
        self._seen = {}
        try:
            async with asyncio.timeout(PATIENCE_S):
                self._seen = await self._samples()
        except (TimeoutError, RetryableError, RejectedError) as error:
            log.warning("no Ticker to prove quiet minutes with: %s", error or "late")

    async def _samples(self) -> dict[str, Sample]:
        names = await self._rest.named()

        def read(result: Any) -> dict[str, Sample]:
            rows: Mapping[str, Any] = translate.mapping(result, "Ticker")
            return {names.pair(key): (translate.decimal(row["c"][0], "c"), str(row["t"][0])) for key, row in rows.items()}

        return await self._rest.public("Ticker", read=read)


def _unchanged(candle: Candle, before: Sample | None, now: Sample | None) -> bool:
    """Nobody traded: the day's count of trades is that of the last answer, and the last price is the candle's close."""
    return before is not None and now is not None and before[1] == now[1] and now[0] == Decimal(repr(candle.close))


def contradicted(doubtful: Sequence[Candle], delivered: Sequence[Candle]) -> list[str]:
    """Pairs of which REST tells other trades than the stream made of its silence."""
    volumes = {(candle.pair, candle.time_us): candle.volume for candle in doubtful}
    return [candle.pair for candle in delivered if volumes.get((candle.pair, candle.time_us), candle.volume) != candle.volume]


class Staleness:
    """Which symbols have gone silent while they trade."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self._lost: Counter[str] = Counter()

    def judge(self, lost: Sequence[str], heard: Sequence[str]) -> list[str]:
        """Symbols to subscribe anew. `lost`: pairs that traded though no frame told of it; `heard`: pairs that frames told of."""
        for pair in heard:
            self._lost.pop(pair, None)
        self._counts["candle without a frame"] += len(lost)
        self._lost.update(lost)
        return [pair for pair in lost if self._lost[pair] >= STALE_AFTER and (self._lost[pair] - STALE_AFTER) % REST_AFTER == 0]
