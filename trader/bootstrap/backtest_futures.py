"""A backtest on futures: the candles of a file as linear perpetuals, long or short, with the schedule, margin and funding of futures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path

from trader.bootstrap.candles import FileSource, PairCandles
from trader.bootstrap.kernel_run import perpetual_money
from trader.config import FuturesSettings
from trader.domain.costs import Costs
from trader.domain.futures import MOST_LEVERAGE, MarginRules
from trader.domain.market import Instrument, Timeframe
from trader.domain.orders import Side
from trader.errors import ConfigError
from trader.ports import Columns
from trader.research.money import Contracts
from trader.simulation.futures.account import FuturesCosts
from trader.simulation.futures.perpetuals import PerpetualMarket
from trader.simulation.futures_venue import instrument_of
from trader.simulation.replay import ReplayMarket
from trader.strategy.strategies import Strategy, of_table

SIDES = {"long": Side.BUY, "short": Side.SELL}


def costs_of(slippage: float) -> Costs:
    """The lowest tier of the futures schedule."""
    own = FuturesCosts()
    return Costs(taker=FuturesSettings().taker_fraction, maker=float(own.maker), slippage=slippage)


def turned(strategy: Strategy, side: str) -> Strategy:
    """The strategy on this side. Raises ConfigError for another word, or a strategy that no account with margin runs."""
    if side not in SIDES:
        raise ConfigError(f"--side {side!r} is not one of {', '.join(SIDES)}")
    if strategy.parameters is None:
        raise ConfigError(f"--market futures: {strategy.name} runs pair by pair, without margin and funding; allowed with MODE/VARIATION")
    return of_table(strategy.parameters, strategy.costs, side=SIDES[side])


def margin_at(leverage: int) -> MarginRules:
    """Raises ConfigError outside 1 to 3."""
    try:
        return MarginRules(leverage=Decimal(leverage))
    except ValueError as error:
        raise ConfigError(f"--leverage {leverage}: must be from 1 to {MOST_LEVERAGE}") from error


class PerpetualSource(FileSource):
    """The candles of a file, its pairs called `BTC/USD:USD`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.market_shown = PerpetualMarket(ReplayMarket(path))
        self.pairs = self.market_shown.pairs

    def fine(self, pair: str, start_us: int, end_us: int) -> Columns:
        return self.market_shown.candles(pair, self.base, start_us, end_us)

    def read(self, pairs: Sequence[str], end_us: int) -> Iterator[PairCandles]:
        for pair in pairs:
            quarters = self.market_shown.candles(pair, Timeframe.M15, self.first_us, end_us)
            yield PairCandles(pair=pair, quarters=quarters, four=None, rules=partial(self._instrument, pair))

    def _instrument(self, pair: str) -> Instrument:
        return instrument_of(self.market_shown.contract(pair))

    def money(self, margin: MarginRules, seed: int) -> Contracts:
        """Margin, and the funding of the simulated exchange of this seed."""
        return perpetual_money(margin, self.market_shown, seed)
