"""The feeds `fills` and `open_orders`, row by row: fills come once, orders keep what later frames leave out.

An order that fills at once never rests, so `open_orders` is silent about it: its end is read off the fill that leaves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from trader.domain.messages import FeedEvent, Filled, OrderChanged
from trader.domain.money import ZERO, add
from trader.domain.orders import ExchangeStatus, Fill, RemoteOrder, Side
from trader.kraken import futures_translate as read
from trader.kraken.futures_translate import PairName
from trader.kraken.translate import decimal, mapping, text

REMEMBERED = 5000  # orders and fills of which we know that we have seen them


class OwnReader:
    """Turns rows into events. Fills before `since_us` are old news.

    A row nobody can read lands in `doubtful` (why), an order of which too little is known in `unknown` (its id): REST knows.
    """

    def __init__(self, since_us: int, name: PairName) -> None:
        self._since_us, self._name = since_us, name
        self._orders: dict[str, RemoteOrder] = {}
        self._fills: dict[str, None] = {}
        self.doubtful: list[str] = []
        self.unknown: dict[str, None] = {}

    @property
    def live(self) -> list[str]:
        """Ids of orders that had not ended when we last heard."""
        return [txid for txid, order in self._orders.items() if order.status.live]

    def fills(self, frame: Mapping[str, Any]) -> Iterator[FeedEvent]:
        """Events of a frame of the fills feed, a snapshot or not."""
        for raw in self._rows(frame, "fills"):
            try:
                row = mapping(raw, "fills")
                fill = read.stream_fill(row, self._name)
                left = row.get("remaining_order_qty")
                ended = left is not None and decimal(left, "remaining_order_qty") == ZERO
                yield from self.take_fill(fill, ended=ended, cl_ord_id=read.client_id(row), kind=str(row.get("order_type", "")))
            except (ValueError, KeyError, TypeError) as error:
                self.doubtful.append(f"fill: {type(error).__name__}: {error}")

    def take_fill(self, fill: Fill, *, ended: bool = False, cl_ord_id: str | None = None, kind: str = "") -> Iterator[FeedEvent]:
        """A fill from anywhere; nothing for one that was told before. `ended`: it leaves nothing of its order."""
        if fill.trade_id in self._fills or fill.time_us < self._since_us:
            return
        _remember(self._fills, fill.trade_id, None)
        yield Filled(fill=fill)
        known = self._orders.get(fill.txid)
        if known is None:
            known = RemoteOrder(
                txid=fill.txid, cl_ord_id=cl_ord_id, refid=None, pair=fill.pair, side=fill.side, order_type=read.TYPES.get(kind, kind),
                status=ExchangeStatus.OPEN, quantity=ZERO, filled=ZERO, limit_price=None, trigger_price=None, opened_us=fill.time_us,
            )  # fmt: skip
        filled = add(known.filled, fill.quantity) if known.quantity == ZERO else min(add(known.filled, fill.quantity), known.quantity)
        order = replace(known, filled=filled)
        _remember(self._orders, fill.txid, order)
        if ended and known.status.live:
            yield from self.take_order(
                replace(order, status=ExchangeStatus.CLOSED, quantity=max(order.quantity, filled), closed_us=fill.time_us)
            )

    def orders(self, frame: Mapping[str, Any]) -> Iterator[FeedEvent]:
        """Events of a frame of the open_orders feed: a snapshot, a new or changed order, an end."""
        if frame.get("feed") != "open_orders_snapshot":
            yield from self._order(frame)
            return
        for row in self._rows(frame, "orders"):
            yield from self._order({"order": row, "is_cancel": False})

    def _order(self, frame: Mapping[str, Any]) -> Iterator[FeedEvent]:
        try:
            reason, ended = str(frame.get("reason") or ""), frame.get("is_cancel") is True
            if frame.get("order") is not None:
                order = self._read(mapping(frame["order"], "order"))
            else:
                txid = text(frame.get("order_id"), "order_id")
                known = self._orders.get(txid)
                if known is None or known.quantity == ZERO:  # it never rested: no frame has described it
                    self.unknown[txid] = None
                    return
                order = known
            if ended and "trigger" in reason:  # its trigger fired: the order lives on, its fills say how it ends
                return
            if ended:
                status = ExchangeStatus.CLOSED if reason == "full_fill" else ExchangeStatus.CANCELED
                order = replace(order, status=status, reason=reason or None)
            yield from self.take_order(order)
        except (ValueError, KeyError, TypeError) as error:
            self.doubtful.append(f"open order: {type(error).__name__}: {error}")

    def take_order(self, order: RemoteOrder) -> Iterator[FeedEvent]:
        """A state from anywhere; nothing for one that is old: a final status never changes."""
        known = self._orders.get(order.txid)
        if known is not None:
            if not known.status.live or known == order:
                return
            order = replace(
                order, cl_ord_id=order.cl_ord_id or known.cl_ord_id, filled=max(order.filled, known.filled),
                quantity=max(order.quantity, order.filled) if order.quantity else known.quantity,
                trigger_price=order.trigger_price or known.trigger_price,
            )  # fmt: skip
        _remember(self._orders, order.txid, order)
        yield OrderChanged(order=order)

    def _read(self, row: Mapping[str, Any]) -> RemoteOrder:
        """An order of the feed; `qty` is what is left of it. Raises ValueError naming the field."""
        direction = row.get("direction")
        if direction not in (0, 1):
            raise ValueError(f"direction: {direction!r} is neither 0 nor 1")
        filled = decimal(row.get("filled"), "filled")
        kind = text(row.get("type"), "type")
        limit, trigger = (decimal(row.get(field) or 0, field) for field in ("limit_price", "stop_price"))
        name = read.TYPES.get(kind, kind)
        return RemoteOrder(
            txid=text(row.get("order_id"), "order_id"), cl_ord_id=read.client_id(row), refid=None,
            pair=self._name(text(row.get("instrument"), "instrument")), side=Side.SELL if direction else Side.BUY,
            order_type=f"{name}-limit" if trigger and limit and name in ("stop-loss", "take-profit") else name, status=ExchangeStatus.OPEN,
            quantity=add(decimal(row.get("qty"), "qty"), filled), filled=filled, limit_price=limit or None, trigger_price=trigger or None,
            opened_us=read.millis_us(row.get("time"), "time"),
        )  # fmt: skip

    def _rows(self, frame: Mapping[str, Any], part: str) -> Iterable[Any]:
        rows = frame.get(part)
        if not isinstance(rows, list):
            self.doubtful.append(f"{part}: {rows!r:.60} is not a list")
            return []
        return rows


def _remember(table: dict[str, Any], key: str, value: Any) -> None:
    """Keep the newest; live orders are re-sent at each connect, so the oldest may go."""
    table.pop(key, None)
    table[key] = value
    while len(table) > REMEMBERED:
        del table[next(iter(table))]
