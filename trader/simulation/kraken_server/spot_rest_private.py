"""Private spot endpoints: orders, balances, history, key and token (KRAKEN.md sections 1-2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from trader.domain.money import ZERO
from trader.ports import Clock
from trader.simulation.exchange import TwinExchange
from trader.simulation.exchange_orders import DEADLINE, UNKNOWN_ORDER, PairRules, Refused, TwinOrder, TwinTrade, content_id, invalid
from trader.simulation.kraken_server import order_form, signing
from trader.simulation.kraken_server.limits import RateLimits
from trader.simulation.kraken_server.market_view import MarketView
from trader.simulation.kraken_server.middleware import Call
from trader.simulation.kraken_server.render import describe, order_row, trade_row

PAGE = 50
PERMISSIONS = (
    "query-funds",
    "query-open-trades",
    "query-closed-trades",
    "modify-trades",
    "close-trades",
    "query-ledger",
    "create-ws-token",
)


class SpotPrivate:
    """Everything that needs a key. Every handler raises Refused with Kraken's string."""

    def __init__(
        self, exchange: TwinExchange, view: MarketView, clock: Clock, limits: RateLimits, *, api_key: str, api_secret: str
    ) -> None:
        self._exchange, self._view, self._clock, self._limits = exchange, view, clock, limits
        self._key, self._secret = api_key, api_secret
        self._tokens = 0
        self.handlers: Mapping[str, Callable[[Call], Any]] = {
            "Balance": self._balance,
            "BalanceEx": self._balance_ex,
            "AddOrder": self._add,
            "AmendOrder": self._amend,
            "CancelOrder": self._cancel,
            "CancelAll": lambda _: {"count": exchange.cancel_all(clock.now_us())},
            "OpenOrders": self._open_orders,
            "ClosedOrders": self._closed_orders,
            "QueryOrders": self._query_orders,
            "TradesHistory": self._trades_history,
            "TradeVolume": self._trade_volume,
            "GetApiKeyInfo": self._key_info,
            "GetWebSocketsToken": self._token,
        }

    def admit(self, call: Call) -> None:
        """Key, signature, nonce and rate, in that order; the nonce counts only under a good signature."""
        if call.headers.get("API-Key") != self._key:
            raise Refused("EAPI:Invalid key")
        nonce = call.fields.get("nonce", "")
        signature = call.headers.get("API-Sign", "")
        if not signing.signed_by(signature, call.path, nonce, call.raw, self._secret):
            raise Refused("EAPI:Invalid signature")
        if not nonce.isdecimal() or len(nonce) > 20 or not self._exchange.use_nonce(signing.fingerprint(self._key), int(nonce)):
            raise Refused("EAPI:Invalid nonce")
        self._limits.rest(signing.fingerprint(self._key), call.name, self._clock.now_us())

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
        start, end, offset = self._range(call)
        which = call.fields.get("closetime", "both")
        if which not in ("open", "close", "both"):
            raise invalid("closetime")
        found = []
        for order in self._exchange.state.orders.values():
            times = {"open": (order.opened_us,), "close": (order.closed_us,), "both": (order.opened_us, order.closed_us)}[which]
            if not order.live and self._wanted(order, call) and any(start < time_us <= end for time_us in times):
                found.append(order)
        found.sort(key=lambda order: (order.closed_us, order.number), reverse=True)
        return {"closed": self._order_rows(found[offset : offset + PAGE], call), "count": len(found)}

    def _query_orders(self, call: Call) -> dict[str, Any]:
        txids = [txid for txid in call.fields.get("txid", "").split(",") if txid]
        if not 1 <= len(txids) <= PAGE:
            raise invalid("txid")
        orders = [self._exchange.state.orders.get(txid) for txid in txids]
        if any(order is None for order in orders):
            raise Refused(UNKNOWN_ORDER)
        return self._order_rows([order for order in orders if order is not None], call)

    def _trades_history(self, call: Call) -> dict[str, Any]:
        start, end, offset = self._range(call)
        trades = [trade for trade in self._exchange.state.trades.values() if start < trade.time_us <= end]
        trades.sort(key=lambda trade: trade.number, reverse=True)
        page = {trade.trade_id: self._trade(trade) for trade in trades[offset : offset + PAGE]}
        return {"trades": page, "count": len(trades)}

    # --- money -----------------------------------------------------------------------------------------------------
    def _balances(self) -> list[tuple[str, Decimal, Decimal, int]]:
        """(asset id, total, held, decimals) of every asset the account ever held."""
        named = {rules.base: (rules.base_id, rules.lot_decimals) for rules in self._exchange.rules}
        named |= {rules.quote: (rules.quote_id, rules.quote_decimals) for rules in self._exchange.rules}
        balances = self._exchange.state.balances
        return [(*named[asset][:1], total, self._exchange.held(asset), named[asset][1]) for asset, total in sorted(balances.items())]

    def _balance(self, _: Call) -> dict[str, str]:
        return {asset: f"{total:.{digits}f}" for asset, total, _, digits in self._balances()}

    def _balance_ex(self, _: Call) -> dict[str, Any]:
        rows = self._balances()
        return {asset: {"balance": f"{total:.{digits}f}", "hold_trade": f"{held:.{digits}f}"} for asset, total, held, digits in rows}

    def _trade_volume(self, call: Call) -> dict[str, Any]:
        fills, volume = self._exchange.fills, sum((trade.cost for trade in self._exchange.state.trades.values()), ZERO)
        names = [name for name in call.fields.get("pair", "").split(",") if name]
        found = [self._view.find(name) for name in names]
        if any(rules is None for rules in found):
            raise Refused("EQuery:Unknown asset pair")
        result: dict[str, Any] = {"currency": "ZUSD", "volume": f"{volume:.4f}"}
        if found:
            ids = [rules.pair_id for rules in found if rules is not None]
            result["fees"] = {pair_id: _fee(fills.taker) for pair_id in ids}
            result["fees_maker"] = {pair_id: _fee(fills.maker) for pair_id in ids}
        return result

    # --- key and token ---------------------------------------------------------------------------------------------
    def _key_info(self, call: Call) -> dict[str, Any]:
        return {
            "apiKeyName": "twin",
            "apiKey": self._key,
            "nonce": call.fields["nonce"],
            "nonceWindow": 0,
            "permissions": list(PERMISSIONS),
            "iban": "AA88 N84G TWIN TWIN",
            "validUntil": "0",
            "queryFrom": "0",
            "queryTo": "0",
            "createdTime": "1767225600",
            "modifiedTime": "1767225600",
            "ipAllowlist": ["127.0.0.1"],
            "lastUsed": str(self._clock.now_us() // 1_000_000),
        }

    def _token(self, _: Call) -> dict[str, Any]:
        self._tokens += 1
        return {"token": signing.make_token(self._secret, self._clock.now_us(), self._tokens), "expires": 900}

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

    def _trade(self, trade: TwinTrade) -> dict[str, Any]:
        rules = self._exchange.rule(trade.pair)
        return trade_row(trade, rules, [content_id("L", trade.trade_id, asset) for asset in (rules.base, rules.quote)])

    def _range(self, call: Call) -> tuple[int, int, int]:
        """(start, end, offset): start exclusive and end inclusive, in microseconds; either may be an id."""
        offset = order_form.whole(call.fields, "ofs")
        if offset < 0:
            raise invalid("ofs")
        return self._moment(call, "start", -1), self._moment(call, "end", 1 << 62), offset

    def _moment(self, call: Call, name: str, default: int) -> int:
        text = call.fields.get(name, "")
        if not text:
            return default
        state = self._exchange.state
        if (order := state.orders.get(text)) is not None:
            return order.opened_us
        if (trade := state.trades.get(text)) is not None:
            return trade.time_us
        value = order_form.number(call.fields, name)
        return default if value is None else int(value * 1_000_000)


def _fee(rate: Decimal) -> dict[str, Any]:
    percent = f"{rate * 100:.4f}"
    return {"fee": percent, "minfee": percent, "maxfee": percent, "nextfee": None, "nextvolume": None, "tiervolume": "0.0000"}
