"""Contract of `ports.MarketData` over a wire that fails, run on the spot adapter over the twin."""

from __future__ import annotations

from itertools import pairwise

import pytest
from kraken_kit import PAIR, World, on_twin

from trader.domain.market import MINUTE, Timeframe
from trader.domain.messages import BarsClosed, FeedReset, Filled, PairStatus
from trader.domain.orders import Acked
from trader.simulation.faults import Fault
from trader.simulation.market import EPOCH_US


def test_history_of_a_spoilt_answer_comes_as_served_so_that_the_gate_can_refuse_it() -> None:
    async def test(w: World) -> None:
        rows = await w.market.history(PAIR, Timeframe.M1)
        assert len(rows) > 700
        assert sum(a.time_us >= b.time_us for a, b in pairwise(rows)) == 1

    on_twin(test, Fault(where="OHLC", action="non_monotonic"))


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


def test_a_pair_that_changes_its_mode_is_told_also_where_it_did_so_while_the_stream_was_down() -> None:
    async def test(w: World) -> None:
        pairs = list(w.twin.market.pairs)
        w.listen([PAIR])
        await w.clock.sleep(1)
        assert {(event.pair, event.status) for event in w.of(PairStatus)} == {(pair, "online") for pair in pairs}
        told = len(w.of(PairStatus))
        for status in ("limit_only", "reduce_only"):
            w.twin.exchange.set_pair_status(PAIR, status)
            await w.twin.hub.flush()
            await w.clock.sleep(1)
        w.twin.hub.disconnect(private_only=False)
        w.twin.exchange.set_pair_status(PAIR, "online")
        await w.clock.sleep(20)
        changes = [(event.pair, event.status) for event in w.of(PairStatus)[told:]]
        assert changes[:2] == [(PAIR, "limit_only"), (PAIR, "reduce_only")]
        assert sorted(changes[2:]) == [(pair, "online") for pair in sorted(pairs)], "all, as rules read meanwhile may say otherwise"

    on_twin(test)


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
