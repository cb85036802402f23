"""Order entry on the private WebSocket: one method a message, answered by `req_id`; parameters beside `params` are not read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from trader.ports import Clock
from trader.simulation.exchange import TwinExchange
from trader.simulation.exchange_orders import UNKNOWN_ORDER, OrderRequest, Refused, Target, TwinOrder, invalid
from trader.simulation.kraken_server.spot.order_desk import OrderDesk
from trader.simulation.kraken_server.spot.render import iso
from trader.simulation.kraken_server.stream import frames, ws_params
from trader.simulation.kraken_server.stream import order_form_ws as form
from trader.simulation.kraken_server.stream.connection import Connection
from trader.simulation.kraken_server.stream.private_channels import PrivateChannels
from trader.simulation.kraken_server.stream.subscriptions import Request

ENDPOINTS = {
    "add_order": "AddOrder",
    "amend_order": "AmendOrder",
    "edit_order": "EditOrder",
    "cancel_order": "CancelOrder",
    "cancel_all": "CancelAll",
    "cancel_all_orders_after": "CancelAllOrdersAfter",
    "batch_add": "AddOrderBatch",
    "batch_cancel": "CancelOrderBatch",
}
"""Method -> the REST endpoint whose permission it takes."""
BATCH_CANCEL = 2  # orders at least, by batch_cancel

Answer = dict[str, Any]  # what an answer has beside method, req_id and times


class OrderMethods:
    """The WebSocket door of the order desk."""

    def __init__(self, desk: OrderDesk, exchange: TwinExchange, clock: Clock, private: PrivateChannels) -> None:
        self._desk, self._exchange, self._clock, self._private = desk, exchange, clock, private
        self._handlers: Mapping[str, Callable[[Mapping[str, Any]], list[Answer]]] = {
            "add_order": self._add,
            "amend_order": self._amend,
            "edit_order": self._edit,
            "cancel_order": self._cancel,
            "cancel_all": lambda _: [_success({"count": desk.cancel_all()})],
            "cancel_all_orders_after": self._cancel_all_after,
            "batch_add": self._add_batch,
            "batch_cancel": self._cancel_batch,
        }

    def answer(self, connection: Connection, request: Request, error: str | None = None) -> list[str]:
        """Carry a request out; its answers, one for each order where several are cancelled. `error`: only refuse with these words."""
        arrived = self._clock.now_us()
        try:
            if error is not None:
                raise Refused(error)
            self._private.admit(connection, request.params.get("token"), ENDPOINTS[request.method])
            ws_params.known(request.method, request.params)
            answers = self._handlers[request.method](request.params)
        except Refused as refusal:
            answers = [_failure(refusal.error)]
        return [frames.reply(request.method, request.req_id, arrived, answer) for answer in answers]

    # --- placing and changing --------------------------------------------------------------------------------------
    def _add(self, params: Mapping[str, Any]) -> list[Answer]:
        symbol, validate = self._symbol(params), ws_params.flag(params, "validate")
        order = self._desk.add(symbol, partial(form.order_request, params, symbol, self._clock.now_us()), validate=validate)
        return [_success(_placed(order, validate=validate))]

    def _add_batch(self, params: Mapping[str, Any]) -> list[Answer]:
        symbol, validate, orders = self._symbol(params), ws_params.flag(params, "validate"), params.get("orders")
        if not isinstance(orders, list) or not all(isinstance(order, Mapping) for order in orders):
            raise invalid("orders")
        for order in orders:
            ws_params.known("add_order", order)
        common = {"deadline": params["deadline"]} if "deadline" in params else {}
        reads = [partial(form.order_request, common | dict(order), symbol, self._clock.now_us()) for order in orders]
        answers = self._desk.add_batch(symbol, reads, validate=validate)
        rows = [{"error": one.error} if isinstance(one, Refused) else _placed(one, validate=validate) for one in answers]
        refusals = [row["error"] for row in rows if "error" in row]
        return [_failure(refusals[0]) | {"result": rows} if len(refusals) == len(rows) else {"success": True, "result": rows}]

    def _amend(self, params: Mapping[str, Any]) -> list[Answer]:
        target = form.target(params)
        amend_id = self._desk.amend(target, form.amendment(params, self._clock.now_us()))
        named = {"order_id": target.txid} if target.txid else {"cl_ord_id": target.cl_ord_id}
        return [_success({"amend_id": amend_id} | named)]

    def _edit(self, params: Mapping[str, Any]) -> list[Answer]:
        symbol, validate, now_us = self._symbol(params), ws_params.flag(params, "validate"), self._clock.now_us()

        def read(order: TwinOrder) -> OrderRequest:
            if order.pair != symbol:
                raise invalid("symbol")
            return form.edited(order, params, now_us)

        old, new = self._desk.edit(Target(txid=ws_params.text(params, "order_id")), read, validate=validate)
        return [_success({"original_order_id": old.txid} | _placed(new, validate=validate))]

    # --- cancelling ------------------------------------------------------------------------------------------------
    def _cancel(self, params: Mapping[str, Any]) -> list[Answer]:
        """One answer for each order, or for each id that names none."""
        return [answer for target in form.targets(params) for answer in self._cancel_one(target)]

    def _cancel_one(self, target: Target) -> list[Answer]:
        orders = self._exchange.matching(target, self._clock.now_us())
        if not orders:
            return [_failure(UNKNOWN_ORDER)]
        answers = []
        for order in orders:
            try:
                self._desk.cancel(Target(txid=order.txid))
                answers.append(_success(_names(order)))
            except Refused as refusal:
                answers.append(_failure(refusal.error))
        return answers

    def _cancel_batch(self, params: Mapping[str, Any]) -> list[Answer]:
        targets = form.batch_targets(params)
        if len(targets) < BATCH_CANCEL:
            raise invalid("orders")
        count = self._desk.cancel_batch(targets)
        return [_success({"count": count}) | {"orders_cancelled": count}]  # the documentation shows the one and the other

    def _cancel_all_after(self, params: Mapping[str, Any]) -> list[Answer]:
        if "timeout" not in params:
            raise invalid("timeout")
        fires_us = self._desk.cancel_all_after(ws_params.whole(params, "timeout"))
        return [_success({"currentTime": iso(self._clock.now_us()), "triggerTime": iso(fires_us) if fires_us else "0"})]

    def _symbol(self, params: Mapping[str, Any]) -> str:
        symbol = params.get("symbol")
        if not isinstance(symbol, str) or symbol not in self._exchange.by_symbol:
            raise Refused(f"Currency pair not supported {symbol}")
        return symbol


def _success(result: Mapping[str, Any]) -> Answer:
    return {"success": True, "result": result}


def _failure(error: str) -> Answer:
    return {"success": False, "error": error}


def _placed(order: TwinOrder, *, validate: bool) -> Answer:
    """The ids of a new order; one that was only judged has none but the client's."""
    names = _names(order)
    return {key: value for key, value in names.items() if not (validate and key == "order_id")}


def _names(order: TwinOrder) -> Answer:
    ids: Answer = {"order_id": order.txid}
    if order.cl_ord_id is not None:
        ids["cl_ord_id"] = order.cl_ord_id
    if order.userref:
        ids["order_userref"] = order.userref
    return ids
