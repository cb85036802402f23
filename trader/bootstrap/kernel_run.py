"""The compiled kernel over the very candles, settings and account of a replay: what `trader.bootstrap.replay` is compared with.

Only the wiring is shared. The kernel reads columns and knows its whole future; the replay is the session, event by event.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from decimal import Decimal

from trader.bootstrap.candles import instrument
from trader.bootstrap.market_history import left_out
from trader.bootstrap.tuning import parameters_of
from trader.bootstrap.wire import exit_plan_of, limits_of, margin_of, sides_of
from trader.bootstrap.world import World
from trader.config import Settings
from trader.domain.costs import Costs
from trader.domain.futures import MarginRules, MarketKind
from trader.domain.market import Timeframe
from trader.errors import ConfigError
from trader.execution.joiner import begins
from trader.research.account import COINS, Pass, Rules, account_pass
from trader.research.money import Contracts
from trader.simulation.fills import FillRules
from trader.simulation.futures.perpetuals import PerpetualMarket
from trader.simulation.futures.prices import hourly_rates
from trader.simulation.futures_venue import instrument_of
from trader.simulation.market import Market
from trader.strategy.columns import Bars
from trader.strategy.strategies import of_table


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRun:
    """What the kernel made of the range. `left_out`: pairs that no engine judges, each with its reason."""

    found: Pass
    lines: tuple[str, ...]
    left_out: dict[str, str]
    pairs: int
    cpu_s: float


def kernel_session(
    settings: Settings, world: World, *, end_us: int, short: bool = False, market: Market | None = None,
    kind: MarketKind = MarketKind.SPOT,
) -> KernelRun:  # fmt: skip
    """Decide from the world's epoch up to the close at `end_us`, with halts that nobody clears, as in a session.

    `short`: the warm-up of three periods; `kind`: on futures the world's pairs are linear perpetuals, with margin and funding.
    Raises ConfigError where no pair can be judged.
    """
    begin = time.process_time()
    market = market or world.market()
    perpetuals = PerpetualMarket(market) if kind is MarketKind.FUTURES else None
    market = perpetuals or market
    rest = left_out(market, settings, short=short, start_us=world.epoch_us, end_us=end_us)
    bars, fine, instruments = {}, {}, {}
    for pair in (pair for pair in market.pairs if pair not in rest):
        bars[pair] = session_bars(market, pair, settings, world.epoch_us, end_us, short=short)
        instruments[pair] = instrument(market.listing(pair)) if perpetuals is None else instrument_of(perpetuals.contract(pair))
        if market.base is not Timeframe.M15:
            fine[pair] = market.candles(pair, market.base, int(bars[pair].time[0]), end_us)
    if not bars:
        raise ConfigError(f"no pair can be judged at {world.epoch_us}: {market.pairs[0]}: {rest[market.pairs[0]]}")
    taker = float(FillRules().taker) if perpetuals is None else settings.futures.taker_fraction
    costs = Costs(taker=taker, maker=settings.costs.maker_fraction, slippage=settings.costs.slippage_fraction)
    strategy = of_table(parameters_of(settings), costs)
    found = account_pass(
        strategy, bars, instruments, cash=Decimal(world.cash), reference=kind.pair("BTC", market.quote),
        first_us=world.epoch_us, last_us=end_us, fine=fine,
        rules=Rules(exit_plan=exit_plan_of(settings), limits=limits_of(settings), clears_halts=False),
        money=COINS if perpetuals is None else perpetual_money(margin_of(settings), perpetuals, world.seed), sides=sides_of(settings, kind),
    )  # fmt: skip
    return KernelRun(
        found=found, lines=tuple(sorted(found.lines())), left_out=rest, pairs=len(bars), cpu_s=round(time.process_time() - begin, 2)
    )


def perpetual_money(margin: MarginRules, market: PerpetualMarket, seed: int) -> Contracts:
    """Contracts with the funding that the venue of this seed pays."""
    return Contracts(rates=hourly_rates(seed, market.by_pair, market.last_price), margin=margin)


def session_bars(market: Market, pair: str, settings: Settings, start_us: int, end_us: int, *, short: bool) -> Bars:
    """A pair's columns up to `end_us` that begin at the candle a session's streams begin with."""
    wanted = begins(parameters_of(settings), short=short)
    fifteen, four = (
        market.candles(pair, timeframe, timeframe.floor(start_us) - wanted[timeframe] * timeframe.us, end_us)
        for timeframe in (Timeframe.M15, Timeframe.H4)
    )
    return Bars(fifteen, four, warmup="short" if short else "exact")
