"""Public data of the futures API, made of the spot market: instruments, tickers, book, trades, funding history, fee schedules."""

from __future__ import annotations

import base64
import hashlib
from decimal import Decimal
from typing import Any, NamedTuple

from trader.domain.market import MINUTE, Timeframe
from trader.domain.money import ZERO, down, from_float, mul, round_to
from trader.ports import Clock
from trader.simulation.exchange_orders import PairRules, Refused, unit_hash
from trader.simulation.futures.contracts import Contract
from trader.simulation.futures.engine import FuturesExchange
from trader.simulation.futures.orders import BUY, SELL, content_uuid
from trader.simulation.futures.prices import FUNDING_COEFFICIENT, HOUR, MOST_RELATIVE_FUNDING, FundingRate, funding_rate, last_of, premium
from trader.simulation.kraken_server.futures.render import iso_ms, number
from trader.simulation.kraken_server.spot.market_view import TICKS, MarketView

DEPTH = 25  # levels a side
FEE_SCHEDULES = {False: "723888f7-0a8e-4183-8648-f920a22339e3", True: "a6cbc326-9477-4a6c-911a-d4cb3ed7481e"}  # inverse -> uid
OPENED = "2022-03-22T13:18:45Z"
FUNDING_HOURS = 24 * 60  # length of the funding history
Level = tuple[Decimal, Decimal]


class Trade(NamedTuple):
    """A public trade in the contract's own size."""

    uid: str
    number: int
    time_us: int
    side: str
    price: Decimal
    size: Decimal


class FuturesMarket:
    """What the public endpoints and feeds say. The newest tick the engine has seen decides how far."""

    def __init__(self, exchange: FuturesExchange, view: MarketView, clock: Clock, seed: int) -> None:
        self.exchange, self.view, self.clock, self.seed = exchange, view, clock, seed

    # --- instruments -----------------------------------------------------------------------------------------------
    def instruments(self) -> list[dict[str, Any]]:
        """Rows of instruments."""
        return [self._instrument(contract) for contract in self.exchange.contracts.values()]

    def _instrument(self, contract: Contract) -> dict[str, Any]:
        unit, kind = ("contracts", int) if contract.inverse else ("numNonContractUnits", float)
        row: dict[str, Any] = {
            "symbol": contract.symbol,
            "type": "futures_inverse" if contract.inverse else "flexible_futures",
            "tickSize": number(contract.tick),
            "contractSize": 1,
            "tradeable": not self.exchange.suspended(contract),
            "impactMidSize": number(self._impact_size(contract)),
            "maxPositionSize": number(contract.max_position),
            "openingDate": OPENED,
            "marginLevels": [
                {unit: kind(level.above), "initialMargin": number(level.initial), "maintenanceMargin": number(level.maintenance)}
                for level in contract.levels
            ],
            "fundingRateCoefficient": FUNDING_COEFFICIENT,
            "maxRelativeFundingRate": number(MOST_RELATIVE_FUNDING),
            "isin": "GB00" + base64.b32encode(hashlib.blake2b(contract.symbol.encode(), digest_size=5).digest()).decode()[:8],
            "contractValueTradePrecision": contract.precision,
            "postOnly": False,
            "feeScheduleUid": FEE_SCHEDULES[contract.inverse],
            "mtf": True,
            "base": contract.base,
            "quote": "USD",
            "pair": f"{contract.base}:USD",
        }
        return row | ({"underlying": f"rr_{contract.name.lower()}usd"} if contract.inverse else {})

    @staticmethod
    def _impact_size(contract: Contract) -> Decimal:
        return Decimal(1_000) if contract.inverse else max(contract.lot, down(contract.max_position / 50_000, contract.lot))

    def status(self, contract: Contract) -> dict[str, Any]:
        """A row of instruments/status."""
        return {
            "tradeable": contract.symbol,
            "experiencingDislocation": False,
            "priceDislocationDirection": None,
            "experiencingExtremeVolatility": False,
            "extremeVolatilityInitialMarginMultiplier": 1,
        }

    def fee_schedules(self) -> list[dict[str, Any]]:
        """Both schedules, one tier each; fees in percent."""
        costs = self.exchange.costs
        tier = {"makerFee": float(costs.maker * 100), "takerFee": float(costs.taker * 100), "usdVolume": 0.0}
        names = {False: "Linear fees", True: "Inverse fees"}
        return [{"uid": uid, "name": names[inverse], "tiers": [tier]} for inverse, uid in FEE_SCHEDULES.items()]

    # --- prices ----------------------------------------------------------------------------------------------------
    def quotes(self, contract: Contract) -> tuple[Decimal, Decimal, Decimal]:
        """(bid, ask, last): what a market order gets now."""
        last, fills = self.exchange.last_price(contract), self.exchange.fills
        return fills.taken(SELL, last, contract), fills.taken(BUY, last, contract), last

    def day(self, contract: Contract) -> dict[str, Decimal]:
        """24 h figures: open, high, low on the tick, volume in the contract's unit, quote volume in the other one."""
        stats = self.view.stats(self.rules(contract), self.clock.now_us())
        prices = {name: last_of(from_float(stats[name]), contract) for name in ("open", "high", "low")}
        base, vwap = from_float(round(stats["volume"], 8)), from_float(stats["vwap"])
        usd = round_to(mul(base, vwap), Decimal("0.0001"))
        volume = round_to(usd if contract.inverse else base, contract.lot)
        return prices | {"volume": volume, "quote": base if contract.inverse else usd, "interest": down(volume / 2, contract.lot)}

    def ticker(self, contract: Contract) -> dict[str, Any]:
        """A row of tickers."""
        exchange, (bid, ask, last), day = self.exchange, self.quotes(contract), self.day(contract)
        book, now_us = self.book(contract, 1), self.clock.now_us()
        trade = self.newest_trade(contract)
        current, following = exchange.funding_rate(contract, now_us), self.next_rate(contract, now_us)
        return {
            "symbol": contract.symbol,
            "last": number(last),
            "lastTime": iso_ms(trade.time_us if trade else exchange.state.tick_us),
            "tag": "perpetual",
            "pair": f"{contract.base}:USD",
            "markPrice": number(exchange.mark_price(contract)),
            "bid": number(bid),
            "bidSize": number(book[BUY][0][1]),
            "ask": number(ask),
            "askSize": number(book[SELL][0][1]),
            "vol24h": number(day["volume"]),
            "volumeQuote": number(day["quote"]),
            "openInterest": number(day["interest"]),
            "open24h": number(day["open"]),
            "high24h": number(day["high"]),
            "low24h": number(day["low"]),
            "lastSize": number(trade.size if trade else contract.lot),
            "fundingRate": number(current.absolute),
            "fundingRatePrediction": number(following.absolute),
            "suspended": exchange.suspended(contract),
            "indexPrice": number(exchange.index_price(contract)),
            "postOnly": False,
            "change24h": round(float((last - day["open"]) / day["open"] * 100), 2),
        }

    def next_rate(self, contract: Contract, now_us: int) -> FundingRate:
        """The coming hour's rate at the price of now."""
        hour_us = now_us - now_us % HOUR + HOUR
        return funding_rate(premium(self.seed, contract, hour_us), contract, float(self.exchange.index_price(contract)), hour_us)

    def funding_history(self, contract: Contract) -> list[dict[str, Any]]:
        """Rates of the closed hours, oldest first."""
        now_us = self.clock.now_us()
        end = now_us - now_us % HOUR
        hours = self.view.market.candles(contract.pair, Timeframe.H1, end - FUNDING_HOURS * HOUR, end)
        rates = [
            funding_rate(premium(self.seed, contract, time_us), contract, price, time_us)
            for time_us, price in zip(hours.time.tolist(), hours.open.tolist(), strict=True)
        ]
        return [
            {"timestamp": iso_ms(rate.hour_us), "fundingRate": number(rate.absolute), "relativeFundingRate": number(rate.relative)}
            for rate in rates
        ]

    def book(self, contract: Contract, depth: int = DEPTH) -> dict[str, list[Level]]:
        """A synthetic ladder around the quotes, best first; sizes change with the minute."""
        bid, ask, _ = self.quotes(contract)
        step = max(down((ask - bid) / 4, contract.tick), contract.tick)
        minute = self.exchange.state.tick_us // MINUTE
        unit = max(contract.lot, down(contract.max_position / 100_000, contract.lot))
        sides: dict[str, list[Level]] = {BUY: [], SELL: []}
        for side, best, sign in ((BUY, bid, -1), (SELL, ask, 1)):
            for place in range(depth):
                price = best + sign * step * place
                if price <= ZERO:
                    break
                sides[side].append((price, unit * (1 + int(99 * unit_hash(self.seed, contract.symbol, side, place, minute)))))
        return sides

    # --- trades ----------------------------------------------------------------------------------------------------
    def trades(self, contract: Contract, count: int, *, since_us: int | None = None, before_us: int | None = None) -> list[Trade]:
        """Public trades, oldest first: the newest `count` before a time, or those after `since_us`."""
        now_us = self.clock.now_us() if before_us is None else min(before_us - 1, self.clock.now_us())
        start = None if since_us is None else max(since_us, self.view.market.first_us)
        if now_us < self.view.market.first_us:
            return []
        rows = self.view.trades(self.rules(contract), count + TICKS, start, now_us)  # the newest candle may go beyond the end
        found = [trade for trade in (self._trade(contract, row) for row in rows) if trade.time_us <= now_us]
        return found[-count:] if since_us is None else found[:count]

    def newest_trade(self, contract: Contract) -> Trade | None:
        """The last public trade, None while there is none."""
        found = self.trades(contract, 1)
        return found[-1] if found else None

    def _trade(self, contract: Contract, row: list[Any]) -> Trade:
        price, base = Decimal(row[0]), Decimal(row[1])
        size = round_to(mul(base, price) if contract.inverse else base, contract.lot)
        return Trade(
            uid=content_uuid(self.seed, "public", contract.symbol, row[6]),
            number=row[6],
            time_us=round(row[2] * 1e6),
            side=BUY if row[3] == "b" else SELL,
            price=last_of(price, contract),
            size=max(size, contract.lot),
        )

    def rules(self, contract: Contract) -> PairRules:
        """The spot pair behind a contract."""
        rules = self.view.find(contract.pair)
        if rules is None:
            raise Refused("contractNotFound")
        return rules
