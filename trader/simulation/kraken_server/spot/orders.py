"""Private spot endpoints that place, change and cancel orders (KRAKEN.md sections 1-3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from typing import Any

from trader.ports import Clock
from trader.simulation.exchange import TwinExchange
from trader.simulation.exchange_orders import UNKNOWN_ORDER, UNKNOWN_PAIR, OrderRequest, PairRules, Refused, Target, TwinOrder, invalid
from trader.simulation.kraken_server.spot import order_requests
from trader.simulation.kraken_server.spot.market_view import MarketView
from trader.simulation.kraken_server.spot.order_desk import OrderDesk
from trader.simulation.kraken_server.spot.order_form import flag, is_whole, listed, whole
from trader.simulation.kraken_server.spot.render import amend_row, describe, iso, order_row, shown_volume
from trader.simulation.kraken_server.wire.middleware import Call


class SpotOrders:
    """The REST door of the order desk. Every handler raises Refused with Kraken's string."""

    def __init__(self, desk: OrderDesk, exchange: TwinExchange, view: MarketView, clock: Clock) -> None:
        self._desk, self._exchange, self._view, self._clock = desk, exchange, view, clock
        self.handlers: Mapping[str, Callable[[Call], Any]] = {
            "AddOrder": self._add,
            "AddOrderBatch": self._add_batch,
            "AmendOrder": self._amend,
            "EditOrder": self._edit,
            "OrderAmends": self._amends,
            "CancelOrder": self._cancel,
            "CancelOrderBatch": self._cancel_batch,
            "CancelAll": lambda _: {"count": desk.cancel_all()},
            "CancelAllOrdersAfter": self._cancel_all_after,
        }

    # --- placing ---------------------------------------------------------------------------------------------------
    def _add(self, call: Call) -> dict[str, Any]:
        rules, validate = self._rules(call.fields), flag(call.fields, "validate")
        order = self._desk.add(
            rules.symbol,
            lambda: order_requests.order_request(call.fields, rules.symbol, call.arrived_us),
            validate=validate,
            swallow=call.flags.get("swallow_stops", False),
            share=Decimal(call.flags["partial_fill"]) if "partial_fill" in call.flags else None,
        )
        return _placed(order, rules, [order.txid], validate=validate)

    def _add_batch(self, call: Call) -> dict[str, Any]:
        rules, validate = self._rules(call.fields), flag(call.fields, "validate")
        reads = [
            partial(order_requests.order_request, fields, rules.symbol, call.arrived_us) for fields in order_requests.batch(call.fields)
        ]
        answers = self._desk.add_batch(rules.symbol, reads, validate=validate, swallow=call.flags.get("swallow_stops", False))
        rows = []
        for answer in answers:
            if isinstance(answer, Refused):
                rows.append({"error": answer.error})
            else:
                rows.append(_placed(answer, rules, answer.txid, validate=validate))
        return {"orders": rows}

    # --- changing --------------------------------------------------------------------------------------------------
    def _amend(self, call: Call) -> dict[str, str]:
        change = order_requests.amendment(call.fields, call.arrived_us)
        return {"amend_id": self._desk.amend(_target(call.fields, "txid"), change)}

    def _edit(self, call: Call) -> dict[str, Any]:
        rules, validate = self._rules(call.fields), flag(call.fields, "validate")

        def read(order: TwinOrder) -> OrderRequest:
            if order.pair != rules.symbol:
                raise invalid("pair")
            return order_requests.edited(order, call.fields, call.arrived_us)

        old, new = self._desk.edit(_target(call.fields, "txid", userref=True), read, validate=validate)
        answer: dict[str, Any] = {"status": "ok", "descr": {"order": describe(new, rules)["order"]}}
        if validate:
            return answer
        prices = order_row(new, rules, trades=False)["descr"]
        answer |= {"txid": new.txid, "originaltxid": old.txid, "volume": f"{shown_volume(new):.{rules.lot_decimals}f}"}
        answer |= {"price": prices["price"], "price2": prices["price2"], "orders_cancelled": 1}
        return answer

    def _amends(self, call: Call) -> dict[str, Any]:
        order = self._exchange.state.orders.get(call.fields.get("order_id", ""))
        if order is None:
            raise Refused(UNKNOWN_ORDER)
        amends = self._exchange.state.amends.get(order.txid, [])
        return {"count": len(amends), "amends": [amend_row(amend, self._exchange.rule(order.pair)) for amend in amends]}

    # --- cancelling ------------------------------------------------------------------------------------------------
    def _cancel(self, call: Call) -> dict[str, int]:
        target = _target(call.fields, "txid", userref=True)
        if "fill_at_cancel" in call.flags:
            self._desk.take(target)
        return {"count": self._desk.cancel(target, ignored="cancel_ignored" in call.flags)}

    def _cancel_batch(self, call: Call) -> dict[str, int]:
        targets = [_named(text) for text in listed(call.fields, "orders")]
        targets += [Target(cl_ord_id=text) for text in listed(call.fields, "cl_ord_ids")]
        return {"count": self._desk.cancel_batch(targets)}

    def _cancel_all_after(self, call: Call) -> dict[str, str]:
        if not call.fields.get("timeout"):
            raise invalid("timeout")
        fires_us = self._desk.cancel_all_after(whole(call.fields, "timeout"))
        return {"currentTime": _second(self._clock.now_us()), "triggerTime": _second(fires_us) if fires_us else "0"}

    # --- helpers ---------------------------------------------------------------------------------------------------
    def _rules(self, fields: Mapping[str, str]) -> PairRules:
        rules = self._view.find(fields.get("pair", ""))
        if rules is None:
            raise Refused(UNKNOWN_PAIR)
        return rules


def _placed(order: TwinOrder, rules: PairRules, txid: str | list[str], *, validate: bool) -> dict[str, Any]:
    """What AddOrder says of an order; one that was only judged has no txid."""
    return {"descr": describe(order, rules)} | ({} if validate else {"txid": txid})


def _named(text: str) -> Target:
    """A txid, or a userref where it is a whole number (KRAKEN.md section 1)."""
    return Target(userref=int(text)) if is_whole(text) else Target(txid=text)


def _target(fields: Mapping[str, str], name: str, *, userref: bool = False) -> Target:
    """The order named by `name` or cl_ord_id, exactly one of them; with `userref`, `name` may be one."""
    txid, cl_ord_id = fields.get(name) or None, fields.get("cl_ord_id") or None
    if (txid is None) == (cl_ord_id is None):
        raise invalid(name)
    return _named(txid) if userref and txid is not None else Target(txid=txid, cl_ord_id=cl_ord_id)


def _second(time_us: int) -> str:
    """RFC 3339 in whole seconds."""
    return iso(time_us)[:19] + "Z"
