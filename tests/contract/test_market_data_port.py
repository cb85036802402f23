"""Contract of `ports.MarketData`: each promise runs on every implementation; what a wire can do is in test_market_data_faults.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from venue_kit import KINDS, SWITCHED, Bench, Kind, on_venue

from trader.domain.market import MINUTE, Candle, Timeframe
from trader.domain.messages import BarsClosed, FeedEvent, FeedReset, Filled, OrderChanged, Tick
from trader.domain.orders import Acked, ExchangeStatus
from trader.errors import RejectedError
from trader.simulation.market import EPOCH_US

Promise = Callable[[Bench], Awaitable[None]]
KIND = pytest.mark.parametrize("kind", (*KINDS, *SWITCHED), ids=lambda kind: kind.name)


async def history_is_closed_ascending_and_complete(b: Bench) -> None:
    await b.clock.sleep(90)
    for timeframe in (Timeframe.M1, Timeframe.M15, Timeframe.H4):
        rows = await b.market.history(b.kind.pair, timeframe)
        assert len(rows) >= 719
        assert rows[-1].close_us == timeframe.floor(b.clock.now_us())
        assert all(after.time_us - before.time_us == timeframe.us for before, after in pairwise(rows))
    since = EPOCH_US - 10 * MINUTE
    assert (await b.market.history(b.kind.pair, Timeframe.M1, since))[0].time_us == since
    with pytest.raises(RejectedError, match=b.kind.unlisted):
        await b.market.history(b.kind.unlisted, Timeframe.M1)


async def tickers_name_every_pair_and_the_book_is_uncrossed(b: Bench) -> None:
    tickers = await b.market.tickers()
    assert set(tickers) == set(b.pairs)
    assert tickers[b.kind.pair].quote_volume > 0
    assert tickers[b.kind.pair].bid < tickers[b.kind.pair].ask
    book = await b.market.book(b.kind.pair, 5)
    assert 0 < len(book.bids) <= 5
    assert book.bids[0][0] < book.asks[0][0]
    assert [level[0] for level in book.bids] == sorted((level[0] for level in book.bids), reverse=True)
    assert [level[0] for level in book.asks] == sorted(level[0] for level in book.asks)


async def candles_of_all_pairs_close_once_a_minute_and_equal_history(b: Bench) -> None:
    await b.listen()
    await b.clock.sleep(10 * 60 + 5)
    bars = b.of(BarsClosed)
    assert [bar.close_us for bar in bars] == [EPOCH_US + n * MINUTE for n in range(1, 11)]
    assert all([candle.pair for candle in bar.candles] == b.pairs for bar in bars)
    compared = 0
    for pair in b.pairs:
        history = {row.time_us: _prices(row) for row in await b.market.history(pair, Timeframe.M1, EPOCH_US)}
        for candle in [candle for bar in bars for candle in bar.candles if candle.pair == pair]:
            assert _prices(candle) == history[candle.time_us]
            compared += 1
    assert compared == 10 * len(b.pairs) >= 20
    assert b.of(FeedReset) == []


def _prices(candle: Candle) -> tuple[float, ...]:
    return candle.open, candle.high, candle.low, candle.close, candle.volume


async def only_watched_pairs_deliver_ticks(b: Bench) -> None:
    await b.listen()
    await b.clock.sleep(60)
    assert b.of(Tick) == []
    await b.market.watch_ticks(b.pairs[:2])
    await b.clock.sleep(60)
    assert {tick.pair for tick in b.of(Tick)} == set(b.pairs[:2])
    assert len(b.of(Tick)) == 8
    assert all(tick.price > 0 for tick in b.of(Tick))
    await b.market.watch_ticks([])
    await b.clock.sleep(60)
    assert len(b.of(Tick)) == 8


async def pairs_added_later_join_with_the_running_candle(b: Bench) -> None:
    first, second = b.kind.pair, b.kind.other
    await b.listen([])
    await b.clock.sleep(89)
    assert b.of(BarsClosed) == []
    await b.market.add_pairs([first])
    await b.clock.sleep(60)
    await b.market.add_pairs([second, first])
    await b.clock.sleep(60)
    assert [(bar.close_us - EPOCH_US, [c.pair for c in bar.candles]) for bar in b.of(BarsClosed)] == [
        (2 * MINUTE, [first]),
        (3 * MINUTE, [first, second]),
    ]
    forming = b.market.forming(first)
    assert forming is None or forming.time_us == Timeframe.M1.floor(b.clock.now_us())


async def an_unlisted_pair_stops_nobody(b: Bench) -> None:
    await b.listen([b.kind.unlisted, *b.pairs])
    await b.clock.sleep(2 * 60 + 5)
    assert [[c.pair for c in bar.candles] for bar in b.of(BarsClosed)] == [b.pairs] * 2


async def own_orders_and_fills_come_once_and_end_in_their_final_status(b: Bench) -> None:
    await b.listen([b.kind.pair])
    fill = await b.bought()
    placed = await b.exchange.submit(await b.stop(fill.quantity, await b.far("0.9")))
    assert isinstance(placed, Acked)
    await b.clock.sleep(2)
    await b.exchange.cancel(placed.txid)
    await b.clock.sleep(2)
    assert [event.fill for event in b.of(Filled)] == [fill]
    final = {event.order.txid: event.order for event in b.of(OrderChanged)}
    assert {txid: order.status for txid, order in final.items()} == {
        fill.txid: ExchangeStatus.CLOSED,
        placed.txid: ExchangeStatus.CANCELED,
    }
    for order in await b.exchange.orders([fill.txid, placed.txid]):
        seen = final[order.txid]
        assert (seen.cl_ord_id, seen.pair, seen.side, seen.filled) == (order.cl_ord_id, order.pair, order.side, order.filled)


async def a_stream_that_joins_late_is_told_the_live_orders(b: Bench) -> None:
    fill = await b.bought()
    placed = await b.exchange.submit(await b.stop(fill.quantity, await b.far("0.9")))
    assert isinstance(placed, Acked)
    await b.listen([b.kind.pair])
    await b.clock.sleep(2)
    assert [event.order.txid for event in b.of(OrderChanged) if event.order.status.live] == [placed.txid]
    assert [event.fill.trade_id for event in b.of(Filled)] == [fill.trade_id]


async def there_is_one_stream_at_a_time(b: Bench) -> None:
    await b.listen()
    with pytest.raises(RuntimeError, match="running already"):
        await anext(aiter(b.market.stream(b.pairs, Timeframe.M1)))


PROMISES: tuple[Promise, ...] = (
    history_is_closed_ascending_and_complete, tickers_name_every_pair_and_the_book_is_uncrossed,
    candles_of_all_pairs_close_once_a_minute_and_equal_history, only_watched_pairs_deliver_ticks,
    pairs_added_later_join_with_the_running_candle, an_unlisted_pair_stops_nobody,
    own_orders_and_fills_come_once_and_end_in_their_final_status, a_stream_that_joins_late_is_told_the_live_orders,
    there_is_one_stream_at_a_time,
)  # fmt: skip


@KIND
@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_every_implementation_keeps(promise: Promise, kind: Kind) -> None:
    on_venue(kind, promise)


# --- the suite can fail ----------------------------------------------------------------------------------------------------
class Broken:
    """An implementation with one fault of its own; everything else is the real one's."""

    def __init__(self, whole: Any) -> None:
        self.whole = whole

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)


class RepeatsEvents(Broken):
    async def stream(self, pairs: Sequence[str], timeframe: Timeframe) -> AsyncIterator[FeedEvent]:
        async for event in self.whole.stream(pairs, timeframe):
            yield event
            yield event


class LosesEveryThirdMinute(Broken):
    async def stream(self, pairs: Sequence[str], timeframe: Timeframe) -> AsyncIterator[FeedEvent]:
        async for event in self.whole.stream(pairs, timeframe):
            if not isinstance(event, BarsClosed) or event.close_us // MINUTE % 3:
                yield event


class ServesTheRunningBar(Broken):
    async def history(self, pair: str, timeframe: Timeframe, since_us: int | None = None) -> Sequence[Candle]:
        rows = list(await self.whole.history(pair, timeframe, since_us))
        running = rows[-1]
        return [*rows, Candle(**({f: getattr(running, f) for f in running.__slots__} | {"time_us": running.close_us}))]


@KIND
@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (RepeatsEvents, own_orders_and_fills_come_once_and_end_in_their_final_status),
        (RepeatsEvents, candles_of_all_pairs_close_once_a_minute_and_equal_history),
        (LosesEveryThirdMinute, candles_of_all_pairs_close_once_a_minute_and_equal_history),
        (ServesTheRunningBar, history_is_closed_ascending_and_complete),
    ],
    ids=lambda part: part.__name__,
)
def test_a_broken_implementation_breaks_its_promise(broken: type[Broken], promise: Promise, kind: Kind) -> None:
    async def run(b: Bench) -> None:
        b.market = broken(b.market)
        await promise(b)

    with pytest.raises(AssertionError):
        on_venue(kind, run)
