"""Orders, trades and amends in Kraken's shapes: REST objects and the grammar of `descr` (KRAKEN.md section 2)."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from trader.domain.money import ZERO, divide, mul, quantum, round_to
from trader.simulation.exchange_orders import Amend, PairRules, TwinOrder, TwinTrade
from trader.simulation.exchange_terms import LIMITED, MARKET, TRIGGERED, Close, Offset


def seconds(time_us: int) -> float:
    """Unix seconds with a fraction, as Kraken's times are."""
    return time_us / 1e6


@lru_cache(maxsize=256)
def iso(time_us: int) -> str:
    """RFC 3339 with microseconds; frames of one tick share theirs."""
    minute_us = time_us % 60_000_000
    return f"{_whole_minute(time_us // 60_000_000)}:{minute_us // 1_000_000:02d}.{minute_us % 1_000_000:06d}Z"


@lru_cache(maxsize=64)
def _whole_minute(minutes: int) -> str:
    return datetime.fromtimestamp(60 * minutes, UTC).isoformat()[:16]


@lru_cache(maxsize=4096)
def fixed(value: Decimal, digits: int) -> str:
    """A number with so many digits. A resting order is asked for again and again, and its numbers are the same each time."""
    return f"{value or ZERO:.{digits}f}"  # -0 is the same key as 0


def price_text(value: Decimal | None, rules: PairRules) -> str:
    """A price with the pair's digits, "0" for none."""
    return "0" if value is None else fixed(value, rules.pair_decimals)


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
    result = {"order": f"{order.side} {fixed(shown_volume(order), rules.lot_decimals)} {rules.altname} @ {spec(order, rules)}"}
    if order.close is not None:
        result["close"] = f"close position @ {spec(order.close, rules)}"
    return result


def average(order: TwinOrder, rules: PairRules) -> Decimal:
    """Average fill price, 0 without fills.

    Each cost was rounded to the digits of the quote currency; where a price on the tick explains their sum as well, it is that.
    """
    if not order.executed:
        return ZERO
    exact = divide(order.cost, order.executed, quantum(max(rules.pair_decimals, 5)))
    near, doubt = round_to(exact, rules.tick), divide(mul(rules.quote_step, Decimal(len(order.trades))), Decimal(2), quantum(12))
    return near if abs(mul(near, order.executed) - order.cost) <= doubt else exact


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
        "vol": fixed(shown_volume(order), rules.lot_decimals),
        "vol_exec": fixed(order.executed if order.cash is None else order.cost, rules.lot_decimals),
        "cost": fixed(order.cost, rules.cost_decimals),
        "fee": fixed(order.fee, rules.cost_decimals),
        "price": fixed(average(order, rules), digits),
        "stopprice": fixed((order.trigger if order.trailing or order.triggered else None) or ZERO, digits),
        "limitprice": fixed(limit_price(order) or ZERO, digits),
        "misc": "",
        "oflags": ",".join((*(("post",) if order.post_only else ()), *order.oflags)),
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
