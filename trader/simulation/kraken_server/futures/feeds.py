"""Frames of the futures WebSocket v1 feeds, in the shapes that were recorded (KRAKEN.md section 6)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from trader.domain.money import ZERO
from trader.simulation.futures.contracts import CASH, FLEX, Contract
from trader.simulation.futures.engine import FuturesExchange
from trader.simulation.futures.margin import Standing
from trader.simulation.futures.orders import BUY, FOK, IOC, MKT, POST_CROSSED, SELL, Fill, FuturesOrder, Happening, Position
from trader.simulation.futures.prices import HOUR
from trader.simulation.kraken_server.futures.market import FuturesMarket, Level, Trade
from trader.simulation.kraken_server.futures.render import currency, number

Frame = dict[str, Any]
BOOK_SIDES = ((BUY, "bids"), (SELL, "asks"))


# --- public ------------------------------------------------------------------------------------------------------------
def ticker(market: FuturesMarket, contract: Contract, now_us: int) -> Frame:
    """The `ticker` feed: prices, funding now and predicted, day figures."""
    exchange, row = market.exchange, market.ticker(contract)
    current, following = exchange.funding_rate(contract, now_us), market.next_rate(contract, now_us)
    return {
        "time": now_us // 1000,
        "product_id": contract.symbol,
        "funding_rate": number(current.absolute),
        "funding_rate_prediction": number(following.absolute),
        "relative_funding_rate": number(current.relative),
        "relative_funding_rate_prediction": number(following.relative),
        "next_funding_rate_time": (now_us - now_us % HOUR + HOUR) // 1000,
        "feed": "ticker",
        "bid": row["bid"],
        "ask": row["ask"],
        "bid_size": row["bidSize"],
        "ask_size": row["askSize"],
        "volume": row["vol24h"],
        "dtm": 0,
        "leverage": f"{int(1 / contract.levels[0].initial)}x",
        "index": row["indexPrice"],
        "premium": round(float(exchange.premium(contract) * 100), 4),
        "last": row["last"],
        "change": row["change24h"],
        "suspended": row["suspended"],
        "tag": "perpetual",
        "pair": f"{contract.name}:USD",
        "openInterest": row["openInterest"],
        "markPrice": row["markPrice"],
        "maturityTime": 0,
        "post_only": False,
        "volumeQuote": row["volumeQuote"],
        "open": row["open24h"],
        "high": row["high24h"],
        "low": row["low24h"],
    }


LITE = ("product_id", "bid", "ask", "change", "premium", "volume", "tag", "pair", "dtm", "maturityTime", "volumeQuote")


def ticker_lite(market: FuturesMarket, contract: Contract, now_us: int) -> Frame:
    """The `ticker_lite` feed."""
    whole = ticker(market, contract, now_us)
    return {"feed": "ticker_lite"} | {name: whole[name] for name in LITE}


def trade(contract: Contract, item: Trade) -> Frame:
    """One public trade."""
    return {
        "feed": "trade",
        "product_id": contract.symbol,
        "uid": item.uid,
        "side": item.side,
        "type": "fill",
        "seq": item.number,
        "time": item.time_us // 1000,
        "qty": number(item.size),
        "price": number(item.price),
    }


def trade_snapshot(contract: Contract, items: list[Trade]) -> Frame:
    """The last trades, newest first."""
    return {"feed": "trade_snapshot", "product_id": contract.symbol, "trades": [trade(contract, item) for item in reversed(items)]}


def book_snapshot(contract: Contract, sides: dict[str, list[Level]], seq: int, time_us: int) -> Frame:
    """The whole ladder."""
    rows = {name: [{"price": number(price), "qty": number(size)} for price, size in sides[side]] for side, name in BOOK_SIDES}
    return {"feed": "book_snapshot", "product_id": contract.symbol, "timestamp": time_us // 1000, "seq": seq, "tickSize": None, **rows}


def book_changes(before: dict[str, list[Level]], after: dict[str, list[Level]]) -> list[tuple[str, Decimal, Decimal]]:
    """(side, price, size) of every level that differs, size 0 where one is gone: sells first, in order of price."""
    changes: list[tuple[str, Decimal, Decimal]] = []
    for side in (SELL, BUY):
        old, new = dict(before[side]), dict(after[side])
        changes += [(side, price, ZERO) for price in old if price not in new]
        changes += [(side, price, size) for price, size in new.items() if old.get(price) != size]
    return changes


def book_delta(contract: Contract, change: tuple[str, Decimal, Decimal], seq: int, time_us: int) -> Frame:
    """One level."""
    side, price, size = change
    return {
        "feed": "book",
        "product_id": contract.symbol,
        "side": side,
        "seq": seq,
        "price": number(price),
        "qty": number(size),
        "timestamp": time_us // 1000,
    }


# --- orders and fills --------------------------------------------------------------------------------------------------
def open_order(order: FuturesOrder) -> Frame:
    """An order as the `open_orders` feeds show it; `qty` is what is left of it."""
    kind = "limit"
    if order.waiting:
        kind = {"take_profit": "take_profit", "trailing_stop": "trailing_stop"}.get(order.order_type, "stop")
    row: Frame = {
        "instrument": order.symbol,
        "time": order.received_us // 1000,
        "last_update_time": order.updated_us // 1000,
        "qty": number(order.remaining),
        "filled": number(order.filled),
        "limit_price": number(order.limit_price or ZERO),
        "stop_price": number(order.stop_price or ZERO) if order.waiting else 0.0,
        "type": kind,
        "order_id": order.order_id,
        "direction": 0 if order.side == BUY else 1,
        "reduce_only": order.reduce_only,
    }
    if order.cli_ord_id is not None:
        row["cli_ord_id"] = order.cli_ord_id
    return row | ({"triggerSignal": order.trigger_signal} if order.waiting else {})


def order_frames(feed: str, item: Happening) -> list[Frame]:
    """What the `open_orders` feeds say of something that happened. Orders that never rest do not appear, their failure does."""
    order, unseen = item.order, item.order.order_type in (MKT, IOC, FOK)
    if item.kind in ("placed", "edited"):
        return [] if unseen or item.reason == POST_CROSSED else [_with_order(feed, order, item.reason or "", cancelled=False)]
    if item.kind == "fill":
        reason = "full_fill" if order.remaining == ZERO else "partial_fill"
        return [] if unseen or order.limit_price is None else [_with_order(feed, order, reason, cancelled=reason == "full_fill")]
    if item.kind == "triggered":
        frames = [_gone(feed, order, "stop_order_triggered")]
        return frames if order.limit_price is None else [*frames, _with_order(feed, order, "limit_order_from_stop", cancelled=False)]
    return [_gone(feed, order, item.reason or "")] if item.kind == "cancelled" else []


def _with_order(feed: str, order: FuturesOrder, reason: str, *, cancelled: bool) -> Frame:
    return {"feed": feed, "order": open_order(order), "is_cancel": cancelled, "reason": reason}


def _gone(feed: str, order: FuturesOrder, reason: str) -> Frame:
    named = {} if order.cli_ord_id is None else {"cli_ord_id": order.cli_ord_id}
    return {"feed": feed, "order_id": order.order_id, **named, "is_cancel": True, "reason": reason}


def fill_row(fill: Fill) -> Frame:
    """A fill as the `fills` feed shows it."""
    kind = "limit" if fill.order_type in ("lmt", "post") else "ioc" if fill.order_type in (IOC, FOK) else "market"
    row: Frame = {
        "instrument": fill.symbol,
        "time": fill.time_us // 1000,
        "price": number(fill.price),
        "seq": fill.number,
        "buy": fill.side == BUY,
        "qty": number(fill.size),
        "remaining_order_qty": number(fill.remaining),
        "order_id": fill.order_id,
        "fill_id": fill.fill_id,
        "fill_type": fill.fill_type,
        "fee_paid": number(fill.fee),
        "fee_currency": currency(fill.currency),
        "taker_order_type": "market" if fill.fill_type == "maker" else kind,
        "order_type": kind,
    }
    return row | ({} if fill.cli_ord_id is None else {"cli_ord_id": fill.cli_ord_id})


# --- account -----------------------------------------------------------------------------------------------------------
def balances(feed: str, exchange: FuturesExchange, account: str, seq: int, now_us: int) -> Frame:
    """Cash wallet, margin accounts of inverse contracts, and flex."""
    held = exchange.state.balances
    margins = {name: exchange.standing(name) for name in held if name not in (CASH, FLEX)}
    futures = {}
    for name, standing in margins.items():
        unit = next(iter(held[name])).upper()
        futures[f"F-{unit}:USD"] = {"name": f"F-{unit}:USD", "pair": f"{unit}/USD", "unit": unit, **_margin(standing)}
    return {
        "feed": feed,
        "account": account,
        "holding": {asset.upper(): number(amount) for asset, amount in held[CASH].items()},
        "futures": futures,
        "flex_futures": _flex(exchange.standing(FLEX)),
        "timestamp": now_us // 1000,
        "seq": seq,
    }


def _margin(standing: Standing) -> Frame:
    return {
        "portfolio_value": number(standing.equity),
        "balance": number(standing.balance),
        "maintenance_margin": number(standing.maintenance),
        "initial_margin": number(standing.initial),
        "available": number(standing.available),
        "unrealized_funding": number(standing.funding),
        "pnl": number(standing.pnl),
    }


def _flex(standing: Standing) -> Frame:
    balance = number(standing.balance)
    usd = {"quantity": balance, "value": balance, "collateral_value": balance, "available": number(max(standing.available, ZERO))}
    return {
        "currencies": {"USD": usd | {"haircut": 0.0, "conversion_spread": 0.0}},
        "balance_value": balance,
        "portfolio_value": number(standing.equity),
        "collateral_value": balance,
        "initial_margin": number(standing.with_orders),
        "initial_margin_without_orders": number(standing.initial),
        "maintenance_margin": number(standing.maintenance),
        "pnl": number(standing.pnl),
        "unrealized_funding": number(standing.funding),
        "total_unrealized": number(standing.pnl + standing.funding),
        "total_unrealized_as_margin": number(standing.pnl + standing.funding),
        "margin_equity": number(standing.equity),
        "available_margin": number(standing.available),
    }


def open_positions(exchange: FuturesExchange, account: str, seq: int, now_us: int) -> Frame:
    """All positions at the mark, with the price at which each would be liquidated if only its own price moved."""
    rows = [_position(exchange, position) for position in exchange.positions()]
    return {"feed": "open_positions", "account": account, "positions": rows, "seq": seq, "timestamp": now_us // 1000}


def _position(exchange: FuturesExchange, position: Position) -> Frame:
    holding = exchange.holding(position)
    contract, mark = holding.contract, exchange.mark_price(holding.contract)
    value, equity = abs(contract.value(position.size, mark)), exchange.standing(contract.account).equity
    pnl, margin = holding.pnl(mark), holding.initial(mark)
    return {
        "instrument": position.symbol,
        "balance": number(position.size),
        "pnl": number(pnl),
        "entry_price": number(contract.entry_price(position.size, position.basis)),
        "mark_price": number(mark),
        "index_price": number(exchange.index_price(contract)),
        "liquidation_threshold": number(exchange.liquidation_price(position) or ZERO),
        "effective_leverage": round(float(value / equity), 4) if equity > ZERO else 0.0,
        "return_on_equity": round(float(pnl / margin), 6) if margin else 0.0,
        "initial_margin": number(margin),
        "initial_margin_with_orders": number(margin),
        "maintenance_margin": number(holding.maintenance(mark)),
        "unrealized_funding": number(position.unrealized_funding),
        "pnl_currency": currency(contract.asset),
    }
