"""Futures feeds: recorded frames, each fill once, orders that never rest, running candles, holes in charts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from trader.domain.market import MINUTE, Candle, Timeframe
from trader.domain.messages import FeedEvent, Filled, OrderChanged
from trader.domain.orders import ExchangeStatus, Fill, RemoteOrder, Side
from trader.kraken.futures_board import TradeBoard
from trader.kraken.futures_feed import without_holes
from trader.kraken.futures_names import pair_of
from trader.kraken.futures_own import OwnReader

NOW = 1_767_571_200_000_000
PAIR = "BTC/USD:USD"


def name(symbol: str) -> str:
    return pair_of(symbol) if symbol[:3] in ("PF_", "PI_") else symbol


def reader(since_us: int = 0) -> OwnReader:
    return OwnReader(since_us, name)


def states(events: Iterable[FeedEvent]) -> list[tuple[str, str, Decimal, Decimal]]:
    orders = [event.order for event in events if isinstance(event, OrderChanged)]
    return [(order.txid, order.status.value, order.quantity, order.filled) for order in orders]


def fill(fill_id: str, quantity: float, left: float, **changes: Any) -> dict[str, Any]:
    row = {
        "instrument": "PF_XBTUSD", "time": NOW // 1000, "price": 60_000, "seq": 1, "buy": True, "qty": Decimal(str(quantity)),
        "remaining_order_qty": Decimal(str(left)), "order_id": "o", "cli_ord_id": "c", "fill_id": fill_id, "fill_type": "taker",
        "fee_paid": Decimal("0.1"), "fee_currency": "USD", "order_type": "ioc",
    }  # fmt: skip
    return row | changes


def order(**changes: Any) -> dict[str, Any]:
    row = {
        "instrument": "PF_XBTUSD", "time": NOW // 1000, "last_update_time": NOW // 1000, "qty": 2, "filled": 0, "limit_price": 0,
        "stop_price": 55_000, "type": "stop", "order_id": "s", "cli_ord_id": "c", "direction": 1, "reduce_only": True,
    }  # fmt: skip
    return {"feed": "open_orders", "order": row | changes, "is_cancel": False, "reason": "new_placed_order_by_user"}


def test_recorded_fills_come_once_and_their_snapshot_only_where_it_is_new(body: Callable[[str], Any]) -> None:
    own, frame = reader(), body("nautilus/ws_futures_fills_delta.json")
    first = list(own.fills(frame))
    assert [type(event) for event in first] == [Filled, OrderChanged]
    assert isinstance(first[0], Filled)
    assert (first[0].fill.pair, first[0].fill.quantity, first[0].fill.fee) == ("ETH/USD:USD", Decimal("0.001"), Decimal("0.001581"))
    assert list(own.fills(frame)) == []
    snapshot = body("nautilus/ws_futures_fills_snapshot.json")
    assert len([event for event in reader().fills(snapshot) if isinstance(event, Filled)]) == 2
    assert list(reader(since_us=1_600_256_930_000_000).fills(snapshot)) != []
    assert list(reader(since_us=NOW).fills(snapshot)) == []


def test_recorded_orders_are_read(body: Callable[[str], Any]) -> None:
    own = reader()
    assert states(own.orders(body("nautilus/ws_futures_open_orders_delta.json"))) == [
        ("59302619-41d2-4f0b-941f-7e7914760ad3", "open", Decimal(304), Decimal(0))
    ]
    assert states(own.orders(body("nautilus/ws_futures_open_orders_delta_full_fill.json"))) == [
        ("a182cf4f-fd35-4ab1-b6b8-67ef5561bde5", "closed", Decimal("0.0001"), Decimal("0.0001"))
    ]
    (event,) = own.orders(body("nautilus/ws_futures_open_orders_snapshot.json"))
    assert isinstance(event, OrderChanged)
    stop = event.order
    assert (stop.order_type, stop.trigger_price, stop.limit_price, stop.side) == ("stop-loss-limit", 13_789, 34_900, Side.SELL)
    assert list(own.orders(body("nautilus/ws_futures_open_orders_cancel.json"))) == []
    assert list(own.unknown) == ["660c6b23-8007-48c1-a7c9-4893f4572e8c"]  # a cancel of an order no frame described: REST knows
    assert own.doubtful == []


def test_an_order_that_never_rests_ends_with_the_fill_that_leaves_nothing() -> None:
    own = reader()
    events = [*own.fills({"fills": [fill("f1", 0.5, 1.5)]}), *own.fills({"fills": [fill("f2", 1.5, 0), fill("f2", 1.5, 0)]})]
    assert [type(event) for event in events] == [Filled, Filled, OrderChanged]
    assert states(events) == [("o", "closed", Decimal(2), Decimal(2))]


def test_the_rest_of_an_immediate_order_is_looked_up_when_it_is_dropped() -> None:
    own = reader()
    list(own.fills({"fills": [fill("f1", 0.5, 1.5)]}))
    gone = {"feed": "open_orders", "order_id": "o", "is_cancel": True, "reason": "ioc_order_failed_because_it_would_not_be_executed"}
    assert list(own.orders(gone)) == []
    assert list(own.unknown) == ["o"]
    told = RemoteOrder(
        txid="o", cl_ord_id="c", refid=None, pair=PAIR, side=Side.BUY, order_type="limit", status=ExchangeStatus.CANCELED,
        quantity=Decimal(2), filled=Decimal("0.5"), limit_price=Decimal(60_000), trigger_price=None, opened_us=NOW,
    )  # fmt: skip
    assert states(own.take_order(told)) == [("o", "canceled", Decimal(2), Decimal("0.5"))]


def test_a_trigger_that_fires_is_no_cancellation() -> None:
    own = reader()
    list(own.orders(order()))
    assert list(own.orders({"feed": "open_orders", "order_id": "s", "is_cancel": True, "reason": "stop_order_triggered"})) == []
    events = list(own.fills({"fills": [fill("f1", 2, 0, order_id="s", buy=False)]}))
    assert states(events) == [("s", "closed", Decimal(2), Decimal(2))]


def test_a_final_state_never_changes_and_the_same_state_is_told_once() -> None:
    own = reader()
    assert len(list(own.orders(order()))) == 1
    assert list(own.orders(order())) == []
    cancel = {"feed": "open_orders", "order_id": "s", "is_cancel": True, "reason": "cancelled_by_user"}
    assert states(own.orders(cancel)) == [("s", "canceled", Decimal(2), Decimal(0))]
    assert list(own.orders(order(filled=1, qty=1))) == list(own.orders(cancel)) == []
    assert own.live == []


def test_a_reader_without_memory_tells_fills_twice() -> None:
    """The planted breach: without the memory of fills the test of recorded fills above must fail."""

    class Forgetful(OwnReader):
        def take_fill(self, fill: Fill, **more: Any) -> Iterator[FeedEvent]:
            self._fills.clear()
            yield from super().take_fill(fill, **more)

    own = Forgetful(0, name)
    events = [event for _ in range(2) for event in own.fills({"fills": [fill("f1", 1, 1)]})]
    assert [type(event) for event in events] == [Filled, Filled]


@pytest.mark.parametrize(
    "row",
    [{"qty": None}, {"price": "NaN"}, {"fee_paid": None}, {"fill_id": ""}, {"time": "soon"}, {"qty": Decimal("1e400")}],
    ids=["no quantity", "no price", "no fee", "no id", "no time", "absurd"],
)  # fmt: skip
def test_a_bad_fill_is_doubted_alone(row: dict[str, Any]) -> None:
    own = reader()
    events = list(own.fills({"fills": [fill("bad", 1, 0, order_id="x") | row, fill("good", 1, 1)]}))
    assert [event.fill.trade_id for event in events if isinstance(event, Filled)] == ["good"]
    assert len(own.doubtful) == 1


@pytest.mark.parametrize("frame", [{"fills": None}, {"fills": [None, 7, "x"]}, {}])
def test_what_is_no_list_of_fills_is_doubted(frame: dict[str, Any]) -> None:
    own = reader()
    assert list(own.fills(frame)) == []
    assert own.doubtful != []


def test_the_running_candle_counts_each_trade_once() -> None:
    board = TradeBoard(Timeframe.M1, NOW)
    assert board.want([PAIR, PAIR], NOW) == [PAIR]
    for uid, price, seconds in (("a", 10, 1), ("b", 12, 2), ("b", 12, 2), ("c", 9, 3), ("d", 11, 59)):
        board.take(uid, PAIR, Decimal(price), Decimal(1), NOW + seconds * 1_000_000)
    running = board.forming(PAIR)
    assert running is not None
    assert (running.open, running.high, running.low, running.close, running.volume, running.count) == (10, 12, 9, 11, 4, 4)
    assert board.close(NOW + MINUTE) == ({PAIR: NOW}, frozenset({PAIR}))
    board.take("e", PAIR, Decimal(8), Decimal(1), NOW + MINUTE)
    assert board.close(NOW + 3 * MINUTE) == ({PAIR: NOW + MINUTE}, frozenset())  # two minutes at once: the first is owed


def test_minutes_the_charts_leave_out_are_minutes_without_trades() -> None:
    def bar(minute: int, close: float) -> Candle:
        return Candle(
            pair=PAIR, timeframe=Timeframe.M1, time_us=NOW + minute * MINUTE, open=close, high=close, low=close, close=close, volume=1
        )

    whole = without_holes([bar(0, 5.0), bar(3, 7.0)])
    assert [(row.time_us - NOW) // MINUTE for row in whole] == [0, 1, 2, 3]
    assert [(row.close, row.volume, row.filled) for row in whole[1:3]] == [(5.0, 0.0, True)] * 2
    spoilt = [bar(3, 7.0), bar(0, 5.0)]
    assert without_holes(spoilt) == spoilt  # served as it came: the data gate refuses it
    assert without_holes([]) == []
