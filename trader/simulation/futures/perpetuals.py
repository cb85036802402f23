"""A spot market shown as one of linear perpetuals: the same candles under the contracts' names, in ticks of the candles."""

from __future__ import annotations

from dataclasses import replace

from trader.domain.futures import MarketKind
from trader.domain.market import Timeframe
from trader.ports import Columns
from trader.simulation.futures.contracts import Contract, contracts_of
from trader.simulation.listings import Listing
from trader.simulation.market import Market, Row

QUOTE = "USD"  # the spot quote counts as USD (contracts.py)


class PerpetualMarket:
    """`market.Market` whose pair `BTC/USDT` is called `BTC/USD:USD`; order, candles and prices stay."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self.seed, self.base, self.quote, self.first_us = market.seed, market.base, QUOTE, market.first_us
        self._spot = {MarketKind.FUTURES.pair(pair.partition("/")[0], QUOTE): pair for pair in market.pairs}
        self.pairs = tuple(self._spot)
        listings = [self.listing(pair) for pair in self.pairs]
        made = contracts_of(listings, count=len(listings))
        self.by_pair = {one.pair: replace(one, tick=listings[one.index].tick) for one in made.values() if not one.inverse}

    def listing(self, pair: str) -> Listing:
        return replace(self._market.listing(self._spot[pair]), pair=pair, quote=QUOTE)

    def candles(self, pair: str, timeframe: Timeframe, start_us: int, end_us: int) -> Columns:
        return self._market.candles(self._spot[pair], timeframe, start_us, end_us)

    def minute(self, index_us: int) -> Row:
        return self._market.minute(index_us)

    def last_price(self, pair: str, time_us: int) -> float:
        return self._market.last_price(self._spot[pair], time_us)

    def contract(self, pair: str) -> Contract:
        """The linear contract of a pair. Its sizes step as Kraken's; its prices in the tick of the candles, so that a bar's prices are
        prices of the contract."""
        return self.by_pair[pair]

    def contracts(self) -> dict[str, Contract]:
        """All of them, by symbol."""
        return {contract.symbol: contract for contract in self.by_pair.values()}
