"""Order endpoints of the futures API: send, edit, cancel, batch, cancel all, dead-man's switch, status (KRAKEN.md section 6).

An order that Kraken does not place is no error: the answer is a success whose status says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from trader.ports import Clock
from trader.simulation.exchange_orders import Refused
from trader.simulation.futures.engine import FuturesExchange
from trader.simulation.futures.orders import FuturesOrder, Happening, Unplaced
from trader.simulation.kraken_server.futures import form
from trader.simulation.kraken_server.futures.call import FuturesCall
from trader.simulation.kraken_server.futures.render import client_id, event_order, iso_ms, order_events, order_status, rejection
from trader.simulation.kraken_server.wire.replies import Reply

STATUS_MEMORY_US = 5_000_000  # orders/status knows a closed order this long
MOST_IN_BATCH = 100


class FuturesOrders:
    """Handlers by endpoint. `armed` is told when the dead-man's switch was set."""

    def __init__(self, exchange: FuturesExchange, clock: Clock, armed: Callable[[], None], *, status_method: str) -> None:
        self._exchange, self._clock, self._armed = exchange, clock, armed
        self.handlers: Mapping[str, Callable[[FuturesCall], dict[str, Any] | Reply]] = {
            "POST sendorder": lambda call: {"sendStatus": self._send(call.fields)},
            "POST editorder": lambda call: {"editStatus": self._edit(call.fields)},
            "POST cancelorder": lambda call: {"cancelStatus": self._cancel(call.fields)},
            "POST batchorder": self._batch,
            "POST cancelallorders": self._cancel_all,
            "POST cancelallordersafter": self._cancel_after,
            "GET orders/status": self._status if status_method != "POST" else _wrong_method,
            "POST orders/status": self._status if status_method != "GET" else _wrong_method,
        }

    def _send(self, fields: Mapping[str, str]) -> dict[str, Any]:
        now_us = self._clock.now_us()
        form.process_before(fields, now_us)
        try:
            order, happenings = self._exchange.place(form.order_request(fields), now_us)
        except Unplaced as refusal:
            return _unplaced(refusal, now_us, fields)
        return {
            "order_id": order.order_id,
            "status": "placed",
            "receivedTime": iso_ms(now_us),
            **client_id(order),
            "orderEvents": order_events(order, happenings),
        }

    def _edit(self, fields: Mapping[str, str]) -> dict[str, Any]:
        now_us = self._clock.now_us()
        form.process_before(fields, now_us)
        order = self._find(fields, "orderId", "order_id")
        try:
            order, happenings = self._exchange.edit(
                order,
                now_us,
                size=form.decimal(fields, "size"),
                limit_price=form.decimal(fields, "limitPrice"),
                stop_price=form.decimal(fields, "stopPrice"),
            )
        except Unplaced as refusal:
            return _unplaced(refusal, now_us, fields)
        return {
            "status": "edited",
            "orderId": order.order_id,
            "order_id": order.order_id,
            "receivedTime": iso_ms(now_us),
            **client_id(order),
            "orderEvents": order_events(order, happenings),
        }

    def _cancel(self, fields: Mapping[str, str]) -> dict[str, Any]:
        now_us = self._clock.now_us()
        form.process_before(fields, now_us)
        order = self._find(fields, "order_id", "orderId")
        try:
            happenings = self._exchange.cancel(order, now_us)
        except Unplaced as refusal:
            return _unplaced(refusal, now_us, fields)
        assert order is not None
        return {
            "status": "cancelled",
            "order_id": order.order_id,
            "receivedTime": iso_ms(now_us),
            **client_id(order),
            "orderEvents": order_events(order, happenings),
        }

    def _find(self, fields: Mapping[str, str], *names: str) -> FuturesOrder | None:
        """The order named by one of its ids. Raises Refused where none is given."""
        order_id = next((fields[name] for name in names if fields.get(name)), None)
        cli_ord_id = fields.get("cliOrdId") or None
        if order_id is None and cli_ord_id is None:
            raise Refused(form.MISSING)
        return self._exchange.find(order_id=order_id, cli_ord_id=None if order_id else cli_ord_id)

    def _batch(self, call: FuturesCall) -> dict[str, Any]:
        """Each instruction for itself: a refused one does not stop the others."""
        form.process_before(call.fields, self._clock.now_us())
        rows = form.batch(call.fields)
        if not 1 <= len(rows) <= MOST_IN_BATCH:
            raise form.invalid("batchOrder")
        actions = {"send": self._send, "edit": self._edit, "cancel": self._cancel}
        statuses = []
        for row in rows:
            now_us = self._clock.now_us()
            try:
                if row.get("order") not in actions:
                    raise form.invalid("order")
                status = actions[row["order"]](row)
            except Refused as refusal:
                status = {"status": refusal.error, "orderEvents": []}
            status["dateTimeReceived"] = status.pop("receivedTime", iso_ms(now_us))
            statuses.append(status | ({"order_tag": row["order_tag"]} if "order_tag" in row else {}))
        return {"batchStatus": statuses}

    def _cancel_all(self, call: FuturesCall) -> dict[str, Any]:
        symbol, now_us = call.fields.get("symbol", "").upper() or None, self._clock.now_us()
        if symbol is not None:
            symbol = self._exchange.contract(symbol).symbol
        happenings = self._exchange.cancel_all(now_us, symbol)
        return {
            "cancelStatus": {
                "receivedTime": iso_ms(now_us),
                "cancelOnly": symbol or "all",
                "status": "cancelled" if happenings else "noOrdersToCancel",
                "cancelledOrders": [{"order_id": item.order.order_id, **client_id(item.order)} for item in happenings],
                "orderEvents": [_cancelled(item) for item in happenings],
            }
        }

    def _cancel_after(self, call: FuturesCall) -> dict[str, Any]:
        seconds, now_us = form.decimal(call.fields, "timeout"), self._clock.now_us()
        if seconds is None:
            raise Refused(form.MISSING)
        if not 0 <= seconds <= 86_400:
            raise form.invalid("timeout")
        fires_us = now_us + int(seconds * 1_000_000) if seconds else 0
        self._exchange.arm(fires_us, now_us)
        self._armed()
        return {"status": {"currentTime": iso_ms(now_us), "triggerTime": iso_ms(fires_us) if fires_us else "0"}}

    def _status(self, call: FuturesCall) -> dict[str, Any]:
        """Live orders and those closed in the last five seconds: all of them, or the ones asked for by either id."""
        now_us = self._clock.now_us()
        wanted = [value for name, value in call.items if name in ("orderIds", "orderIds[]", "cliOrdIds", "cliOrdIds[]")]
        names = [name for value in wanted for name in form.listed(value)]
        if names:
            found = [self._exchange.find(order_id=name, cli_ord_id=name) for name in names]
            orders = [order for order in found if order is not None]
        else:
            orders = self._exchange.open_orders()
        seen = [order for order in orders if order.live or order.updated_us + STATUS_MEMORY_US >= now_us]
        return {"orders": [order_status(order) for order in seen]}


def _wrong_method(_: FuturesCall) -> Reply:
    """What HTTP says where a path is served, but not by this method."""
    return Reply(status=405)


def _unplaced(refusal: Unplaced, now_us: int, fields: Mapping[str, str]) -> dict[str, Any]:
    row: dict[str, Any] = {"status": refusal.status, "receivedTime": iso_ms(now_us)}
    if refusal.order is not None:
        row["order_id"] = refusal.order.order_id
    if fields.get("cliOrdId"):
        row["cliOrdId"] = fields["cliOrdId"]
    return row | {"orderEvents": rejection(refusal.status, refusal.order)}


def _cancelled(item: Happening) -> dict[str, Any]:
    return {"type": "CANCEL", "uid": item.order.order_id, "order": event_order(item.order)}
