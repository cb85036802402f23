"""Hostile frames and answers on one pair: each is refused alone under a counted reason, and candles, fills and the rest go on."""

from __future__ import annotations

import itertools
from dataclasses import replace
from decimal import Decimal

import pytest

from tests.kraken_kit import PAIR, World, on_twin
from trader.domain.market import MINUTE, Candle, Timeframe
from trader.domain.messages import BarsClosed, Filled, OrderChanged, Tick
from trader.domain.orders import Acked, Rejected
from trader.errors import RetryableError
from trader.simulation.fault_args import GARBAGE
from trader.simulation.faults import Fault

MINUTES, PAIRS = 6, 5


def candles(w: World) -> dict[str, list[Candle]]:
    """What the stream delivered, by pair."""
    found: dict[str, list[Candle]] = {}
    for event in w.of(BarsClosed):
        for candle in event.candles:
            found.setdefault(candle.pair, []).append(candle)
    return found


def differences(w: World, found: dict[str, list[Candle]]) -> tuple[int, list[str]]:
    """(candles compared with the market's truth, what differs)."""
    compared, wrong = 0, []
    for pair, rows in found.items():
        for before, after in itertools.pairwise(rows):
            if after.time_us != before.time_us + MINUTE:
                wrong.append(f"{pair}: {after.time_us} after {before.time_us}")
        truth = w.twin.market.candles(pair, Timeframe.M1, rows[0].time_us, rows[-1].close_us)
        for row, *values in zip(rows, *(c.tolist() for c in (truth.open, truth.high, truth.low, truth.close, truth.volume)), strict=True):
            compared += 1
            if [row.open, row.high, row.low, row.close, row.volume] != pytest.approx(values, rel=1e-6, abs=1e-6):
                wrong.append(f"{pair}: {row} is not {values}")
    return compared, wrong


def test_candles_of_a_calm_stream_equal_the_market() -> None:
    async def test(w: World) -> None:
        w.listen(list(w.twin.market.pairs))
        await w.clock.sleep(MINUTES * 60 + 5)
        compared, wrong = differences(w, candles(w))
        assert (compared, wrong) == (PAIRS * MINUTES, [])
        found = candles(w)
        found[PAIR][2] = replace(found[PAIR][2], close=found[PAIR][2].close + 1)  # the comparison itself can fail
        assert len(differences(w, found)[1]) == 1

    on_twin(test, pairs=PAIRS)


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_instead_of_one_pairs_candles(kind: str) -> None:
    fault = Fault(where="ohlc", action="ws_garbage", arg=kind, match={"pair": PAIR})

    async def test(w: World) -> None:
        w.listen(list(w.twin.market.pairs))
        await w.clock.sleep(MINUTES * 60 + 5)
        found = candles(w)
        compared, wrong = differences(w, found)
        assert wrong == []
        others = {pair: len(rows) for pair, rows in found.items() if pair != PAIR}
        assert others == dict.fromkeys([pair for pair in w.twin.market.pairs if pair != PAIR], MINUTES)
        assert compared >= (PAIRS - 1) * MINUTES
        assert w.twin.plan.fired["ohlc:ws_garbage"] >= MINUTES - 1
        reasons = {
            reason: count
            for reason, count in w.market.counts.items()
            if "malformed" in reason or "unknown" in reason or "reconnects" in reason
        }
        assert sum(reasons.values()) >= MINUTES - 2, dict(w.market.counts)

    on_twin(test, fault, pairs=PAIRS)


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_instead_of_an_execution_costs_no_fill_and_doubles_none(kind: str) -> None:
    fault = Fault(where="executions", action="ws_garbage", arg=kind, nth=(2, 3, 5, 8))

    async def test(w: World) -> None:
        w.listen(list(w.twin.market.pairs))
        await w.clock.sleep(2)
        for number in range(4):
            assert isinstance(await w.exchange.submit(await w.entry(cl_ord_id=f"tabc{number:014d}", quantity=Decimal("0.001"))), Acked)
            await w.clock.sleep(10)
        await w.clock.sleep(90)
        told = [event.fill.trade_id for event in w.of(Filled)]
        assert sorted(told) == sorted(w.twin.exchange.state.trades)
        assert len(told) == 4
        assert {event.fill.pair for event in w.of(Filled)} == {event.order.pair for event in w.of(OrderChanged)} == {PAIR}
        last = {event.order.txid: event.order.status for event in w.of(OrderChanged)}
        assert {order.txid: order.status for order in await w.exchange.orders(list(w.twin.exchange.state.orders))} == last
        assert w.twin.plan.fired["executions:ws_garbage"] == 4
        counted = {reason: count for reason, count in w.market.counts.items() if count}
        assert any("execution" in reason or "malformed" in reason or "reconnects" in reason for reason in counts_of(counted)), counted
        compared, wrong = differences(w, candles(w))
        assert (compared >= PAIRS, wrong) == (True, [])

    on_twin(test, fault, pairs=PAIRS)


def counts_of(counts: dict[str, int]) -> list[str]:
    """Reasons that were counted."""
    return [reason for reason, count in counts.items() if count > 0]


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_instead_of_ticks_leaves_the_other_pairs_ticks_alone(kind: str) -> None:
    fault = Fault(where="trade", action="ws_garbage", arg=kind, match={"pair": PAIR}, nth=(2, 6) if kind == "huge" else ())

    async def test(w: World) -> None:
        other = next(pair for pair in w.twin.market.pairs if pair != PAIR)
        w.listen(list(w.twin.market.pairs))
        await w.clock.sleep(1)
        await w.market.watch_ticks([PAIR, other])
        await w.clock.sleep(185)
        ticks = [event for event in w.of(Tick) if event.pair == other]
        assert len(ticks) >= (8 if kind == "huge" else 11)  # four a minute; a frame too big for the client costs a reconnect
        assert all(event.price.is_finite() and event.price > 0 for event in w.of(Tick))
        assert {event.pair for event in w.of(Tick)} <= {PAIR, other}
        assert differences(w, candles(w))[1] == []

    on_twin(test, fault, pairs=PAIRS)


def test_a_row_that_cannot_be_read_costs_its_own_pair_only() -> None:
    async def test(w: World) -> None:
        everything, intent = set(await w.market.tickers()), await w.entry()
        w.twin.inject(Fault(where="Ticker", action="drop_field", arg="result.XXBTZEUR.a"))
        assert set(await w.market.tickers()) == everything - {PAIR}
        assert w.market.counts == {"malformed ticker": 1}
        await w.twin.clear_faults()
        w.twin.inject(Fault(where="AssetPairs", action="drop_field", arg="result.XXBTZEUR.lot_decimals"))
        assert set(await w.exchange.instruments()) == everything - {PAIR}
        refused = await w.exchange.submit(intent)
        assert (isinstance(refused, Rejected), getattr(refused, "kind", "")) == (True, "pair")
        await w.twin.clear_faults()
        w.twin.inject(Fault(where="OHLC", action="rename", arg={"from": "result.XXBTZEUR", "to": "NIX"}))
        with pytest.raises(RetryableError):
            await w.market.history(PAIR, Timeframe.M1)
        other = next(pair for pair in w.twin.market.pairs if pair != PAIR)
        assert len(await w.market.history(other, Timeframe.M1)) > 100

    on_twin(test, pairs=PAIRS)
