"""Contract of `ports.MarketData`, run on the Kraken adapter over the twin."""

from __future__ import annotations

from itertools import pairwise

import pytest
from kraken_kit import PAIR, World, on_twin

from trader.domain.market import MINUTE, Timeframe
from trader.domain.messages import BarsClosed, FeedReset, Filled, Tick
from trader.domain.orders import Acked
from trader.errors import RejectedError
from trader.simulation.faults import Fault
from trader.simulation.market import EPOCH_US


def test_history_is_closed_ascending_and_complete() -> None:
    async def test(w: World) -> None:
        await w.clock.sleep(90)
        for timeframe in (Timeframe.M1, Timeframe.M15, Timeframe.H4):
            rows = await w.market.history(PAIR, timeframe)
            assert len(rows) >= 719
            assert rows[-1].close_us == timeframe.floor(w.clock.now_us())
            assert all(b.time_us - a.time_us == timeframe.us for a, b in pairwise(rows))
        since = EPOCH_US - 10 * MINUTE
        assert (await w.market.history(PAIR, Timeframe.M1, since))[0].time_us == since
        with pytest.raises(RejectedError, match="NIX/EUR"):
            await w.market.history("NIX/EUR", Timeframe.M1)

    on_twin(test)


def test_history_of_a_spoilt_answer_comes_as_served_so_that_the_gate_can_refuse_it() -> None:
    async def test(w: World) -> None:
        rows = await w.market.history(PAIR, Timeframe.M1)
        assert len(rows) > 700
        assert sum(a.time_us >= b.time_us for a, b in pairwise(rows)) == 1

    on_twin(test, Fault(where="OHLC", action="non_monotonic"))


def test_tickers_come_in_one_call_and_the_book_is_uncrossed() -> None:
    async def test(w: World) -> None:
        tickers = await w.market.tickers()
        assert set(tickers) == set(w.twin.market.pairs)
        assert w.twin.middleware.counters["Ticker"] == 1
        assert tickers[PAIR].quote_volume > 0
        book = await w.market.book(PAIR, 5)
        assert len(book.bids) > 0
        assert book.bids[0][0] < book.asks[0][0]
        assert [level[0] for level in book.bids] == sorted((level[0] for level in book.bids), reverse=True)

    on_twin(test)


def test_candles_of_all_pairs_close_once_a_minute_and_equal_history() -> None:
    async def test(w: World) -> None:
        pairs = list(w.twin.market.pairs)
        w.listen(pairs)
        await w.clock.sleep(10 * 60 + 5)
        bars = w.of(BarsClosed)
        assert [bar.close_us for bar in bars] == [EPOCH_US + n * MINUTE for n in range(1, 11)]
        assert all([candle.pair for candle in bar.candles] == pairs for bar in bars)
        history = {row.time_us: row for row in await w.market.history(PAIR, Timeframe.M1, EPOCH_US)}
        for bar in bars:
            candle = bar.candles[0]
            row = history[candle.time_us]
            assert (candle.open, candle.high, candle.low, candle.close, candle.volume) == (
                row.open,
                row.high,
                row.low,
                row.close,
                row.volume,
            )
        assert w.of(FeedReset) == []

    on_twin(test)


def test_only_watched_pairs_deliver_ticks() -> None:
    async def test(w: World) -> None:
        pairs = list(w.twin.market.pairs)
        w.listen(pairs)
        await w.clock.sleep(61)
        assert w.of(Tick) == []
        await w.market.watch_ticks(pairs[:2])
        await w.clock.sleep(60)
        assert {tick.pair for tick in w.of(Tick)} == set(pairs[:2])
        assert len(w.of(Tick)) == 8
        await w.market.watch_ticks([])
        await w.clock.sleep(60)
        assert len(w.of(Tick)) == 8

    on_twin(test)


def test_pairs_added_later_join_with_the_running_candle() -> None:
    async def test(w: World) -> None:
        w.listen([])
        await w.clock.sleep(90)
        assert w.of(BarsClosed) == []
        await w.market.add_pairs(["BTC/EUR"])
        await w.clock.sleep(60)
        await w.market.add_pairs(["ETH/EUR", "BTC/EUR"])
        await w.clock.sleep(60)
        assert [(bar.close_us - EPOCH_US, [c.pair for c in bar.candles]) for bar in w.of(BarsClosed)] == [
            (2 * MINUTE, ["BTC/EUR"]),
            (3 * MINUTE, ["BTC/EUR", "ETH/EUR"]),
        ]
        forming = w.market.forming("BTC/EUR")
        assert forming is None or forming.time_us == Timeframe.M1.floor(w.clock.now_us())

    on_twin(test)


@pytest.mark.parametrize(("action", "arg"), [("ws_drop", None), ("ws_stall", 30.0)])
def test_a_lost_stream_comes_back_without_losing_candles_or_fills(action: str, arg: float | None) -> None:
    fault = Fault(where="ohlc", action=action, nth=(6,), arg=arg)

    async def test(w: World) -> None:
        pairs = list(w.twin.market.pairs)
        w.listen(pairs)
        await w.clock.sleep(5 * 60 + 5)
        bars = w.of(BarsClosed)
        assert [bar.close_us for bar in bars] == [EPOCH_US + n * MINUTE for n in range(1, 6)]
        history = {row.time_us: row.close for row in await w.market.history(PAIR, Timeframe.M1, EPOCH_US)}
        for bar in bars:
            assert sorted(candle.pair for candle in bar.candles) == sorted(pairs)
            assert [candle.close for candle in bar.candles if candle.pair == PAIR] == [history[bar.close_us - MINUTE]]
        assert len(w.of(FeedReset)) == 1
        assert w.twin.plan.fired != {}

    on_twin(test, fault)


def test_a_fill_during_a_break_of_the_private_stream_is_delivered_once_after_it() -> None:
    fault = Fault(where="executions", action="ws_drop", nth=(1,))

    async def test(w: World) -> None:
        w.listen([PAIR])
        await w.clock.sleep(1)
        assert isinstance(await w.exchange.submit(await w.entry()), Acked)
        await w.clock.sleep(20)
        assert [event.fill for event in w.of(Filled)] == list(await w.exchange.fills(0))
        assert len(w.of(Filled)) == 1
        assert len(w.of(FeedReset)) == 1

    on_twin(test, fault)


def test_duplicated_executions_are_delivered_once() -> None:
    async def test(w: World) -> None:
        w.listen([PAIR])
        await w.clock.sleep(1)
        assert isinstance(await w.exchange.submit(await w.entry()), Acked)
        await w.clock.sleep(2)
        assert len(w.of(Filled)) == 1
        assert w.twin.plan.fired != {}
        assert w.of(FeedReset) == []

    on_twin(test, Fault(where="executions", action="ws_duplicate"))


def test_a_refused_pair_is_fetched_by_rest_and_stops_nobody() -> None:
    async def test(w: World) -> None:
        w.listen(["NIX/EUR", *w.twin.market.pairs])
        await w.clock.sleep(2 * 60 + 5)
        assert dict(w.market.refused) == {"NIX/EUR": "Currency pair not supported NIX/EUR"}
        assert [[c.pair for c in bar.candles] for bar in w.of(BarsClosed)] == [list(w.twin.market.pairs)] * 2

    on_twin(test)


def test_spoilt_frames_are_replaced_by_rest() -> None:
    async def test(w: World) -> None:
        w.listen(list(w.twin.market.pairs))
        await w.clock.sleep(2 * 60 + 5)
        history = {row.time_us: row.low for row in await w.market.history(PAIR, Timeframe.M1, EPOCH_US)}
        lows = {c.time_us: c.low for bar in w.of(BarsClosed) for c in bar.candles if c.pair == PAIR}
        assert len(lows) == 2
        assert lows == {time_us: history[time_us] for time_us in lows}
        assert w.twin.plan.fired != {}

    on_twin(test, Fault(where="ohlc", action="nan", match={"pair": PAIR}))


def test_without_a_key_there_is_public_data_only() -> None:
    async def test(w: World) -> None:
        w.listen([PAIR])
        await w.clock.sleep(2 * 60 + 5)
        assert len(w.of(BarsClosed)) == 2
        assert "GetWebSocketsToken" not in w.twin.middleware.counters

    on_twin(test, key=False)


def test_one_stream_at_a_time() -> None:
    async def test(w: World) -> None:
        w.listen([PAIR])
        await w.clock.sleep(1)
        with pytest.raises(RuntimeError, match="running already"):
            await anext(aiter(w.market.stream([PAIR], Timeframe.M1)))

    on_twin(test)
