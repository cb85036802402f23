"""What a backtest says of itself: one object of plain values. `--json` prints it, the screen and the page only show it."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from statistics import fmean, median
from typing import Any

import numpy as np

from trader import __version__
from trader.bootstrap import backtest_cassette
from trader.bootstrap.backtest import Ran
from trader.domain.futures import MarketKind
from trader.domain.market import DAY
from trader.domain.messages import TradeLeg, stamp
from trader.domain.money import ZERO, plain
from trader.reporting import study
from trader.reporting.analytics import Trade, TradeFigures, trade_figures, trades_of
from trader.reporting.words import exit_words
from trader.research.comparisons import DRAWS
from trader.strategy.strategies import warnings_of

FEW = 30  # trades, or days, below which their statistics do not mean much
QUIET_SHARE = 0.02  # candles without a trade that are worth a warning


def result_of(ran: Ran) -> dict[str, Any]:
    """Plain values, JSON-ready; money as text in quote, fractions as numbers, what is undefined as null."""
    trades = trades_of(ran.legs, ran.held)
    figures = trade_figures(trades)
    cassette = None if ran.confirmed is None else backtest_cassette.told(ran.confirmed, trades)
    return (
        _head(ran)
        | _equity(ran)
        | _trades(ran, trades, figures)
        | _costs(ran, trades, figures)
        | {"r": _r(ran, trades), "benchmarks": _benchmarks(ran, trades)}
        | _tables(ran, trades)
        | {
            "parity_sha256": parity_digest(ran.legs),
            "verify": None,
            "cassette": cassette,
            "warnings": warnings(ran, figures) + ([] if cassette is None else backtest_cassette.warnings(cassette)),
            "lines": [leg.line() for leg in ran.legs],
        }
    )


def parity_digest(legs: Sequence[TradeLeg]) -> str:
    """SHA-256 over the sorted trade lines: equal for every engine that made the same trades (SIMULATION.md section 5)."""
    return hashlib.sha256("\n".join(sorted(leg.line() for leg in legs)).encode()).hexdigest()


def _head(ran: Ran) -> dict[str, Any]:
    asked, source, costs = ran.asked, ran.source, ran.strategy.costs
    candles = {pair: _inside(ran, pair) for pair in ran.pairs}
    return {
        "strategy": ran.strategy.name, "profile": asked.profile if ran.shared else None, "from": stamp(ran.start_us),
        "to": stamp(ran.end_us), "warmup": asked.warmup, "ai": asked.ai, "version": __version__,
        "fee": costs.taker, "slippage": costs.slippage, "round_trip": round(costs.round_trip, 10), "volume": asked.volume,
        "spread": asked.spread, "source": source.kind, "data": source.name,
        "data_sha256": source.digest(list(ran.pairs) + list(ran.watched), ran.start_us, ran.end_us), "timeframe": str(ran.timeframe),
        "market": asked.market, "side": asked.side, "leverage": asked.leverage, "watched": list(ran.watched),
        "quote": source.pairs[0].split("/")[1].split(":")[0], "pairs": len(ran.pairs), "excluded": dict(ran.excluded),
        "candles": sum(count for count, _ in candles.values()), "without_trade": sum(quiet for _, quiet in candles.values()),
        "account": "shared" if ran.shared else "a stake for each pair",
    }  # fmt: skip


def _inside(ran: Ran, pair: str) -> tuple[int, int]:
    columns = ran.pairs[pair].columns
    part = (columns.time >= ran.start_us) & (columns.time < ran.end_us)
    return int(part.sum()), int((columns.filled & part).sum())


def _equity(ran: Ran) -> dict[str, Any]:
    figures, fall = study.curve_figures(ran.curve), study.drawdown(ran.curve)
    return {
        "cash": plain(ran.capital), "equity_end": plain(ran.curve[-1].equity), "return": figures.total_return,
        "max_drawdown": fall.depth, "drawdown_from": stamp(fall.peak_us), "drawdown_bottom": stamp(fall.bottom_us),
        "drawdown_back": None if fall.back_us is None else stamp(fall.back_us), "drawdown_longest_days": round(fall.longest_s / 86_400, 2),
        "sharpe": figures.sharpe, "sortino": figures.sortino, "calmar": figures.calmar, "days": figures.days,
    }  # fmt: skip


def _trades(ran: Ran, trades: Sequence[Trade], figures: TradeFigures) -> dict[str, Any]:
    invested, in_market = study.exposure(ran.legs, ran.curve)
    held = [(leg.exit_us - leg.entry_us) / 3.6e9 for leg in ran.legs]
    return {
        "signals": ran.signals, "trades": figures.trades, "legs": len(ran.legs), "open": list(ran.open), "wins": figures.wins,
        "losses": figures.losses, "win_rate": figures.win_rate, "win_rate_95": [figures.win_low, figures.win_high],
        "profit_factor": figures.profit_factor, "expectancy": figures.expectancy, "average_win": figures.average_win,
        "average_loss": figures.average_loss, "best_streak": figures.best_streak, "worst_streak": figures.worst_streak,
        "sum_net_return": math.fsum(_net_return(trade) for trade in trades),
        "exposure": invested, "time_in_market": in_market, "median_hours_held": round(median(held), 2) if held else None,
    }  # fmt: skip


def _net_return(trade: Trade) -> float:
    """Net result of a trade as a fraction of what its entry cost."""
    return float(trade.net) / float(trade.stake)


def _costs(ran: Ran, trades: Sequence[Trade], figures: TradeFigures) -> dict[str, Any]:
    """Fees as booked, slippage as modelled, and both against the gains of the trades before them."""
    closed = {trade.position_id for trade in trades}
    slipped: dict[str, Decimal] = {}
    for leg in ran.legs:
        if leg.position_id in closed:
            paid = study.slippage_paid([leg], ran.strategy.costs.slippage)
            slipped[leg.position_id] = slipped.get(leg.position_id, ZERO) + paid
    total = sum(slipped.values(), ZERO)
    before = [trade.net + trade.fees + slipped[trade.position_id] for trade in trades]
    gains = sum((gross for gross in before if gross > ZERO), ZERO)
    return {
        "net": plain(figures.net), "fees": plain(figures.fees), "slippage_paid": plain(total), "turnover": plain(figures.turnover),
        "funding": plain(sum((one.amount for one in ran.funding), ZERO)),
        "turnover_times": float(figures.turnover / ran.capital), "before_costs": plain(sum(before, ZERO)), "fee_share": figures.fee_share,
        "cost_share": float((figures.fees + total) / gains) if gains else None,
    }  # fmt: skip


def _r(ran: Ran, trades: Sequence[Trade]) -> dict[str, Any]:
    values = [study.r_multiple(trade, ran.risk[trade.position_id]) for trade in trades]
    return {
        "mean": fmean(values) if values else None, "median": median(values) if values else None,
        "least": min(values, default=None), "most": max(values, default=None), "bins": [asdict(one) for one in study.histogram(values)],
    }  # fmt: skip


def _benchmarks(ran: Ran, trades: Sequence[Trade]) -> dict[str, Any]:
    """Holding the pairs; and random entries, judged by the mean net result of a trade as a fraction of what its entry cost."""
    holding, chance = ran.against.holding, ran.against.chance
    found: dict[str, Any] = {"buy_and_hold": {"return": holding.result, "max_drawdown": holding.drawdown}, "random_entry": None}
    if chance is not None and trades:
        mean = fmean(_net_return(trade) for trade in trades)
        low, middle, high = chance.interval()
        found["random_entry"] = {
            "seed": ran.asked.seed, "draws": DRAWS, "entries": chance.entries, "strategy_mean": mean, "random_mean": middle,
            "random_95": [low, high], "as_good_or_better": chance.at_least(mean),
            "bins": [asdict(one) for one in study.histogram(chance.means.tolist(), most=30)],
        }  # fmt: skip
    return found


def _tables(ran: Ran, trades: Sequence[Trade]) -> dict[str, Any]:
    days, months = study.days_of(ran.curve, trades), study.months_of(ran.curve, trades)
    held = [round(float(value), 8) for value in ran.against.holding.values[1:]]
    return {
        "reasons": dict(sorted(Counter(leg.reason for leg in ran.legs).items())),
        "by_reason": [_group(one) | {"words": exit_words(one.name)} for one in study.by_reason(ran.legs)],
        "by_pair": [_group(one) | {"hold": ran.against.holding.per_pair.get(one.name)} for one in study.by_pair(trades)],
        "notable": _notable(ran, trades), "refusals": dict(ran.refusals), "halts": dict(ran.halted),
        "months": [_period(one) for one in months],
        "daily": [_period(one) | {"hold": value} for one, value in zip(days, held, strict=True)],
    }  # fmt: skip


def _notable(ran: Ran, trades: Sequence[Trade]) -> list[dict[str, Any]]:
    """The trades with the best and the worst net result, leg by leg; one where there is but one."""
    ordered = sorted(trades, key=lambda trade: (trade.net, trade.position_id))
    chosen = (
        [("Best trade", ordered[-1]), ("Worst trade", ordered[0])] if len(ordered) > 1 else [("The only trade", one) for one in ordered]
    )
    return [_trade(ran, title, trade) for title, trade in chosen]


def _trade(ran: Ran, title: str, trade: Trade) -> dict[str, Any]:
    legs = sorted((leg for leg in ran.legs if leg.position_id == trade.position_id), key=lambda leg: leg.exit_us)
    return {
        "title": title, "position": trade.position_id, "pair": trade.pair, "entry_time": stamp(trade.entry_us),
        "entry_price": plain(legs[0].entry_price), "net": plain(trade.net), "r": study.r_multiple(trade, ran.risk[trade.position_id]),
        "legs": [{"time": stamp(leg.exit_us), "price": plain(leg.exit_price), "reason": leg.reason} for leg in legs],
    }  # fmt: skip


def _group(one: study.Group) -> dict[str, Any]:
    return {
        "name": one.name, "count": one.count, "wins": one.wins, "win_rate": one.win_rate, "win_rate_95": [one.win_low, one.win_high],
        "net": plain(one.net), "fees": plain(one.fees), "best": plain(one.best), "worst": plain(one.worst),
    }  # fmt: skip


def _period(one: study.Period) -> dict[str, Any]:
    return {"label": one.label, "equity": plain(one.equity), "return": one.result, "trades": one.trades, "net": plain(one.net)}


def warnings(ran: Ran, figures: TradeFigures) -> list[str]:
    """What a reader must know before believing the figures, each one sentence."""
    found = list(warnings_of(ran.strategy))
    if ran.shared and ran.asked.warmup == "short":
        found.append("Warm-up short: a pair was ready after three periods, where the session asks for the exact warm-up.")
    if figures.trades < FEW:
        found.append(f"{figures.trades} trades: too few for any of these statistics to mean much.")
    days = (ran.end_us - ran.start_us) / DAY
    if days < FEW:
        found.append(f"{days:g} days: Sharpe, Sortino and Calmar of so few daily returns say nothing.")
    if (idle := _idle_days(ran)) >= 1:
        less = "" if ran.asked.warmup == "short" else ", or --warmup short,"
        found.append(
            f"No pair was ready in the first {idle:.0f} of {days:.0f} days (candles before the range{less} would help): "
            "they count as days without a trade in every figure, while holding began with the first."
        )
    if ran.excluded:
        found.append(f"{len(ran.excluded)} pairs were left out, each for the reason listed below.")
    if ran.watched:
        found.append(f"{', '.join(ran.watched)} was read for the state of the market, not traded.")
    if ran.asked.market == MarketKind.FUTURES:
        found.append(
            f"Funding is the simulated exchange's of seed {ran.asked.seed}, in whole bars: a candle file knows none. It moves the equity, "
            "not the net of a trade."
        )
        found.append("Stops watch the last price, not the mark, which a candle file does not know.")
    count, quiet = _quiet(ran)
    if count and quiet / count > QUIET_SHARE:
        found.append(f"{quiet / count:.1%} of the candles had no trade or are missing: they repeat the close before them.")
    return found


def _idle_days(ran: Ran) -> float:
    """Days of the range before the first bar at which one of the six might have entered; 0 for other strategies."""
    p = ran.strategy.parameters
    if p is None:
        return 0.0
    ready = (bars.time[bars.ready(p, np.flatnonzero(bars.time >= ran.start_us))] for bars in ran.pairs.values())
    first = min((int(times[0]) for times in ready if len(times)), default=ran.end_us)
    return (first - ran.start_us) / DAY


def _quiet(ran: Ran) -> tuple[int, int]:
    found: Mapping[str, tuple[int, int]] = {pair: _inside(ran, pair) for pair in ran.pairs}
    return sum(count for count, _ in found.values()), sum(quiet for _, quiet in found.values())
