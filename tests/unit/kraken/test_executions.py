"""Own executions: split per item, mapped by order id, once per trade (KRAKEN.md pitfall A)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from trader.domain.messages import Filled, OrderChanged
from trader.domain.orders import ExchangeStatus
from trader.kraken.exact import exact_json
from trader.kraken.executions import ExecutionReader, SequenceGapError

AT = "2026-01-05T00:00:05.709950Z"
NEW: dict[str, Any] = {
    "order_id": "OK4GJX-KSTLS-7DZZO5", "cl_ord_id": "tabcdefghijklmnopq", "order_userref": 0, "symbol": "BTC/EUR", "side": "sell",
    "order_type": "stop-loss", "order_qty": Decimal("0.005"), "exec_type": "pending_new", "order_status": "pending_new",
    "stop_price": Decimal("26500.0"),
    "order_ref_id": "OENTRY-AAAAA-BBBBBB", "timestamp": AT,
}  # fmt: skip
TRADE: dict[str, Any] = {
    "order_id": "OK4GJX-KSTLS-7DZZO5", "exec_id": "TGBB7L-HT5LX-J3BZ4A", "exec_type": "trade", "trade_id": 62887576,
    "last_qty": Decimal("0.005"),
    "last_price": Decimal("26599.9"), "cost": Decimal("132.9995"), "liquidity_ind": "t",
    "fees": [{"asset": "EUR", "qty": Decimal("0.3458")}],
    "order_status": "partially_filled", "cum_qty": Decimal("0.005"), "timestamp": AT,
}  # fmt: skip
DONE = {"order_id": "OK4GJX-KSTLS-7DZZO5", "exec_type": "filled", "order_status": "filled", "cum_qty": Decimal("0.005"), "timestamp": AT}


def frame(sequence: int, *items: Any, kind: str = "update") -> dict[str, Any]:
    return {"channel": "executions", "type": kind, "sequence": sequence, "data": list(items)}


def test_items_of_one_frame_are_split_and_keep_their_order() -> None:
    events = ExecutionReader(0).read(frame(1, NEW, TRADE, DONE))
    assert [type(event) for event in events] == [OrderChanged, Filled, OrderChanged]
    last = events[-1]
    assert isinstance(last, OrderChanged)
    assert (last.order.status, last.order.filled, last.order.pair) == (ExchangeStatus.CLOSED, Decimal("0.005"), "BTC/EUR")
    assert (last.order.cl_ord_id, last.order.refid) == ("tabcdefghijklmnopq", "OENTRY-AAAAA-BBBBBB")
    assert last.order.trigger_price == Decimal("26500.0")


def test_frames_without_symbol_find_their_order() -> None:
    reader = ExecutionReader(0)
    reader.read(frame(8, NEW))
    (event,) = reader.read(frame(9, {"order_id": NEW["order_id"], "exec_type": "new", "order_status": "new", "timestamp": AT}))
    assert isinstance(event, OrderChanged)
    assert (event.order.status, event.order.pair) == (ExchangeStatus.OPEN, "BTC/EUR")
    (fill,) = reader.read(frame(10, TRADE))
    assert isinstance(fill, Filled)
    assert (fill.fill.pair, fill.fill.fee, fill.fill.cost) == ("BTC/EUR", Decimal("0.3458"), Decimal("132.9995"))


def test_a_trade_frame_that_already_says_filled_ends_the_order() -> None:
    reader = ExecutionReader(0)
    reader.read(frame(1, NEW))
    events = reader.read(frame(2, TRADE | {"order_status": "filled"}))
    assert [type(event) for event in events] == [Filled, OrderChanged]


def test_a_trade_is_delivered_once_across_connections() -> None:
    reader = ExecutionReader(0)
    assert len(reader.read(frame(1, NEW, TRADE))) == 2
    assert reader.read(frame(1, NEW, TRADE)) == []  # a repeated frame
    reader.reconnected()
    snapshot = reader.read(frame(1, TRADE | {"symbol": "BTC/EUR", "side": "sell"}, kind="snapshot"))
    assert snapshot == []


def test_old_trades_of_the_first_snapshot_are_left_to_reconciliation() -> None:
    reader = ExecutionReader(1 << 60)
    assert reader.read(frame(1, TRADE | {"symbol": "BTC/EUR", "side": "sell"}, kind="snapshot")) == []


def test_a_gap_in_the_sequence_is_an_error() -> None:
    reader = ExecutionReader(0)
    reader.read(frame(4, NEW))
    with pytest.raises(SequenceGapError, match="4 to 6"):
        reader.read(frame(6, TRADE))


def test_a_final_status_never_changes() -> None:
    reader = ExecutionReader(0)
    reader.read(frame(1, NEW, DONE))
    (event,) = reader.read(frame(2, {"order_id": NEW["order_id"], "exec_type": "new", "order_status": "new", "timestamp": AT}))
    assert isinstance(event, OrderChanged)
    assert event.order.status is ExchangeStatus.CLOSED


@pytest.mark.parametrize(
    ("item", "order"),
    [
        (DONE, DONE["order_id"]), (TRADE | {"symbol": "BTC/EUR", "side": "sell", "last_qty": None}, TRADE["order_id"]),
        (TRADE | {"symbol": "BTC/EUR", "side": "sell", "last_qty": Decimal(-1)}, TRADE["order_id"]),
        (TRADE | {"symbol": "BTC/EUR", "side": "sell", "last_price": Decimal("1e400")}, TRADE["order_id"]),
        (TRADE | {"symbol": "BTC/EUR", "side": "up"}, TRADE["order_id"]), (NEW | {"timestamp": 5}, NEW["order_id"]),
        (NEW | {"triggers": 5}, NEW["order_id"]), ({"exec_type": "trade"}, ""), ({"order_id": 7}, ""), (7, ""), (None, ""),
    ],
)  # fmt: skip
def test_an_item_nobody_can_read_is_rejected_alone_and_its_order_named(item: Any, order: str) -> None:
    reader = ExecutionReader(0)
    other = NEW | {"order_id": "OTHER1-AAAAA-BBBBBB"}
    events = reader.read(frame(1, item, other))
    assert [event.order.txid for event in events if isinstance(event, OrderChanged)] == ["OTHER1-AAAAA-BBBBBB"]
    assert list(reader.doubtful) == [order]
    assert len(reader.read(frame(2, NEW | {"order_id": "OTHER2-AAAAA-BBBBBB"}))) == 1  # the sequence goes on


@pytest.mark.parametrize("data", [None, 5, "x", {"order_id": "O1"}])
def test_a_frame_whose_data_is_no_list_leaves_everything_to_rest(data: Any) -> None:
    reader = ExecutionReader(0)
    assert reader.read({"channel": "executions", "type": "update", "sequence": 1, "data": data}) == []
    assert list(reader.doubtful) == [""]


def test_an_order_that_is_not_in_the_snapshot_after_a_break_must_be_looked_up() -> None:
    reader = ExecutionReader(0)
    reader.read(frame(1, NEW, NEW | {"order_id": "OTHER1-AAAAA-BBBBBB"}))
    reader.reconnected()
    reader.read(frame(1, NEW, TRADE | {"symbol": "BTC/EUR", "side": "sell", "order_id": "OTHER1-AAAAA-BBBBBB"}, kind="snapshot"))
    assert list(reader.doubtful) == ["OTHER1-AAAAA-BBBBBB"]


def test_what_rest_tells_is_news_only_once() -> None:
    reader = ExecutionReader(0)
    (_, streamed) = reader.read(frame(1, NEW, TRADE))
    assert isinstance(streamed, Filled)
    assert reader.take_fill(streamed.fill) == []
    later = replace(streamed.fill, trade_id="TOTHER-AAAAA-BBBBBB")
    assert reader.take_fill(later) == [Filled(fill=later)]
    assert reader.take_fill(later) == []
    (changed,) = ExecutionReader(0).read(frame(1, NEW))
    assert isinstance(changed, OrderChanged)
    ended = replace(changed.order, status=ExchangeStatus.CLOSED, filled=Decimal("0.005"))
    assert reader.take_order(ended) == [OrderChanged(order=ended)]
    assert reader.take_order(ended) == []


def test_quantities_beyond_float_precision_stay_exact() -> None:
    text = '{"channel":"executions","sequence":1,"data":[{"order_id":"O1","symbol":"SHIB/EUR","side":"buy","order_type":"market",' \
        '"order_qty":1234567890.12345678,"exec_type":"pending_new","order_status":"pending_new","timestamp":"' + AT + '"}]}'  # fmt: skip
    (event,) = ExecutionReader(0).read(exact_json(text))
    assert isinstance(event, OrderChanged)
    assert event.order.quantity == Decimal("1234567890.12345678")
