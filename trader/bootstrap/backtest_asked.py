"""What `trader backtest` was asked for: the options, and what they mean for a source. A word that means nothing is one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np

from trader.bootstrap.backtest_futures import PerpetualSource, costs_of, margin_at, turned
from trader.bootstrap.candles import FileSource, Source, StoreSource
from trader.bootstrap.cassettes import Tape
from trader.bootstrap.world import moment
from trader.domain.costs import SPOT_TIERS, Costs, slippage_of, tier_at
from trader.domain.futures import MarketKind
from trader.domain.messages import stamp
from trader.errors import ConfigError
from trader.research import backtester
from trader.research.backtester import S1, Strategy
from trader.strategy.columns import WARMUPS

AI_MODES = ("off", "cassette")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to run. `data` None: the history store of `state`; `pairs`: empty = all; `start`, `end` None = all there is.

    `volume`: the account's 30-day volume, which picks the fee tier; `spread`: (ask - bid) / mid to reckon with; None for both:
    the strategy's own costs. `seed`: of the random entries, and of the funding of futures. `market`, `side`, `leverage`: see
    `backtest_futures`. `verify`: run as a session would, so that its replay can be compared:
    the same pairs, indicators from the same candle on, halts that nobody clears. `tape`: with `ai` "cassette", who answers;
    `cutoffs`: model -> end of its training data.
    """

    strategy: str
    data: Path | None = None
    state: Path = Path("state")
    pairs: Sequence[str] = ()
    start: str | None = None
    end: str | None = None
    profile: str = "viable"
    warmup: str = "exact"
    ai: str = "off"
    volume: str | None = None
    spread: str | None = None
    seed: int = 11
    market: str = "spot"
    side: str = "long"
    leverage: int = 1
    verify: bool = False
    tape: Tape | None = None
    cutoffs: Mapping[str, str] = field(default_factory=dict)


def strategy_of(asked: Asked) -> Strategy:
    """The strategy with its costs. Raises ConfigError for one that is unknown, and for costs that its target cannot pay."""
    if asked.ai not in AI_MODES:
        raise ConfigError(f"--ai {asked.ai!r}: a backtest asks no AI; allowed: {', '.join(AI_MODES)}")
    if asked.warmup not in WARMUPS:
        raise ConfigError(f"--warmup {asked.warmup!r} is not one of {', '.join(WARMUPS)}")
    if asked.market not in list(MarketKind):
        raise ConfigError(f"--market {asked.market!r} is not one of {', '.join(MarketKind)}")
    futures = asked.market == MarketKind.FUTURES
    strategy = backtester.named(asked.strategy, asked.profile, _costs(asked, costs_of(Costs().slippage) if futures else Costs()))
    if futures:
        return _on_futures(asked, strategy)
    if asked.side != "long":
        raise ConfigError(f"--side {asked.side!r}: shorts need --market futures; on spot there are none")
    if asked.leverage != 1:
        raise ConfigError(f"--leverage {asked.leverage}: needs --market futures; coins are paid in full")
    if strategy is S1:
        strategy = replace(S1, costs=_costs(asked, S1.costs))
    e, c = strategy.exits, strategy.costs
    if strategy.parameters is not None and strategy.parameters.seed and e.target <= c.round_trip:
        raise ConfigError(f"strategy {strategy.name}: target {e.target:g} must be above the round trip of {c.round_trip:g}")
    return strategy


def heard_by_session(asked: Asked, strategy: Strategy) -> None:
    """A cassette is heard by a session, in its own time. Raises ConfigError where none trades this, or where it would be verified."""
    if strategy.parameters is None:
        raise ConfigError(f"--ai cassette: no session trades {strategy.name}; allowed with MODE/VARIATION, e.g. mitraillette/AGGRESSIVE")
    if asked.market == MarketKind.FUTURES:
        raise ConfigError("--ai cassette: no session asks the AI about futures in a backtest; allowed on spot")
    if asked.verify:
        raise ConfigError("--verify: compares the kernel with a session; with `--ai cassette` the session itself makes the result")


def _on_futures(asked: Asked, strategy: Strategy) -> Strategy:
    if asked.volume is not None:
        raise ConfigError("--volume: picks a tier of the spot schedule; it cannot go with --market futures")
    if asked.verify:
        raise ConfigError("--verify: compares with a session on spot; on futures it is `python -m tests.campaigns.parity_futures`")
    margin_at(asked.leverage)
    return turned(strategy, asked.side)


def _costs(asked: Asked, own: Costs) -> Costs:
    """The strategy's costs with what the options change."""
    if asked.volume is not None:
        try:
            tier = tier_at(Decimal(asked.volume))
        except (InvalidOperation, ValueError) as error:
            known = ", ".join(str(tier.volume) for tier in SPOT_TIERS)
            raise ConfigError(f"--volume {asked.volume!r}: a 30-day volume of 0 or more; the tiers begin at {known}") from error
        own = replace(own, taker=float(tier.taker), maker=float(tier.maker))
    if asked.spread is not None:
        try:
            spread = float(asked.spread)
        except ValueError:
            spread = np.nan
        if not 0 <= spread < 0.5:
            raise ConfigError(f"--spread {asked.spread!r}: a fraction of the price from 0 to below 0.5, e.g. 0.001")
        own = replace(own, slippage=slippage_of(spread))
    return own


def pairs_of(asked: Sequence[str], source: Source) -> list[str]:
    """The pairs asked for, each once, or all; `asked`: names, also several with commas between them."""
    names = [name.strip() for text in asked for name in text.split(",")]
    if not all(names):
        raise ConfigError(f"--pairs {','.join(asked)!r}: names separated by commas, for instance {source.pairs[0]}")
    if unknown := [pair for pair in names if pair not in source.pairs]:
        raise ConfigError(
            f"--pairs {unknown[0]}: not in {source.name}; {len(source.pairs)} pairs are, the first is {source.pairs[0]}"
        )  # fmt: skip
    return list(dict.fromkeys(names)) or list(source.pairs)


def range_of(asked: Asked, source: Source) -> tuple[int, int]:
    """First and last moment, UTC microseconds; both must lie inside what the source holds."""
    start = source.first_us if asked.start is None else moment(asked.start, "--from")
    end = source.end_us if asked.end is None else moment(asked.end, "--to")
    if start >= end:
        raise ConfigError(
            f"--from {stamp(start)}: must be before --to, which is {stamp(end)}{'' if asked.end else ', the end of the candles'}"
        )
    if not source.first_us <= start < end <= source.end_us:
        inside = f"{stamp(source.first_us)} to {stamp(source.end_us)}"
        raise ConfigError(f"--from and --to: {stamp(start)} to {stamp(end)} must lie inside {inside}")
    return start, end


def source_of(asked: Asked) -> Source:
    """Where the candles come from."""
    if asked.market == MarketKind.SPOT:
        return StoreSource(asked.state) if asked.data is None else FileSource(asked.data)
    if asked.data is None:
        raise ConfigError("--market futures: needs --data FILE; the history store holds spot candles")
    return PerpetualSource(asked.data)
