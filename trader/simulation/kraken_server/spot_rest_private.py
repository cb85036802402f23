"""Private spot endpoints of orders (KRAKEN.md sections 1-2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trader.ports import Clock
from trader.simulation.exchange import TwinExchange
from trader.simulation.exchange_orders import DEADLINE, UNKNOWN_ORDER, PairRules, Refused, TwinOrder, invalid
from trader.simulation.kraken_server import order_form
from trader.simulation.kraken_server.market_view import MarketView
from trader.simulation.kraken_server.middleware import Call
from trader.simulation.kraken_server.paging import PAGE, window
from trader.simulation.kraken_server.render import describe, order_row


class SpotPrivate:
    """Orders: placed, changed, cancelled, looked up. Every handler raises Refused with Kraken's string."""

    def __init__(self, exchange: TwinExchange, view: MarketView, clock: Clock, *, closed_page_size: int = PAGE) -> None:
        self._exchange, self._view, self._clock, self._closed_page_size = exchange, view, clock, closed_page_size
        self.handlers: Mapping[str, Callable[[Call], Any]] = {
            "AddOrder": self._add,
            "AmendOrder": self._amend,
            "CancelOrder": self._cancel,
            "CancelAll": lambda _: {"count": exchange.cancel_all(clock.now_us())},
            "OpenOrders": self._open_orders,
            "ClosedOrders": self._closed_orders,
            "QueryOrders": self._query_orders,
        }

    # --- orders ----------------------------------------------------------------------------------------------------
    def _add(self, call: Call) -> dict[str, Any]:
        rules = self._rules(call)
        request = order_form.order_request(call.fields, rules.symbol, call.arrived_us)
        if order_form.flag(call.fields, "validate"):
            return {"descr": describe(self._exchange.check(request, self._clock.now_us()), rules)}
        order = self._exchange.place(request, self._clock.now_us(), swallow=call.flags.get("swallow_stops", False))
        return {"descr": describe(order, rules), "txid": [order.txid]}

    def _amend(self, call: Call) -> dict[str, str]:
        fields = call.fields
        order = self._exchange.find(txid=fields.get("txid"), cl_ord_id=fields.get("cl_ord_id") or None)
        deadline_us = order_form.deadline_of(fields, call.arrived_us)
        if deadline_us is not None and self._clock.now_us() > deadline_us:
            raise Refused(DEADLINE)
        if fields.get("display_qty"):
            raise invalid("display_qty")
        amend_id = self._exchange.amend(
            order,
            self._clock.now_us(),
            volume=order_form.number(fields, "order_qty"),
            price=order_form.number(fields, "limit_price"),
            trigger=order_form.number(fields, "trigger_price"),
            post_only=order_form.flag(fields, "post_only") if fields.get("post_only") else None,
        )
        return {"amend_id": amend_id}

    def _cancel(self, call: Call) -> dict[str, int]:
        txid, cl_ord_id = call.fields.get("txid") or None, call.fields.get("cl_ord_id") or None
        if txid is None and cl_ord_id is None:
            raise invalid("txid")
        self._exchange.cancel(self._exchange.find(txid=txid, cl_ord_id=cl_ord_id), self._clock.now_us())
        return {"count": 1}

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
    def _rules(self, call: Call) -> PairRules:
        rules = self._view.find(call.fields.get("pair", ""))
        if rules is None:
            raise Refused("EQuery:Unknown asset pair")
        return rules

    @staticmethod
    def _wanted(order: TwinOrder, call: Call) -> bool:
        cl_ord_id, userref = call.fields.get("cl_ord_id"), call.fields.get("userref")
        return (not cl_ord_id or order.cl_ord_id == cl_ord_id) and (not userref or str(order.userref) == userref)

    def _order_rows(self, orders: Sequence[TwinOrder], call: Call) -> dict[str, Any]:
        trades = order_form.flag(call.fields, "trades")
        return {order.txid: order_row(order, self._exchange.rule(order.pair), trades=trades) for order in orders}

    def _moment_of(self, text: str) -> int | None:
        """When the order with this id was opened."""
        order = self._exchange.state.orders.get(text)
        return None if order is None else order.opened_us
