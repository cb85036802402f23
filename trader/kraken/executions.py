"""The executions channel item by item (KRAKEN.md pitfall A): orders keep what later frames leave out, fills come once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from trader.domain.messages import FeedEvent, Filled, OrderChanged
from trader.domain.money import ZERO
from trader.domain.orders import ExchangeStatus, Fill, RemoteOrder, Side
from trader.kraken import translate

STATUS = {
    "pending_new": ExchangeStatus.PENDING,
    "new": ExchangeStatus.OPEN,
    "partially_filled": ExchangeStatus.OPEN,
    "filled": ExchangeStatus.CLOSED,
    "canceled": ExchangeStatus.CANCELED,
    "expired": ExchangeStatus.EXPIRED,
}
REMEMBERED = 5000  # orders and fills of which we know that we have seen them
log = logging.getLogger(__name__)


class SequenceGapError(Exception):
    """Frames of the private channel were lost or came out of order."""


class ExecutionReader:
    """Turns frames into events. Snapshot trades before `since_us` are old news and left out.

    An item nobody can read, or of a symbol that is not `listed`, is rejected alone: `doubtful` names its order ("" where not
    even that can be read), and whoever calls takes the truth from REST through `take_fill` and `take_order`.
    """

    def __init__(self, since_us: int, listed: Callable[[str], bool] = lambda _: True) -> None:
        self._since_us, self._listed = since_us, listed
        self._orders: dict[str, RemoteOrder] = {}
        self._fills: dict[str, None] = {}
        self._sequence: int | None = None
        self.doubtful: dict[str, str] = {}  # order id -> why

    def reconnected(self) -> None:
        """A new connection counts from its own start."""
        self._sequence = None

    def read(self, frame: Mapping[str, Any]) -> list[FeedEvent]:
        """Events of one frame, in its order. Raises SequenceGapError."""
        sequence, snapshot = frame.get("sequence"), frame.get("type") == "snapshot"
        if isinstance(sequence, int):
            if self._sequence is not None and sequence <= self._sequence:
                return []  # a repeat
            if self._sequence is not None and sequence != self._sequence + 1:
                raise SequenceGapError(f"executions jumped from {self._sequence} to {sequence}")
            self._sequence = sequence
        items = frame.get("data")
        if not isinstance(items, list):
            self.doubtful[""] = f"data is {type(items).__name__}, not a list"
            return []
        events: list[FeedEvent] = []
        for item in items:
            try:
                events += self._item(translate.mapping(item, "executions item"), snapshot=snapshot)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                txid = item.get("order_id") if isinstance(item, Mapping) else None
                self.doubtful[txid if isinstance(txid, str) else ""] = f"{type(error).__name__}: {error}"
        if snapshot:
            self._ended(items)
        return events

    def take_fill(self, fill: Fill) -> list[FeedEvent]:
        """A trade read by REST: an event where the stream has not told it."""
        if fill.trade_id in self._fills:
            return []
        _remember(self._fills, fill.trade_id, None)
        return [Filled(fill=fill)]

    def take_order(self, order: RemoteOrder) -> list[FeedEvent]:
        """An order read by REST: an event where it says more than the stream did."""
        known = self._orders.get(order.txid)
        if known is not None and (not known.status.live or (known.status is order.status and known.filled >= order.filled)):
            return []
        _remember(self._orders, order.txid, order)
        return [OrderChanged(order=order)]

    def _ended(self, items: list[Any]) -> None:
        """Orders that were live before the break and are not in the snapshot: what became of them must be asked."""
        shown = {item.get("order_id"): None for item in items if isinstance(item, Mapping) and item.get("exec_type") != "trade"}
        for txid, order in self._orders.items():
            if order.status.live and txid not in shown:
                self.doubtful.setdefault(txid, "not in the snapshot of open orders")

    def _item(self, item: Mapping[str, Any], *, snapshot: bool) -> Iterable[FeedEvent]:
        txid = translate.text(item.get("order_id"), "order_id")
        trade = item.get("exec_type") == "trade"
        known, symbol = self._orders.get(txid), item.get("symbol")
        if symbol is not None and (not self._listed(symbol) or (known is not None and symbol != known.pair)):
            raise ValueError(
                f"symbol: {symbol!r:.40} is not the pair of order {txid}" if known else f"symbol: {symbol!r:.40} is not listed"
            )
        order = self._merge(txid, item)
        if trade:
            yield from self._trade(item, txid, order, snapshot=snapshot)
            if snapshot or order is None or order.status.live:
                return
        if order is None:
            raise ValueError(f"order {txid} is not known and the frame does not describe it")
        yield OrderChanged(order=order)

    def _trade(self, item: Mapping[str, Any], txid: str, order: RemoteOrder | None, *, snapshot: bool) -> Iterable[FeedEvent]:
        symbol, side = item.get("symbol") or (order and order.pair), item.get("side") or (order and order.side.value)
        if not symbol or not side:
            raise ValueError(f"trade of order {txid} names no symbol and no side")
        fill = translate.stream_fill(item, symbol, Side(side))
        if fill.trade_id in self._fills or (snapshot and fill.time_us < self._since_us):
            return
        _remember(self._fills, fill.trade_id, None)
        yield Filled(fill=fill)

    def _merge(self, txid: str, item: Mapping[str, Any]) -> RemoteOrder | None:
        """The order as this item leaves it; items carry only what changed."""
        status = STATUS.get(str(item.get("order_status")))
        known = self._orders.get(txid)
        if known is None:
            if not item.get("symbol") or not item.get("side") or item.get("order_qty") is None or status is None:
                return None
            known = RemoteOrder(
                txid=txid, cl_ord_id=None, refid=None, pair=item["symbol"], side=Side(item["side"]),
                order_type=str(item.get("order_type", "")),
                status=status, quantity=ZERO, filled=ZERO, limit_price=None, trigger_price=None,
                opened_us=translate.stamp_us(item.get("timestamp"), "timestamp"),
            )  # fmt: skip
        final = not known.status.live
        if status is None or final:
            status = known.status
        trigger = _positive((item.get("triggers") or {}).get("price"), "triggers.price") or _positive(item.get("stop_price"), "stop_price")
        order = replace(
            known, status=status, cl_ord_id=item.get("cl_ord_id") or known.cl_ord_id, refid=item.get("order_ref_id") or known.refid,
            quantity=_positive(item.get("order_qty"), "order_qty") or known.quantity,
            filled=max(known.filled, _positive(item.get("cum_qty"), "cum_qty") or ZERO),
            limit_price=_positive(item.get("limit_price"), "limit_price") or known.limit_price,
            trigger_price=trigger or known.trigger_price, reason=item.get("reason") or known.reason,
            closed_us=known.closed_us if status.live or final else translate.stamp_us(item.get("timestamp"), "timestamp"),
        )  # fmt: skip
        _remember(self._orders, txid, order)
        return order


def _positive(value: Any, field: str) -> Decimal | None:
    """A Decimal above zero, or None for an absent or zero value."""
    if value is None:
        return None
    number = translate.decimal(value, field)
    return number if number > ZERO else None


def _remember(table: dict[str, Any], key: str, value: Any) -> None:
    """Keep the newest; live orders are re-sent at each connect, so the oldest may go."""
    table.pop(key, None)
    table[key] = value
    while len(table) > REMEMBERED:
        del table[next(iter(table))]
