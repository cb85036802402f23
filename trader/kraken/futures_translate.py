"""Futures JSON into domain values: exact Decimals, UTC microseconds, pairs named by `futures_names`.

Futures times have milliseconds; numbers are JSON numbers (REST, streams) or text (charts, event history). Every function raises
ValueError naming the field when a value that decides something is missing or malformed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from trader.domain.futures import FundingPayment
from trader.domain.market import Candle, Ticker, Timeframe
from trader.domain.money import ZERO, add, divide, mul
from trader.domain.orders import Balance, ExchangeStatus, Fill, RemoteOrder, Side
from trader.kraken.futures_names import QUOTE_STEP, is_inverse
from trader.kraken.instruments import common
from trader.kraken.translate import decimal, mapping, stamp_us, text

PairName = Callable[[str], str]
TYPES = {
    "lmt": "limit", "post": "limit", "ioc": "limit", "fok": "limit", "mkt": "market", "stp": "stop-loss", "stop": "stop-loss",
    "limit": "limit", "market": "market", "take_profit": "take-profit", "trailing_stop": "trailing-stop",
}  # fmt: skip
STATUSES = {
    "ENTERED_BOOK": ExchangeStatus.OPEN, "UNTOUCHED": ExchangeStatus.OPEN, "PARTIALLY_FILLED": ExchangeStatus.OPEN,
    "TRIGGER_PLACED": ExchangeStatus.OPEN, "FULLY_EXECUTED": ExchangeStatus.CLOSED, "CANCELLED": ExchangeStatus.CANCELED,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class FuturesPosition:
    """An open contract position. `size` > 0 in lots' unit (base coins, or USD contracts); `entry_price` its average, in USD.

    `leverage`: the preference that makes it isolated, None for cross margin; `unrealised_funding` in the settlement
    currency, negative where it will be paid. Kraken names no liquidation price here.
    """

    pair: str
    side: Side
    size: Decimal
    entry_price: Decimal
    leverage: Decimal | None
    unrealised_funding: Decimal
    changed_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingRate:
    """Funding of one hour: `absolute` in settlement currency per unit of size, `relative` as a fraction; longs pay what is positive."""

    pair: str
    time_us: int
    absolute: Decimal
    relative: Decimal


def millis_us(value: Any, field: str) -> int:
    """UTC microseconds of Unix milliseconds."""
    return int(decimal(value, field) * 1000)


def cost_of(pair: str, price: Decimal, quantity: Decimal) -> Decimal:
    """price x quantity in USD; quantity / price in base coins for an inverse contract."""
    return divide(quantity, price, QUOTE_STEP) if is_inverse(pair) else mul(price, quantity)


def client_id(row: Mapping[str, Any]) -> str | None:
    """The client's id under either spelling."""
    return row.get("cliOrdId") or row.get("cli_ord_id") or row.get("clientId") or None


def order_type(kind: str, limit_price: Any) -> str:
    """Our word for a type; a triggered order with a limit price is its -limit kind."""
    name = TYPES.get(kind)
    if name is None:
        raise ValueError(f"orderType: {kind!r} is not known")
    return name + "-limit" if name in ("stop-loss", "take-profit") and limit_price else name


def open_order(raw: Any, name: PairName) -> RemoteOrder:
    """A row of openorders."""
    row = mapping(raw, "openOrders")
    filled = decimal(row.get("filledSize"), "filledSize")
    limit, trigger = (_price(row.get(field), field) for field in ("limitPrice", "stopPrice"))
    kind = text(row.get("orderType"), "orderType")
    if trigger is not None and kind in ("lmt", "ioc"):  # the type of what it becomes once its trigger fires
        kind = "stp"
    return RemoteOrder(
        txid=text(row.get("order_id"), "order_id"), cl_ord_id=client_id(row), refid=None, pair=name(text(row.get("symbol"), "symbol")),
        side=Side(text(row.get("side"), "side")), order_type=order_type(kind, trigger is not None and limit), status=ExchangeStatus.OPEN,
        quantity=add(decimal(row.get("unfilledSize"), "unfilledSize"), filled), filled=filled, limit_price=limit, trigger_price=trigger,
        opened_us=stamp_us(row.get("receivedTime"), "receivedTime"),
    )  # fmt: skip


def status_order(raw: Any, name: PairName) -> RemoteOrder | None:
    """A row of orders/status; None for an order that was refused and hence never stood."""
    item = mapping(raw, "orders")
    word = text(item.get("status"), "status")
    if word == "REJECTED" or item.get("order") is None:
        return None
    if word not in STATUSES:
        raise ValueError(f"status: {word!r} is not known")
    row, status = mapping(item["order"], "order"), STATUSES[word]
    options = row.get("priceTriggerOptions") or {}
    limit, trigger = _price(row.get("limitPrice"), "limitPrice"), _price(options.get("triggerPrice"), "triggerPrice")
    side = Side(text(row.get("side"), "side"))
    kind = str(row.get("type", "")).lower()
    if kind not in TYPES or trigger is not None:
        kind = ("limit" if limit is not None else "market") if trigger is None else _triggered_type(side, options.get("triggerSide"))
    updated = stamp_us(row.get("lastUpdateTimestamp"), "lastUpdateTimestamp")
    return RemoteOrder(
        txid=text(row.get("orderId"), "orderId"), cl_ord_id=client_id(row), refid=None, pair=name(text(row.get("symbol"), "symbol")),
        side=side, order_type=order_type(kind, limit), status=status, quantity=decimal(row.get("quantity"), "quantity"),
        filled=decimal(row.get("filled"), "filled"), limit_price=limit, trigger_price=trigger,
        opened_us=stamp_us(row.get("timestamp"), "timestamp"), closed_us=None if status.live else updated,
        reason=item.get("updateReason") or None,
    )  # fmt: skip


def history_order(raw: Any, name: PairName, status: ExchangeStatus, reason: str | None) -> RemoteOrder:
    """An order of the event history; its `quantity` is what is left of it."""
    row = mapping(raw, "order")
    filled = decimal(row.get("filled") or 0, "filled")
    options = row.get("triggerOptions") or row
    limit, trigger = _price(row.get("limitPrice"), "limitPrice"), _price(options.get("triggerPrice"), "triggerPrice")
    side = Side(text(row.get("direction"), "direction").lower())
    kind = "limit" if limit is not None else "market"
    if trigger is not None:
        kind = order_type(_triggered_type(side, options.get("triggerSide")), limit)
    return RemoteOrder(
        txid=text(row.get("uid"), "uid"), cl_ord_id=client_id(row), refid=None, pair=name(text(row.get("tradeable"), "tradeable")),
        side=side, order_type=kind, status=status, quantity=add(decimal(row.get("quantity"), "quantity"), filled), filled=filled,
        limit_price=limit,        trigger_price=trigger, opened_us=millis_us(row.get("timestamp"), "timestamp"),
        closed_us=None if status.live else millis_us(row.get("lastUpdateTimestamp"), "lastUpdateTimestamp"), reason=reason,
    )  # fmt: skip


def _triggered_type(side: Side, trigger_side: Any) -> str:
    """A sell that waits below, or a buy that waits above, is a stop; the others take a profit."""
    return "stp" if (side is Side.SELL) == ("below" in str(trigger_side).lower()) else "take_profit"


def fill(raw: Any, name: PairName) -> Fill:
    """A row of fills. Its fee must be told: neither ccxt's tables nor the venue's fee schedules know the account's."""
    row = mapping(raw, "fills")
    return _fill(
        row, name(text(row.get("symbol"), "symbol")), Side(text(row.get("side"), "side")), quantity=decimal(row.get("size"), "size"),
        time_us=stamp_us(row.get("fillTime"), "fillTime"), maker=row.get("fillType") == "maker",
    )  # fmt: skip


def stream_fill(raw: Any, name: PairName) -> Fill:
    """A row of the fills feed."""
    row = mapping(raw, "fills")
    return _fill(
        row, name(text(row.get("instrument"), "instrument")), Side.BUY if row.get("buy") is True else Side.SELL,
        quantity=decimal(row.get("qty"), "qty"), time_us=millis_us(row.get("time"), "time"), maker=row.get("fill_type") == "maker",
    )  # fmt: skip


def _fill(row: Mapping[str, Any], pair: str, side: Side, *, quantity: Decimal, time_us: int, maker: bool) -> Fill:
    price = decimal(row.get("price"), "price")
    return Fill(
        trade_id=text(row.get("fill_id"), "fill_id"), txid=text(row.get("order_id"), "order_id"), pair=pair, side=side, price=price,
        quantity=quantity, cost=cost_of(pair, price, quantity), fee=decimal(row.get("fee_paid"), "fee_paid"), time_us=time_us, maker=maker,
    )  # fmt: skip


def position(raw: Any, name: PairName) -> FuturesPosition:
    """A row of openpositions."""
    row = mapping(raw, "openPositions")
    side, leverage = text(row.get("side"), "side"), row.get("maxFixedLeverage")
    if side not in ("long", "short"):
        raise ValueError(f"side: {side!r} is neither long nor short")
    return FuturesPosition(
        pair=name(text(row.get("symbol"), "symbol")), side=Side.BUY if side == "long" else Side.SELL, size=decimal(row.get("size"), "size"),
        entry_price=decimal(row.get("price"), "price"), leverage=None if leverage is None else decimal(leverage, "maxFixedLeverage"),
        unrealised_funding=decimal(row.get("unrealizedFunding") or 0, "unrealizedFunding"),
        changed_us=stamp_us(row.get("fillTime"), "fillTime"),
    )  # fmt: skip


def balances(raw: Any) -> dict[str, Balance]:
    """The accounts endpoint by asset; see `futures` for what the names and amounts mean."""
    found: dict[str, Balance] = {}
    for account, value in mapping(raw, "accounts").items():
        row = mapping(value, account)
        if row.get("type") == "multiCollateralMarginAccount":
            for asset, amounts in mapping(row.get("currencies"), f"{account}.currencies").items():
                held = decimal(row.get("initialMargin"), "initialMargin") if asset == "USD" else ZERO
                found[asset] = Balance(asset=asset, total=decimal(amounts["quantity"], f"{asset}.quantity"), held=held)
        elif row.get("type") == "marginAccount":
            asset = text(row.get("currency"), f"{account}.currency")
            key, needed = f"{common(asset.upper())}@{account}", mapping(row.get("marginRequirements"), f"{account}.marginRequirements")
            found[key] = Balance(asset=key, total=decimal(row["balances"][asset], f"{account}.{asset}"), held=decimal(needed["im"], "im"))
        else:
            for asset, amount in mapping(row.get("balances"), f"{account}.balances").items():
                key = f"{common(asset.upper())}@{account}"
                found[key] = Balance(asset=key, total=decimal(amount, key), held=ZERO)
    return found


def ticker(row: Mapping[str, Any], pair: str) -> Ticker:
    """A row of tickers. An inverse contract's volume counts contracts of one USD already."""
    volume = decimal(row.get("vol24h" if is_inverse(pair) else "volumeQuote"), "volume")
    bid, ask, last = (decimal(row.get(field), field) for field in ("bid", "ask", "last"))
    return Ticker(pair=pair, bid=bid, ask=ask, last=last, quote_volume=float(volume))


def candle(raw: Any, pair: str, timeframe: Timeframe) -> Candle:
    """A candle of the charts API. It names neither vwap nor count."""
    row = mapping(raw, "candles")
    o, high, low, close, volume = (float(row[field]) for field in ("open", "high", "low", "close", "volume"))
    return Candle(
        pair=pair, timeframe=timeframe, time_us=millis_us(row.get("time"), "time"), open=o, high=high, low=low, close=close, volume=volume,
        filled=volume == 0.0,
    )  # fmt: skip


def levels(rows: Any, field: str) -> tuple[tuple[Decimal, Decimal], ...]:
    """(price, quantity) of the book rows `[price, quantity]`."""
    if not isinstance(rows, Sequence):
        raise ValueError(f"{field}: {rows!r:.80} is not a list")
    return tuple((decimal(row[0], field), decimal(row[1], field)) for row in rows)


def funding_rate(raw: Any, pair: str) -> FundingRate:
    """A row of historicalfundingrates."""
    row = mapping(raw, "rates")
    return FundingRate(
        pair=pair, time_us=stamp_us(row.get("timestamp"), "timestamp"), absolute=decimal(row.get("fundingRate"), "fundingRate"),
        relative=decimal(row.get("relativeFundingRate"), "relativeFundingRate"),
    )  # fmt: skip


def funding_payment(raw: Any, name: PairName) -> FundingPayment | None:
    """A row of the account log; None for one that moved no funding."""
    row = mapping(raw, "logs")
    if not row.get("contract") or not row.get("realized_funding"):
        return None
    return FundingPayment(
        pair=name(text(row["contract"], "contract")), asset=common(text(row.get("asset"), "asset").upper()),
        amount=decimal(row["realized_funding"], "realized_funding"), time_us=stamp_us(row.get("date"), "date"),
    )  # fmt: skip


def _price(value: Any, field: str) -> Decimal | None:
    """A price above zero, or None for an absent, empty or zero one."""
    if value is None or value == "":
        return None
    number = decimal(value, field)
    return number if number > ZERO else None
