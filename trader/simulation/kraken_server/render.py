"""Orders, trades and events in Kraken's shapes: REST objects, `descr` grammar, executions frames (KRAKEN.md sections 2-3)."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from trader.domain.money import ZERO, divide, quantum
from trader.simulation.exchange_orders import LIMIT, MARKET, STOP_LOSS, Event, PairRules, TwinOrder, TwinTrade

_STATUS = {"open": "new", "closed": "filled", "canceled": "canceled", "expired": "expired"}


def seconds(time_us: int) -> float:
    """Unix seconds with a fraction, as Kraken's times are."""
    return time_us / 1e6


def iso(time_us: int) -> str:
    """RFC 3339 with microseconds."""
    return datetime.fromtimestamp(time_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{time_us % 1_000_000:06d}Z"


def price_text(value: Decimal | None, rules: PairRules) -> str:
    """A price with the pair's digits, "0" for none."""
    return "0" if value is None else f"{value:.{rules.pair_decimals}f}"


def spec(ordertype: str, rules: PairRules, *, price: Decimal | None, trigger: Decimal | None) -> str:
    """The part of `descr` behind the @."""
    if ordertype == MARKET:
        return "market"
    return f"limit {price_text(price, rules)}" if ordertype == LIMIT else f"stop loss {price_text(trigger, rules)}"


def describe(order: TwinOrder, rules: PairRules) -> dict[str, str]:
    """`descr` of AddOrder: the order sentence, and the closing order's where there is one."""
    words = f"{order.side} {order.volume:.{rules.lot_decimals}f} {rules.altname} @ "
    result = {"order": words + spec(order.ordertype, rules, price=order.price, trigger=order.trigger)}
    if order.close_trigger is not None:
        result["close"] = "close position @ " + spec(STOP_LOSS, rules, price=None, trigger=order.close_trigger)
    return result


def average(order: TwinOrder, rules: PairRules) -> Decimal:
    """Average fill price, 0 without fills."""
    return divide(order.cost, order.executed, quantum(max(rules.pair_decimals, 5))) if order.executed else ZERO


def order_row(order: TwinOrder, rules: PairRules, *, trades: bool) -> dict[str, Any]:
    """The order object of OpenOrders, ClosedOrders and QueryOrders."""
    sentence = describe(order, rules)
    row: dict[str, Any] = {
        "refid": order.refid,
        "userref": order.userref,
        "cl_ord_id": order.cl_ord_id,
        "status": order.status,
        "opentm": seconds(order.opened_us),
        "starttm": 0,
        "expiretm": order.expire_us // 1_000_000,
        "descr": {
            "pair": rules.altname,
            "type": order.side,
            "ordertype": order.ordertype,
            "price": price_text(order.trigger if order.ordertype == STOP_LOSS else order.price, rules),
            "price2": "0",
            "leverage": "none",
            "order": sentence["order"],
            "close": sentence.get("close", ""),
        },
        "vol": f"{order.volume:.{rules.lot_decimals}f}",
        "vol_exec": f"{order.executed:.{rules.lot_decimals}f}",
        "cost": f"{order.cost:.{rules.cost_decimals}f}",
        "fee": f"{order.fee:.{rules.cost_decimals}f}",
        "price": f"{average(order, rules):.{max(rules.pair_decimals, 5)}f}",
        "stopprice": f"{ZERO:.{rules.cost_decimals}f}",
        "limitprice": f"{ZERO:.{rules.cost_decimals}f}",
        "misc": "",
        "oflags": ",".join((*order.oflags, *(("post",) if order.post_only else ()))),
        "reason": order.reason,
    }
    if order.ordertype == STOP_LOSS:
        row["trigger"] = "last"
    if not order.live:
        row["closetm"] = seconds(order.closed_us)
    if trades and order.trades:
        row["trades"] = list(order.trades)
    return row


def trade_row(trade: TwinTrade, rules: PairRules, ledgers: list[str]) -> dict[str, Any]:
    """The trade object of TradesHistory."""
    return {
        "ordertxid": trade.txid,
        "postxid": "TKH2SE-M7IF5-CFI7LT",  # Kraken's placeholder for "no position"
        "pair": rules.pair_id,
        "time": seconds(trade.time_us),
        "type": trade.side,
        "ordertype": trade.ordertype,
        "price": f"{trade.price:.{rules.pair_decimals}f}",
        "cost": f"{trade.cost:.{rules.cost_decimals}f}",
        "fee": f"{trade.fee:.{rules.cost_decimals}f}",
        "vol": f"{trade.quantity:.{rules.lot_decimals}f}",
        "margin": f"{ZERO:.{rules.cost_decimals}f}",
        "misc": "",
        "trade_id": trade.number,
        "maker": trade.maker,
        "ledgers": ledgers,
    }


def execution(event: Event, rules: PairRules) -> dict[str, Any]:
    """One item of the executions channel, with the fields Kraken sends for this kind of event."""
    order = event.order
    base: dict[str, Any] = {
        "order_id": order.txid,
        "order_userref": order.userref,
        "exec_type": event.kind,
        "timestamp": iso(event.time_us),
    }
    if event.kind == "pending_new":
        return base | order_fields(order, rules) | {"order_status": "pending_new"}
    if event.kind == "trade" and event.trade is not None:
        return base | trade_fields(event.trade, order, rules) | {"order_status": "partially_filled"}
    if event.kind == "new":
        return base | {"order_status": "new"}
    if event.kind in ("amended", "restated"):
        return base | order_fields(order, rules) | totals(order, rules) | {"order_status": live_status(order)}
    ending = {"reason": event.reason, "cancel_reason": event.reason} if event.reason else {}
    return base | totals(order, rules) | {"order_status": _STATUS[order.status]} | ending


def live_status(order: TwinOrder) -> str:
    """`order_status` of the executions channel."""
    return "partially_filled" if order.live and order.executed else _STATUS[order.status]


def order_fields(order: TwinOrder, rules: PairRules) -> dict[str, Any]:
    """What describes an order in the executions channel."""
    row: dict[str, Any] = {
        "symbol": rules.symbol,
        "side": order.side,
        "order_type": order.ordertype,
        "order_qty": float(order.volume),
        "limit_price_type": "static",
        "time_in_force": order.timeinforce,
        "cum_cost": float(order.cost),
        "stop_price": float(order.trigger or ZERO),
        "fee_usd_equiv": 0.0,
        "fee_ccy_pref": "fciq" if "fciq" in order.oflags else "fcib" if "fcib" in order.oflags else "",
    }
    if order.price is not None:
        row["limit_price"] = float(order.price)
    if order.cl_ord_id is not None:
        row["cl_ord_id"] = order.cl_ord_id
    if order.refid is not None:
        row["order_ref_id"] = order.refid
    if order.post_only:
        row["post_only"] = True
    if order.trigger is not None:
        row["triggers"] = {"reference": "last", "price": float(order.trigger), "price_type": "static", "status": "untriggered"}
    if order.close_trigger is not None:
        row["contingent"] = {"order_type": STOP_LOSS, "trigger_price": float(order.close_trigger), "trigger_price_type": "static"}
    return row


def trade_fields(trade: TwinTrade, order: TwinOrder, rules: PairRules) -> dict[str, Any]:
    """What describes a fill in the executions channel; fees are in quote only (KRAKEN.md section 3)."""
    row: dict[str, Any] = {
        "exec_id": trade.trade_id,
        "trade_id": trade.number,
        "symbol": rules.symbol,
        "side": trade.side,
        "order_type": trade.ordertype,
        "last_qty": float(trade.quantity),
        "last_price": float(trade.price),
        "cost": float(trade.cost),
        "liquidity_ind": "m" if trade.maker else "t",
        "fees": [{"asset": rules.quote, "qty": float(trade.fee)}],
    }
    return row | totals(order, rules)


def totals(order: TwinOrder, rules: PairRules) -> dict[str, Any]:
    """Filled so far."""
    return {
        "cum_qty": float(order.executed),
        "cum_cost": float(order.cost),
        "avg_price": float(average(order, rules)),
        "fee_usd_equiv": float(order.fee),
    }
