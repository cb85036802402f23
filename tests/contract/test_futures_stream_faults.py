"""Contract of `ports.MarketData` over a wire that fails, on the futures adapter over the twin."""

from __future__ import annotations

from itertools import pairwise

import pytest
from venue_kit import FUTURES, Bench, on_venue

from trader.domain.market import MINUTE, Timeframe
from trader.domain.messages import BarsClosed, FeedReset, Filled, OrderChanged, Tick
from trader.domain.orders import Acked, ExchangeStatus
from trader.simulation.faults import Fault
from trader.simulation.market import EPOCH_US

CHART = "futures:charts"


async def whole_candles(b: Bench, minutes: int) -> int:
    """Every candle of the first `minutes` came once, in order per pair, and equals the charts; how many were compared."""
    candles = [candle for bar in b.of(BarsClosed) for candle in bar.candles]
    for pair in b.pairs:
        own = [candle for candle in candles if candle.pair == pair]
        assert [candle.time_us for candle in own] == [EPOCH_US + n * MINUTE for n in range(minutes)]
        truth = {row.time_us: row for row in await b.market.history(pair, Timeframe.M1, EPOCH_US)}
        assert own == [truth[candle.time_us] for candle in own]
    return len(candles)


@pytest.mark.parametrize(("action", "arg"), [("ws_drop", None), ("ws_stall", 30.0)])
def test_a_lost_stream_of_trades_comes_back_without_losing_a_candle(action: str, arg: float | None) -> None:
    async def test(b: Bench) -> None:
        await b.market.watch_ticks(b.pairs)
        await b.listen()
        await b.clock.sleep(6 * 60 + 5)
        assert await whole_candles(b, 6) == 6 * len(b.pairs) >= 36
        assert len(b.of(FeedReset)) == 1
        assert b.fired != {}
        late = [tick.time_us for tick in b.of(Tick) if tick.time_us > EPOCH_US + 5 * MINUTE]
        assert len(late) >= 2 * len(b.pairs)

    on_venue(FUTURES, test, Fault(where="futures_ws:trade", action=action, nth=(9,), arg=arg))


@pytest.mark.parametrize("feed", ["fills", "open_orders"])
def test_own_news_of_a_break_of_the_private_stream_come_once_after_it(feed: str) -> None:
    async def test(b: Bench) -> None:
        await b.listen([b.kind.pair])
        fill = await b.bought()
        placed = await b.exchange.submit(await b.stop(fill.quantity, await b.far("0.9")))
        assert isinstance(placed, Acked)
        await b.clock.sleep(30)
        assert [event.fill for event in b.of(Filled)] == [fill]
        last = {event.order.txid: event.order.status for event in b.of(OrderChanged)}
        assert last[placed.txid] is ExchangeStatus.OPEN
        assert len(b.of(FeedReset)) == 1
        assert b.fired != {}

    on_venue(FUTURES, test, Fault(where=f"futures_ws:{feed}", action="ws_drop", nth=(1,)))


def test_fills_of_a_spoilt_frame_are_told_though_the_orders_beside_them_cannot_be_read() -> None:
    async def test(b: Bench) -> None:
        await b.listen([b.kind.pair])
        fill = await b.bought()
        await b.clock.sleep(30)
        assert [event.fill for event in b.of(Filled)] == [fill]
        assert b.fired["futures:openorders:http"] >= 2

    spoilt = Fault(where="futures_ws:fills", action="ws_garbage", arg="json", nth=(1,))
    on_venue(FUTURES, test, spoilt, Fault(where="futures:openorders", action="http", arg=503))


def test_an_order_that_ended_during_a_break_is_reported_ended() -> None:
    async def test(b: Bench) -> None:
        await b.listen([b.kind.pair])
        fill = await b.bought()
        placed = await b.exchange.submit(await b.stop(fill.quantity, await b.far("0.9")))
        assert isinstance(placed, Acked)
        await b.clock.sleep(0.5)
        assert await b.exchange.cancel(placed.txid) == Acked(txid=placed.txid)
        await b.clock.sleep(40)
        last = {event.order.txid: event.order.status for event in b.of(OrderChanged)}
        assert last[placed.txid] is ExchangeStatus.CANCELED
        assert b.fired != {}

    on_venue(FUTURES, test, Fault(where="futures_ws:open_orders", action="ws_drop", nth=(2,)))


@pytest.mark.parametrize("where", ["futures_ws:trade", "futures_ws:fills", "futures_ws:open_orders"])
def test_repeated_frames_are_told_once(where: str) -> None:
    async def test(b: Bench) -> None:
        await b.market.watch_ticks([b.kind.pair])
        await b.listen([b.kind.pair])
        fill = await b.bought()
        placed = await b.exchange.submit(await b.stop(fill.quantity, await b.far("0.9")))
        assert isinstance(placed, Acked)
        await b.clock.sleep(3 * 60)
        assert [event.fill.trade_id for event in b.of(Filled)] == [fill.trade_id]
        moments = [tick.time_us for tick in b.of(Tick)]
        assert len(moments) >= 8
        assert all(before < after for before, after in pairwise(moments))
        states = [event.order for event in b.of(OrderChanged)]
        assert all(before != after for before, after in pairwise(states))
        assert b.fired != {}

    on_venue(FUTURES, test, Fault(where=where, action="ws_duplicate"))


def test_charts_that_fail_for_a_while_are_late_not_lost() -> None:
    async def test(b: Bench) -> None:
        await b.listen()
        await b.clock.sleep(9 * 60 + 5)
        candles = [candle for bar in b.of(BarsClosed) for candle in bar.candles]
        for pair in b.pairs:
            times = [candle.time_us for candle in candles if candle.pair == pair]
            assert times == [EPOCH_US + n * MINUTE for n in range(len(times))]
        assert len(candles) >= 7 * len(b.pairs)
        assert b.fired != {}

    on_venue(FUTURES, test, Fault(where=CHART, action="http", nth=tuple(range(3, 23)), arg=503))


@pytest.mark.parametrize("where", ["futures_ws:challenge", "futures_ws:subscribe"])
def test_a_refused_subscription_is_tried_again(where: str) -> None:
    async def test(b: Bench) -> None:
        await b.listen([b.kind.pair])
        await b.clock.sleep(60)
        fill = await b.bought()
        await b.clock.sleep(5)
        assert [event.fill for event in b.of(Filled)] == [fill]
        assert b.fired != {}

    on_venue(FUTURES, test, Fault(where=where, action="error", nth=(1, 2, 3), arg="authentication failed"))


@pytest.mark.parametrize("action", ["ws_drop", "ws_stall"])
def test_a_position_is_never_lost_in_a_storm_of_breaks(action: str) -> None:
    """Twelve round trips while the private stream breaks at every third frame: each fill comes exactly once."""

    async def test(b: Bench) -> None:
        await b.listen([b.kind.pair])
        for number in range(12):
            entry = await b.entry(cl_ord_id=f"tabc{number:014d}")
            assert isinstance(await b.exchange.submit(entry), Acked)
            await b.clock.sleep(20)
        await b.clock.sleep(120)
        told = sorted(event.fill.trade_id for event in b.of(Filled))
        assert told == sorted(fill.trade_id for fill in await b.exchange.fills(0))
        assert len(told) == 12
        assert b.fired != {}

    on_venue(FUTURES, test, Fault(where="futures_ws:fills", action=action, nth=tuple(range(2, 60, 3)), arg=30.0))
