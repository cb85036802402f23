"""Public endpoints of the futures API: derivatives, charts, and the market's event history (KRAKEN.md section 6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from trader.domain.money import plain
from trader.simulation.futures.contracts import Contract
from trader.simulation.futures.orders import BUY, SELL
from trader.simulation.futures.prices import mark_of, premium
from trader.simulation.kraken_server.futures import form
from trader.simulation.kraken_server.futures.call import FuturesCall
from trader.simulation.kraken_server.futures.charts import RESOLUTIONS, TYPES, FuturesCharts
from trader.simulation.kraken_server.futures.history import MOST
from trader.simulation.kraken_server.futures.market import FuturesMarket, Trade
from trader.simulation.kraken_server.futures.render import iso_ms, number

TRADES = 100  # rows of history
FAR_MS = 1 << 50  # later than any time
Handler = Callable[[FuturesCall], Any]


class FuturesPublic:
    """Handlers by endpoint: `handlers` of the derivatives API, `charts` by path length, `events` of the market's history."""

    def __init__(self, market: FuturesMarket, charts: FuturesCharts) -> None:
        self._market, self._charts = market, charts
        exchange = market.exchange
        contracts = exchange.contracts
        self.handlers: Mapping[str, Handler] = {
            "GET instruments": lambda _: {"instruments": market.instruments()},
            "GET instruments/status": lambda _: {"instrumentStatus": [market.status(one) for one in contracts.values()]},
            "GET instruments/{}/status": lambda call: market.status(exchange.contract(call.parts[0])),
            "GET tickers": lambda _: {"tickers": [market.ticker(one) for one in contracts.values()]},
            "GET tickers/{}": lambda call: {"ticker": market.ticker(exchange.contract(call.parts[0]))},
            "GET orderbook": self._book,
            "GET history": self._history,
            "GET feeschedules": lambda _: {"feeSchedules": market.fee_schedules()},
            "GET historicalfundingrates": lambda call: {"rates": market.funding_history(self._contract(call))},
            "GET historical-funding-rates": lambda call: {"rates": market.funding_history(self._contract(call))},
        }
        self.charts: Mapping[int, Handler] = {
            0: lambda _: list(TYPES),
            1: lambda call: list(contracts) if call.parts[0] in TYPES else _unknown(),
            2: lambda call: list(RESOLUTIONS) if exchange.contract(call.parts[1]) else [],
            3: lambda call: charts.candles(call.parts[0], exchange.contract(call.parts[1]), call.parts[2], call.fields),
        }
        self.events: Mapping[str, Handler] = {"executions": self._executions, "orders": self._orders, "price": self._prices}

    def _contract(self, call: FuturesCall) -> Contract:
        return self._market.exchange.contract(form.needed(call.fields, "symbol"))

    def _book(self, call: FuturesCall) -> dict[str, Any]:
        sides = self._market.book(self._contract(call))
        rows = {side: [[number(price), number(size)] for price, size in levels] for side, levels in sides.items()}
        return {"orderBook": {"bids": rows[BUY], "asks": rows[SELL]}}

    def _history(self, call: FuturesCall) -> dict[str, Any]:
        """The newest 100 trades, or those up to `lastTime`; newest first."""
        trades = self._market.trades(self._contract(call), TRADES, before_us=form.moment(call.fields, "lastTime"))
        return {
            "history": [
                {
                    "time": iso_ms(trade.time_us),
                    "trade_id": trade.number,
                    "price": number(trade.price),
                    "size": number(trade.size),
                    "side": trade.side,
                    "type": "fill",
                    "uid": trade.uid,
                }
                for trade in reversed(trades)
            ]
        }

    # --- the market's events ---------------------------------------------------------------------------------------
    def _paged(self, call: FuturesCall, make: Callable[[Contract, Trade], dict[str, Any]]) -> dict[str, Any]:
        """One page, found from its own end: nothing before or after it is looked at. The token is the last element's time."""
        contract, fields = self._market.exchange.contract(call.parts[0]), call.fields
        count, rising = form.whole(fields, "count", MOST, MOST), fields.get("sort", "desc").lower() == "asc"
        since, before = form.whole(fields, "since", 0, FAR_MS), form.whole(fields, "before", FAR_MS, FAR_MS)
        cursor = form.whole(fields, "continuation_token", -1, FAR_MS)
        if rising:
            since = max(since, cursor + 1)
            trades = self._market.trades(contract, count + 1, since_us=since * 1000 - 1, before_us=before * 1000)
        else:
            before = before if cursor < 0 else min(before, cursor)
            newest = self._market.trades(contract, count + 1, before_us=before * 1000)
            trades = [trade for trade in reversed(newest) if trade.time_us >= since * 1000]
        shown = trades[:count]
        elements = [{"uid": trade.uid, "timestamp": trade.time_us // 1000, "event": make(contract, trade)} for trade in shown]
        body: dict[str, Any] = {"elements": elements, "len": len(shown)}
        if len(trades) > count and shown:
            body["continuationToken"] = str(shown[-1].time_us // 1000)
        return body

    def _executions(self, call: FuturesCall) -> dict[str, Any]:
        return self._paged(call, self._execution)

    def _orders(self, call: FuturesCall) -> dict[str, Any]:
        def placed(contract: Contract, trade: Trade) -> dict[str, Any]:
            return {"OrderPlaced": {"order": _order(contract, trade, maker=True), "reason": "new_user_order", "reducedQuantity": ""}}

        return self._paged(call, placed)

    def _prices(self, call: FuturesCall) -> dict[str, Any]:
        def changed(contract: Contract, trade: Trade) -> dict[str, Any]:
            return {"MarkPriceChanged": {"price": plain(self._mark(contract, trade))}}

        return self._paged(call, changed)

    def _mark(self, contract: Contract, trade: Trade) -> Any:
        return mark_of(trade.price, premium(self._market.seed, contract, trade.time_us))

    def _execution(self, contract: Contract, trade: Trade) -> dict[str, Any]:
        usd = trade.size if contract.inverse else trade.size * trade.price
        execution = {
            "uid": trade.uid,
            "makerOrder": _order(contract, trade, maker=True),
            "takerOrder": _order(contract, trade, maker=False),
            "timestamp": trade.time_us // 1000,
            "quantity": plain(trade.size),
            "price": plain(trade.price),
            "markPrice": plain(self._mark(contract, trade)),
            "limitFilled": True,
            "usdValue": f"{usd:.2f}",
        }
        return {"Execution": {"execution": execution, "takerReducedQuantity": ""}}


def _order(contract: Contract, trade: Trade, *, maker: bool) -> dict[str, Any]:
    """One side of a public trade; the taker's is the trade's side."""
    side = trade.side if not maker else SELL if trade.side == BUY else BUY
    return {
        "uid": f"{trade.uid[:-4]}{'aaaa' if maker else 'bbbb'}",
        "tradeable": contract.symbol,
        "direction": side.capitalize(),
        "quantity": plain(trade.size),
        "timestamp": trade.time_us // 1000,
        "limitPrice": plain(trade.price),
        "orderType": "Post" if maker else "IoC",
        "reduceOnly": False,
        "lastUpdateTimestamp": trade.time_us // 1000,
    }


def _unknown() -> list[str]:
    raise form.invalid("tick_type")
