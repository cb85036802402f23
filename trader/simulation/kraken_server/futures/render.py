"""Shapes of the futures REST API: orders, events, fills, positions, accounts (KRAKEN.md section 6). Numbers are JSON numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from trader.domain.money import plain
from trader.simulation.futures.contracts import CASH, FLEX
from trader.simulation.futures.engine import FuturesExchange
from trader.simulation.futures.margin import Standing
from trader.simulation.futures.orders import FOK, IOC, LIQUIDATION, MKT, SELL, TAKE_PROFIT, Fill, FuturesOrder, Happening, Position

REASONS = {
    "postWouldExecute": "POST_WOULD_EXECUTE",
    "iocWouldNotExecute": "IOC_WOULD_NOT_EXECUTE",
    "wouldNotReducePosition": "WOULD_NOT_REDUCE_POSITION",
}
SIGNAL_NAMES = {"last": "last_price", "mark": "mark_price", "index": "spot_price"}


def iso_ms(time_us: int) -> str:
    """`2026-01-05T00:00:00.000Z`, as all of the futures API writes times."""
    moment = datetime.fromtimestamp(time_us // 1_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_us // 1000 % 1000:03d}Z"


def number(value: Decimal | None) -> float | None:
    """A decimal as a JSON number."""
    return None if value is None else float(value)


def client_id(order: FuturesOrder | Fill) -> dict[str, str]:
    """Both spellings under which Kraken's answers carry the client's id; nothing where there is none."""
    return {} if order.cli_ord_id is None else {"cliOrdId": order.cli_ord_id, "cli_ord_id": order.cli_ord_id}


def wire_type(order: FuturesOrder) -> str:
    """Type of an order in events: a market order is an IOC with a limit, a fired trigger what it became."""
    if order.triggered:
        return "lmt" if order.limit_price is not None else "ioc"
    return "ioc" if order.order_type == MKT else order.order_type


def trigger_side(order: FuturesOrder) -> str:
    """Side of the trigger price that fires it."""
    return "trigger_below" if (order.side == SELL) != (order.order_type == TAKE_PROFIT) else "trigger_above"


def event_order(order: FuturesOrder, filled: Decimal | None = None) -> dict[str, Any]:
    """An order as it stands in an event; `filled`: what was filled before an execution."""
    return {
        "orderId": order.order_id,
        "cliOrdId": order.cli_ord_id,
        "type": wire_type(order),
        "symbol": order.symbol,
        "side": order.side,
        "quantity": number(order.size),
        "filled": number(order.filled if filled is None else filled),
        "limitPrice": number(order.limit_price),
        "reduceOnly": order.reduce_only,
        "timestamp": iso_ms(order.received_us),
        "lastUpdateTimestamp": iso_ms(order.updated_us),
    }


def event_trigger(order: FuturesOrder) -> dict[str, Any]:
    """A waiting trigger as it stands in an event."""
    return {
        "uid": order.order_id,
        "clientId": order.cli_ord_id,
        "type": "lmt" if order.limit_price is not None else "ioc",
        "symbol": order.symbol,
        "side": order.side,
        "quantity": number(order.size),
        "limitPrice": number(order.limit_price),
        "triggerPrice": number(order.stop_price),
        "triggerSide": trigger_side(order),
        "triggerSignal": SIGNAL_NAMES[order.trigger_signal],
        "reduceOnly": order.reduce_only,
        "timestamp": iso_ms(order.received_us),
        "lastUpdateTimestamp": iso_ms(order.updated_us),
    }


def subject(order: FuturesOrder) -> dict[str, Any]:
    """The order of an event under the name its kind has."""
    return {"orderTrigger": event_trigger(order)} if order.waiting else {"order": event_order(order)}


def order_events(order: FuturesOrder, happenings: Iterable[Happening]) -> list[dict[str, Any]]:
    """Events of one request. What fills at once is only executions; a rest that stays in the book follows as PLACE."""
    rows: list[dict[str, Any]] = []
    executed = placed = False
    for item in happenings:
        if item.order.order_id != order.order_id:
            continue
        if item.kind == "placed":
            placed = True
        elif item.kind == "edited" and item.before is not None:
            old, new = (event_trigger, event_trigger) if item.order.waiting else (event_order, event_order)
            rows.append({"type": "EDIT", "old": old(item.before), "new": new(item.order), "reducedQuantity": None})
        elif item.kind == "fill" and item.fill is not None:
            executed = True
            rows.append(_execution(item.order, item.fill))
        elif item.kind == "cancelled":
            rows.append({"type": "CANCEL", "uid": order.order_id, **subject(item.order)})
    if placed and (order.live or not rows or not executed):
        rows.insert(len(rows) if executed else 0, {"type": "PLACE", **subject(order), "reducedQuantity": None})
    return rows


def _execution(order: FuturesOrder, fill: Fill) -> dict[str, Any]:
    prior = event_order(order, order.filled - fill.size)
    prior["limitPrice"] = number(fill.limit_price)
    return {
        "type": "EXECUTION",
        "executionId": fill.fill_id,
        "price": number(fill.price),
        "amount": number(fill.size),
        "orderPriorEdit": None,
        "orderPriorExecution": prior,
        "takerReducedQuantity": None,
    }


def rejection(status: str, order: FuturesOrder | None) -> list[dict[str, Any]]:
    """Events of a refused order: a REJECT where Kraken names a reason."""
    if order is None or status not in REASONS:
        return []
    return [{"type": "REJECT", "uid": order.order_id, "reason": REASONS[status], "order": event_order(order)}]


def open_order(order: FuturesOrder) -> dict[str, Any]:
    """A row of openorders."""
    row: dict[str, Any] = {
        "order_id": order.order_id,
        **client_id(order),
        "symbol": order.symbol,
        "side": order.side,
        "orderType": wire_type(order),
        "unfilledSize": number(order.remaining),
        "receivedTime": iso_ms(order.received_us),
        "status": "partiallyFilled" if order.filled else "untouched",
        "filledSize": number(order.filled),
        "reduceOnly": order.reduce_only,
        "lastUpdateTime": iso_ms(order.updated_us),
    }
    if order.limit_price is not None:
        row["limitPrice"] = number(order.limit_price)
    if order.waiting:
        row |= {"stopPrice": number(order.stop_price), "triggerSignal": order.trigger_signal}
    return row


def order_status(order: FuturesOrder) -> dict[str, Any]:
    """A row of orders/status."""
    status = "ENTERED_BOOK" if order.live else "FULLY_EXECUTED" if order.status == "filled" else "CANCELLED"
    row = event_order(order) | {"type": "TRIGGER_ORDER" if order.waiting else "ORDER"}
    if order.waiting:
        status = "TRIGGER_PLACED" if order.live else status
        row["priceTriggerOptions"] = {
            "triggerPrice": number(order.stop_price),
            "triggerSide": trigger_side(order).upper(),
            "triggerSignal": SIGNAL_NAMES[order.trigger_signal].upper(),
        }
    return {"order": row, "status": status, "updateReason": None if order.live else order.reason, "error": None}


def fill_row(fill: Fill) -> dict[str, Any]:
    """A row of fills."""
    return {
        "fill_id": fill.fill_id,
        "order_id": fill.order_id,
        **client_id(fill),
        "symbol": fill.symbol,
        "side": fill.side,
        "size": number(fill.size),
        "price": number(fill.price),
        "fillTime": iso_ms(fill.time_us),
        "fillType": fill.fill_type,
        "fee_paid": number(fill.fee),
        "fee_currency": currency(fill.currency),
    }


def currency(asset: str) -> str:
    """An asset as fills name it."""
    return "BTC" if asset == "xbt" else asset.upper()


def position_row(position: Position, exchange: FuturesExchange) -> dict[str, Any]:
    """A row of openpositions; a leverage preference shows that it is isolated. Neither mark nor profit are in it."""
    contract = exchange.contracts[position.symbol]
    row: dict[str, Any] = {
        "side": "long" if position.size > 0 else "short",
        "symbol": position.symbol,
        "price": number(contract.entry_price(position.size, position.basis)),
        "fillTime": iso_ms(position.since_us),
        "size": number(abs(position.size)),
        "unrealizedFunding": number(position.unrealized_funding),
    }
    leverage = exchange.state.leverage.get(position.symbol)
    if not contract.inverse:
        row["pnlCurrency"] = exchange.state.pnl_currency.get(position.symbol, "USD")
        if leverage is not None:
            row["maxFixedLeverage"] = number(leverage)
    return row


def accounts(exchange: FuturesExchange) -> dict[str, Any]:
    """All accounts: cash, flex (multi-collateral, here USD only), one margin account per inverse base."""
    found: dict[str, Any] = {}
    for name, held in exchange.state.balances.items():
        if name == CASH:
            found[name] = {"type": "cashAccount", "balances": {asset: number(amount) for asset, amount in held.items()}}
        elif name == FLEX:
            found[name] = _flex(exchange.standing(FLEX))
        else:
            sizes = {p.symbol: p.size for p in exchange.positions() if exchange.contracts[p.symbol].account == name}
            found[name] = _margin_account(next(iter(held)), exchange.standing(name), sizes, exchange.account_price(name))
    return found


def _flex(standing: Standing) -> dict[str, Any]:
    balance, free = number(standing.balance), number(max(standing.available, Decimal(0)))
    return {
        "type": "multiCollateralMarginAccount",
        "currencies": {"USD": {"quantity": balance, "value": balance, "collateral": balance, "available": free}},
        "initialMargin": number(standing.initial),
        "initialMarginWithOrders": number(standing.with_orders),
        "maintenanceMargin": number(standing.maintenance),
        "balanceValue": balance,
        "portfolioValue": number(standing.equity),
        "collateralValue": balance,
        "pnl": number(standing.pnl),
        "unrealizedFunding": number(standing.funding),
        "totalUnrealized": number(standing.pnl + standing.funding),
        "totalUnrealizedAsMargin": number(standing.pnl + standing.funding),
        "availableMargin": number(standing.available),
        "marginEquity": number(standing.equity),
    }


def _margin_account(asset: str, standing: Standing, sizes: Mapping[str, Decimal], price: Decimal) -> dict[str, Any]:
    """`lt` and `tt`, the liquidation and termination thresholds, are the maintenance margin: liquidation is of the whole position."""
    needed = {"im": number(standing.initial), "mm": number(standing.maintenance)}
    needed |= {"lt": needed["mm"], "tt": needed["mm"]}
    return {
        "type": "marginAccount",
        "currency": asset,
        "balances": {asset: number(standing.balance)} | {symbol: number(size) for symbol, size in sizes.items()},
        "auxiliary": {
            "usd": number(standing.equity * price),
            "pv": number(standing.equity),
            "pnl": number(standing.pnl),
            "af": number(standing.available),
            "funding": number(standing.funding),
        },
        "marginRequirements": needed,
        "triggerEstimates": dict.fromkeys(needed, 0),
    }


HISTORY_TYPES = {"lmt": "Limit", "post": "Post", IOC: "IoC", MKT: "IoC", FOK: "FillOrKill"}


def history_order(order: FuturesOrder, account: str) -> dict[str, Any]:
    """An order in the event history; `quantity` is what is left of it. All numbers are text, times are milliseconds."""
    kind = "Limit" if order.limit_price is not None else "IoC"
    row: dict[str, Any] = {
        "uid": order.order_id,
        "accountUid": account,
        "tradeable": order.symbol,
        "direction": order.side.capitalize(),
        "quantity": plain(order.remaining),
        "filled": plain(order.filled),
        "timestamp": order.received_us // 1000,
        "limitPrice": plain(order.limit_price) if order.limit_price is not None else "",
        "orderType": "Liquidation" if order.reason == LIQUIDATION else HISTORY_TYPES.get(order.order_type, kind),
        "clientId": order.cli_ord_id or "",
        "reduceOnly": order.reduce_only,
        "lastUpdateTimestamp": order.updated_us // 1000,
    }
    if order.waiting and order.stop_price is not None:
        row |= {
            "triggerOptions": {
                "triggerPrice": plain(order.stop_price),
                "triggerSide": trigger_side(order),
                "triggerSignal": SIGNAL_NAMES[order.trigger_signal],
            },
            "triggerPrice": plain(order.stop_price),
        }
    return row
