"""`trader backtest`: candles of a file through the kernel, with what it cost, what was left out and which bytes it read."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from trader.bootstrap.world import moment
from trader.domain.costs import Costs
from trader.domain.market import Instrument, Timeframe
from trader.domain.messages import stamp
from trader.domain.money import plain, quantum
from trader.errors import ConfigError
from trader.indicators import technical
from trader.reporting.analytics import equity_figures, trade_figures, trades_of
from trader.research import backtester
from trader.research.account import Pass, account_pass
from trader.research.backtester import S1, Strategy
from trader.simulation.kraken_server.spot.market_view import QUOTE_DECIMALS
from trader.simulation.listings import Listing
from trader.simulation.replay import ReplayMarket
from trader.strategy.columns import Bars

CASH = Decimal(10_000)
FIELDS = ("time", "open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to run. `start`, `end`: None = what the file holds; `pairs`: empty = all of them."""

    strategy: str
    data: Path
    pairs: Sequence[str] = ()
    start: str | None = None
    end: str | None = None
    profile: str = "viable"
    warmup: str = "exact"


def run_backtest(asked: Asked, progress: Callable[[str], None]) -> dict[str, Any]:
    """Plain values, JSON-ready. Raises ConfigError naming the option: an unknown strategy or pair, an empty range, a bad file."""
    strategy = backtester.named(asked.strategy, asked.profile, Costs())
    market = ReplayMarket(asked.data)
    if unknown := [pair for pair in asked.pairs if pair not in market.pairs]:
        raise ConfigError(f"--pairs {unknown[0]}: not in {asked.data}; {len(market.pairs)} pairs are, the first is {market.pairs[0]}")
    start = market.first_us if asked.start is None else moment(asked.start)
    end = market.end_us if asked.end is None else moment(asked.end)
    if not market.first_us <= start < end <= market.end_us:
        raise ConfigError(
            f"--from and --to: {stamp(start)} to {stamp(end)} must lie inside {stamp(market.first_us)} to {stamp(market.end_us)}"
        )
    pairs = list(asked.pairs) or list(market.pairs)
    head = {
        "strategy": strategy.name, "from": stamp(start), "to": stamp(end), "warmup": asked.warmup, "ai": "off",
        "fee": strategy.costs.taker, "slippage": strategy.costs.slippage, "round_trip": strategy.costs.round_trip,
        "data": asked.data.name, "data_sha256": _digest(market, pairs, start, end),
    }  # fmt: skip
    if strategy is S1:
        return head | _alone(strategy, market, pairs, start, end)
    return head | _shared(strategy, market, pairs, span=(start, end), warmup=asked.warmup, progress=progress)


def _digest(market: ReplayMarket, pairs: Sequence[str], start: int, end: int) -> str:
    """SHA-256 over the columns of the candles in range, pair by pair: what the result depends on."""
    seen = hashlib.sha256()
    for pair in sorted(pairs):
        columns = market.candles(pair, market.base, start, end)
        seen.update(pair.encode())
        for name in FIELDS:
            seen.update(getattr(columns, name).tobytes())
    return seen.hexdigest()


def _alone(strategy: Strategy, market: ReplayMarket, pairs: Sequence[str], start: int, end: int) -> dict[str, Any]:
    """Pairs independent, on the file's own candles."""
    data = {}
    for pair in pairs:
        columns = market.candles(pair, market.base, start, end)
        if len(columns):
            data[pair] = {name: getattr(columns, name) for name in FIELDS}
    trades = backtester.run(strategy, data)
    return {
        "timeframe": str(market.base), "pairs": len(data), "excluded": {pair: "no candles in range" for pair in pairs if pair not in data},
        "trades": len(trades), "sum_net_return": float(trades["net_return"].sum()), "fees": float(trades["fees"].sum()),
        "reasons": dict(sorted(Counter(trades["reason"]).items())), "per_pair": dict(sorted(Counter(trades["pair"]).items())),
    }  # fmt: skip


def _shared(
    strategy: Strategy, market: ReplayMarket, pairs: Sequence[str], *, span: tuple[int, int], warmup: str, progress: Callable[[str], None]
) -> dict[str, Any]:
    """One account over all pairs, on 15m candles; history before the range warms up."""
    bars, excluded = {}, {}
    for number, pair in enumerate(pairs, start=1):
        made = _bars(market, pair, span[1], warmup)
        if reason := _too_few(strategy, made, warmup):
            excluded[pair] = reason
        else:
            bars[pair] = made
        if number % 25 == 0 or number == len(pairs):
            progress(f"read {number} of {len(pairs)} pairs")
    if not bars:
        raise ConfigError(f"no pair can be judged: {pairs[0]}: {excluded[pairs[0]]}; --warmup short asks for less")
    instruments = {pair: _instrument(pair, market.listing(pair)) for pair in bars}
    found = account_pass(strategy, bars, instruments, cash=CASH, first_us=span[0], last_us=span[1])
    progress(f"{found.signals} signals, {len(found.legs)} exit legs")
    return {"timeframe": "15m", "pairs": len(bars), "excluded": excluded} | _figures(found)


def _bars(market: ReplayMarket, pair: str, end: int, warmup: str) -> Bars:
    """All candles up to the end of the range; 4h ones made of the 15m ones."""
    return Bars(market.candles(pair, Timeframe.M15, market.first_us, end), warmup=warmup)


def _too_few(strategy: Strategy, bars: Bars, warmup: str) -> str:
    """Why a pair can never be READY in this range; "" if it can."""
    p, short = strategy.parameters, warmup == "short"
    assert p is not None
    for name, seen, wanted in (
        ("15m", len(bars), technical.lookback_15m(p.rsi_period, p.trend_ema, short=short)),
        ("4h", len(bars.four), technical.lookback_4h(p.h4_ema, short=short)),
    ):
        if seen < wanted:
            return f"too few {name} candles: {seen} of {wanted}"
    return "" if bars.features(p).ready.any() else "no bar is READY: gaps, or too many bars without a trade"


def _instrument(pair: str, listing: Listing) -> Instrument:
    return Instrument(
        pair=pair, base=listing.base, quote=listing.quote, tick=listing.tick, lot=quantum(listing.lot_decimals),
        order_min=listing.ordermin, cost_min=listing.costmin, quote_step=quantum(QUOTE_DECIMALS),
    )  # fmt: skip


def _figures(found: Pass) -> dict[str, Any]:
    """Statistics of SPEC section 13; undefined ones are null."""
    still = {leg.position_id for leg in found.legs if leg.pair in found.open}
    closed = trades_of(found.legs, _open_ids(found, still))
    trades, equity = trade_figures(closed), equity_figures(found.equity)
    per_pair: dict[str, Decimal] = {}
    for leg in found.legs:
        per_pair[leg.pair] = per_pair.get(leg.pair, Decimal(0)) + leg.net
    return {
        "cash": plain(CASH), "equity_end": plain(equity.last) if equity.last is not None else plain(CASH), "return": equity.total_return,
        "max_drawdown": equity.max_drawdown, "sharpe": equity.sharpe, "sortino": equity.sortino, "signals": found.signals,
        "trades": trades.trades, "legs": len(found.legs), "open": list(found.open), "wins": trades.wins, "win_rate": trades.win_rate,
        "win_rate_95": [trades.win_low, trades.win_high], "profit_factor": trades.profit_factor, "expectancy": trades.expectancy,
        "net": plain(trades.net), "fees": plain(trades.fees), "turnover": plain(trades.turnover), "fee_share": trades.fee_share,
        "refusals": dict(found.refusals), "halts": dict(found.halted),
        "reasons": dict(sorted(Counter(leg.reason for leg in found.legs).items())),
        "per_pair": {pair: plain(net) for pair, net in sorted(per_pair.items())}, "lines": found.lines(),
    }  # fmt: skip


def _open_ids(found: Pass, candidates: set[str]) -> set[str]:
    """The newest position of each pair that is still held: its legs are not a closed trade yet."""
    newest: Mapping[str, str] = {leg.pair: leg.position_id for leg in sorted(found.legs, key=lambda leg: leg.entry_us)}
    return {newest[pair] for pair in found.open if newest.get(pair) in candidates}
