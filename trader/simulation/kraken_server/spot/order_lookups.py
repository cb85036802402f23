"""Private spot endpoints that look orders up (KRAKEN.md sections 1-2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trader.simulation.exchange import TwinExchange
from trader.simulation.exchange_orders import UNKNOWN_ORDER, Event, Refused, TwinOrder, invalid
from trader.simulation.kraken_server.spot import order_form
from trader.simulation.kraken_server.spot.paging import PAGE, window
from trader.simulation.kraken_server.spot.render import order_row
from trader.simulation.kraken_server.wire.middleware import Call


class OrderLookups:
    """Orders looked up. Every handler raises Refused with Kraken's string."""

    def __init__(self, exchange: TwinExchange, *, closed_page_size: int) -> None:
        self._exchange, self._closed_page_size = exchange, closed_page_size
        self._live: dict[tuple[str, bool], dict[str, Any]] = {}  # (txid, with trades) -> row, until the order changes
        exchange.listeners.append(self._on_event)
        self.handlers: Mapping[str, Callable[[Call], Any]] = {
            "OpenOrders": self._open_orders,
            "ClosedOrders": self._closed_orders,
            "QueryOrders": self._query_orders,
        }

    # --- orders ----------------------------------------------------------------------------------------------------
    def _open_orders(self, call: Call) -> dict[str, Any]:
        orders = [order for order in reversed(self._exchange.open_orders()) if self._wanted(order, call)]
        return {"open": self._order_rows(orders, call)}

    def _closed_orders(self, call: Call) -> dict[str, Any]:
        times = window(call, self._moment_of)
        which = call.fields.get("closetime", "both")
        if which not in ("open", "close", "both"):
            raise invalid("closetime")
        found = []
        for order in self._exchange.state.orders.values():
            moments = {"open": (order.opened_us,), "close": (order.closed_us,), "both": (order.opened_us, order.closed_us)}[which]
            if not order.live and self._wanted(order, call) and any(times.holds(moment) for moment in moments):
                found.append(order)
        found.sort(key=lambda order: (order.closed_us, order.number), reverse=True)
        return {"closed": self._order_rows(times.page(found, self._closed_page_size), call), "count": len(found)}

    def _query_orders(self, call: Call) -> dict[str, Any]:
        txids = [txid for txid in call.fields.get("txid", "").split(",") if txid]
        if not 1 <= len(txids) <= PAGE:
            raise invalid("txid")
        orders = [self._exchange.state.orders.get(txid) for txid in txids]
        if any(order is None for order in orders):
            raise Refused(UNKNOWN_ORDER)
        return self._order_rows([order for order in orders if order is not None], call)

    # --- helpers ---------------------------------------------------------------------------------------------------
    @staticmethod
    def _wanted(order: TwinOrder, call: Call) -> bool:
        cl_ord_id, userref = call.fields.get("cl_ord_id"), call.fields.get("userref")
        return (not cl_ord_id or order.cl_ord_id == cl_ord_id) and (not userref or str(order.userref) == userref)

    def _order_rows(self, orders: Sequence[TwinOrder], call: Call) -> dict[str, Any]:
        trades = order_form.flag(call.fields, "trades")
        return {order.txid: self._row(order, trades=trades) for order in orders}

    def _row(self, order: TwinOrder, *, trades: bool) -> dict[str, Any]:
        """The row of one order; what rests is asked for again and again, and seldom changes in between."""
        if (row := self._live.get((order.txid, trades))) is None:
            row = order_row(order, self._exchange.rule(order.pair), trades=trades)
            if order.live:
                self._live[order.txid, trades] = row
        return row

    def _on_event(self, event: Event) -> None:
        for trades in (False, True):
            self._live.pop((event.order.txid, trades), None)

    def _moment_of(self, text: str) -> int | None:
        """When the order with this id was opened."""
        order = self._exchange.state.orders.get(text)
        return None if order is None else order.opened_us
