"""Orders, trades and events in Kraken's shapes: REST objects, `descr` grammar, executions frames (KRAKEN.md sections 2-3)."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from trader.domain.money import ZERO, divide, quantum
from trader.simulation.exchange_orders import Amend, Event, PairRules, TwinOrder, TwinTrade
from trader.simulation.exchange_terms import LIMITED, MARKET, TRIGGERED, Close, Offset

_STATUS = {"pending": "pending_new", "open": "new", "closed": "filled", "canceled": "canceled", "expired": "expired"}


def seconds(time_us: int) -> float:
    """Unix seconds with a fraction, as Kraken's times are."""
    return time_us / 1e6


def iso(time_us: int) -> str:
    """RFC 3339 with microseconds."""
    return datetime.fromtimestamp(time_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{time_us % 1_000_000:06d}Z"


def price_text(value: Decimal | None, rules: PairRules) -> str:
    """A price with the pair's digits, "0" for none."""
    return "0" if value is None else f"{value:.{rules.pair_decimals}f}"


def offset_text(offset: Offset, rules: PairRules) -> str:
    """A relative price as Kraken words it: `+50.0000%`, `-100.0`."""
    return f"{offset.sign}{offset.amount:.4f}%" if offset.percent else f"{offset.sign}{offset.amount:.{rules.pair_decimals}f}"


def level_text(price: Decimal | None, by: Offset | None, rules: PairRules) -> str:
    """A price as it was asked for: relative stays relative."""
    return price_text(price, rules) if by is None else offset_text(by, rules)


def spec(terms: TwinOrder | Close, rules: PairRules) -> str:
    """The part of `descr` behind the @: `stop loss 55.00000 -> limit 54.00000`."""
    kind = terms.ordertype
    if kind == MARKET:
        return "market"
    words = []
    if kind in TRIGGERED:
        words.append(f"{kind.removesuffix('-limit').replace('-', ' ')} {level_text(terms.trigger, terms.trigger_by, rules)}")
    if kind in LIMITED:
        name = "limit" if kind in TRIGGERED else kind
        words.append(f"{name} {level_text(terms.price, terms.price_by, rules)}")
    return " -> ".join(words)


def shown_volume(order: TwinOrder) -> Decimal:
    """Volume as it was asked for: in quote for a market buy by cost."""
    return order.volume if order.cash is None else order.cash


def describe(order: TwinOrder, rules: PairRules) -> dict[str, str]:
    """`descr` of AddOrder: the order sentence, and the closing order's where there is one."""
    result = {"order": f"{order.side} {shown_volume(order):.{rules.lot_decimals}f} {rules.altname} @ {spec(order, rules)}"}
    if order.close is not None:
        result["close"] = f"close position @ {spec(order.close, rules)}"
    return result


def average(order: TwinOrder, rules: PairRules) -> Decimal:
    """Average fill price, 0 without fills."""
    return divide(order.cost, order.executed, quantum(max(rules.pair_decimals, 5))) if order.executed else ZERO


def order_row(order: TwinOrder, rules: PairRules, *, trades: bool) -> dict[str, Any]:
    """The order object of OpenOrders, ClosedOrders and QueryOrders."""
    sentence, limit = describe(order, rules), level_text(order.price, order.price_by, rules)
    triggered, digits = order.ordertype in TRIGGERED, max(rules.pair_decimals, 5)
    first, second = (level_text(order.trigger, order.trigger_by, rules), limit) if triggered else (limit, "0")
    row: dict[str, Any] = {
        "refid": order.refid,
        "userref": order.userref,
        "cl_ord_id": order.cl_ord_id,
        "status": order.status,
        "opentm": seconds(order.opened_us),
        "starttm": order.start_us // 1_000_000,
        "expiretm": order.expire_us // 1_000_000,
        "descr": {
            "pair": rules.altname,
            "type": order.side,
            "ordertype": order.ordertype,
            "price": first,
            "price2": second,
            "leverage": "none",
            "order": sentence["order"],
            "close": sentence.get("close", ""),
        },
        "vol": f"{shown_volume(order):.{rules.lot_decimals}f}",
        "vol_exec": f"{order.executed if order.cash is None else order.cost:.{rules.lot_decimals}f}",
        "cost": f"{order.cost:.{rules.cost_decimals}f}",
        "fee": f"{order.fee:.{rules.cost_decimals}f}",
        "price": f"{average(order, rules):.{digits}f}",
        "stopprice": f"{(order.trigger if order.trailing or order.triggered else None) or ZERO:.{digits}f}",
        "limitprice": f"{limit_price(order) or ZERO:.{digits}f}",
        "misc": "",
        "oflags": ",".join((*order.oflags, *(("post",) if order.post_only else ()))),
        "reason": order.reason,
    }
    if triggered:
        row["trigger"] = "last"
    if order.display is not None:
        row["displayvol"] = f"{order.display:.{rules.lot_decimals}f}"
    if not order.live:
        row["closetm"] = seconds(order.closed_us)
    if trades and order.trades:
        row["trades"] = list(order.trades)
    return row


def limit_price(order: TwinOrder) -> Decimal | None:
    """`limitprice`: the limit of a triggered order, the peak of a trailing stop that still waits (as recorded from Kraken)."""
    if order.triggered:
        return order.price
    return order.peak if order.trailing else None


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


def execution(event: Event, rules: PairRules, *, trade_says_filled: bool = False) -> dict[str, Any]:
    """One item of the executions channel, with the fields Kraken sends for this kind of event.

    `trade_says_filled`: the trade that fills an order says so; else it says partially_filled and a `filled` item follows.
    """
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
        filled = trade_says_filled and not order.remaining
        return base | trade_fields(event.trade, order, rules) | {"order_status": "filled" if filled else "partially_filled"}
    if event.kind == "new":
        return base | {"order_status": "new"}
    if event.kind == "status":
        return base | {"triggers": triggers(order), "order_status": live_status(order)} | _limit(order)
    if event.kind in ("amended", "restated", "iceberg_refill"):
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
        "limit_price_type": _price_type(order.price_by),
        "time_in_force": order.timeinforce,
        "cum_cost": float(order.cost),
        "stop_price": float(order.trigger or ZERO),
        "fee_usd_equiv": 0.0,
        "fee_ccy_pref": "fciq" if "fciq" in order.oflags else "fcib" if "fcib" in order.oflags else "",
    }
    row |= _limit(order)
    if order.cash is not None:
        row["cash_order_qty"] = float(order.cash)
    if order.display is not None:
        row["display_qty"] = float(order.display)
    if order.cl_ord_id is not None:
        row["cl_ord_id"] = order.cl_ord_id
    if order.refid is not None:
        row["order_ref_id"] = order.refid
    if order.post_only:
        row["post_only"] = True
    if order.ordertype in TRIGGERED:
        row["triggers"] = triggers(order)
    if order.close is not None:
        row["contingent"] = contingent(order.close)
    return row


def _limit(order: TwinOrder) -> dict[str, float]:
    """`limit_price`, where there is one by now."""
    return {} if order.price is None else {"limit_price": float(order.price)}


def _price_type(by: Offset | None) -> str:
    return "static" if by is None else "pct" if by.percent else "quote"


def _asked(price: Decimal | None, by: Offset | None) -> float:
    """A price as it was asked for: a distance keeps its sign."""
    if by is not None:
        return float(-by.amount if by.sign == "-" else by.amount)
    return float(price or ZERO)


def triggers(order: TwinOrder) -> dict[str, Any]:
    """`triggers` of a triggered order: what was asked for, the price it stands for now, and whether it was reached."""
    row: dict[str, Any] = {
        "reference": "last",
        "price": _asked(order.trigger, order.trigger_by),
        "price_type": _price_type(order.trigger_by),
        "status": "triggered" if order.triggered else "untriggered",
    }
    if order.trigger is not None:
        row["actual_price"] = float(order.trigger)
    if order.peak is not None:
        row["peak_price"] = float(order.peak)
    return row


def contingent(close: Close) -> dict[str, Any]:
    """`contingent` of an order that carries a conditional close."""
    row: dict[str, Any] = {"order_type": close.ordertype}
    if close.ordertype in TRIGGERED:
        row |= {"trigger_price": _asked(close.trigger, close.trigger_by), "trigger_price_type": _price_type(close.trigger_by)}
    if close.ordertype in LIMITED:
        row |= {"limit_price": _asked(close.price, close.price_by), "limit_price_type": _price_type(close.price_by)}
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


def amend_row(amend: Amend, rules: PairRules) -> dict[str, Any]:
    """One entry of OrderAmends; its timestamp is in milliseconds."""
    row: dict[str, Any] = {
        "amend_id": amend.amend_id,
        "amend_type": amend.kind,
        "order_qty": f"{amend.volume:.{rules.lot_decimals}f}",
        "remaining_qty": f"{amend.remaining:.{rules.lot_decimals}f}",
        "post_only": amend.post_only,
        "timestamp": amend.time_us // 1000,
    }
    if amend.price is not None:
        row["limit_price"] = price_text(amend.price, rules)
    if amend.trigger is not None:
        row["trigger_price"] = price_text(amend.trigger, rules)
    if amend.display is not None:
        row["display_qty"] = f"{amend.display:.{rules.lot_decimals}f}"
    return row
