"""Calibration of the synthetic market: its figures beside recorded candles, its drift over many seeds, its speed.

    python -m benchmarks.market --out bench-out [--seeds 16] [--drift-seeds 200] [--file core24.parquet]

Writes market.jsonl (one JSON object a figure) and market.md. Recorded candles: `--file`, else the core24 file in the folder that
TRADER_SHARED_DATA names (else ../shared/data); without it the recorded column stays empty.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.amounts import whole
from trader.domain.costs import Costs
from trader.domain.market import DAY, Timeframe
from trader.indicators.series import features
from trader.ports import Columns
from trader.simulation.market import EPOCH_US, Market, SyntheticMarket
from trader.simulation.replay import ReplayMarket
from trader.strategy.brain import candidates
from trader.strategy.modes import STRATEGIES, parameters

DAYS = 190  # length of core24
PAIRS = 24
AHEAD = 96  # bars after a signal whose return is looked at
LAGS = (1, 4, 16, 96, 672)
Figures = dict[str, float]


def main() -> None:
    arguments = _parse()
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    columns: dict[str, Figures] = {}
    recorded = Path(arguments.file) if arguments.file else _shared() / "ohlcv" / "dev_binance_2024_5m_core24.parquet"
    if recorded.is_file():
        replay = ReplayMarket(recorded)
        columns["core24"] = figures(replay, replay.pairs, replay.first_us, replay.end_us)
    else:
        print(f"recorded candles absent ({recorded}): their column is left out", file=sys.stderr)
    for seed in range(7, 7 + arguments.seeds):
        market = SyntheticMarket(seed)
        columns[f"seed {seed}"] = figures(market, market.pairs[:PAIRS], EPOCH_US - DAYS * DAY, EPOCH_US)
    columns["seed 7, 150 pairs"] = figures(wide := SyntheticMarket(7), wide.pairs, EPOCH_US - DAYS * DAY, EPOCH_US)
    extra = {**drift(arguments.drift_seeds), **after_signals(arguments.signal_seeds), **speed()}
    lines = [{"market": name, "figure": key, "value": value} for name, column in columns.items() for key, value in column.items()]
    lines += [{"market": "all seeds", "figure": key, "value": value} for key, value in extra.items()]
    (out / "market.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (out / "market.md").write_text(table(columns, extra))
    print(table(columns, extra))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", default="bench-out")
    parser.add_argument("--file")
    parser.add_argument("--seeds", type=whole(), default=16)
    parser.add_argument("--drift-seeds", type=whole(), default=200)
    parser.add_argument("--signal-seeds", type=whole(), default=60)
    return parser.parse_args()


def _shared() -> Path:
    named = os.environ.get("TRADER_SHARED_DATA")
    return Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"


def figures(market: Market, pairs: tuple[str, ...], start_us: int, end_us: int) -> Figures:
    """Statistics of 15m log returns and signals of the six viable strategies per ready pair-day."""
    fifteen = {pair: market.candles(pair, Timeframe.M15, start_us, end_us) for pair in pairs}
    four = {pair: market.candles(pair, Timeframe.H4, start_us, end_us) for pair in pairs}
    returns = _common_returns(fifteen)
    absolute = np.abs(returns)
    centred = returns - returns.mean(axis=0)
    correlation = np.corrcoef(returns.T)
    found: Figures = {
        "pairs": len(pairs),
        "15m standard deviation, median pair (bp)": float(np.median(returns.std(axis=0)) * 1e4),
        "15m standard deviation, BTC (bp)": float(returns[:, 0].std() * 1e4),
        "kurtosis of 15m returns, median pair": float(np.median((centred**4).mean(axis=0) / returns.var(axis=0) ** 2)),
        "mean abs / standard deviation": float(np.median(absolute.mean(axis=0) / returns.std(axis=0))),
        "mean pairwise correlation": float(correlation[~np.eye(len(pairs), dtype=bool)].mean()),
        "mean correlation with BTC": float(correlation[0, 1:].mean()),
        "acf of returns, lag 1": float(np.median(_acf(returns, 1))),
    }
    found |= {f"acf of absolute returns, lag {lag}": float(np.median(_acf(absolute, lag))) for lag in LAGS}
    found["range / mean absolute bar return"] = float(np.median([_range_ratio(columns) for columns in fifteen.values()]))
    found["share of bars with volume over 2.618 x mean of 20"] = float(np.median([_spikes(columns) for columns in fifteen.values()]))
    found["filled 15m bars (worst pair)"] = max(float(columns.filled.mean()) for columns in fifteen.values())
    return found | _signal_rates(fifteen, four)


def _common_returns(series: Mapping[str, Columns]) -> np.ndarray[Any, Any]:
    """Log returns on the times that all pairs share, shape (n, n_pairs)."""
    first, last = max(c.time[0] for c in series.values()), min(c.time[-1] for c in series.values())
    closes = [c.close[(c.time >= first) & (c.time <= last)] for c in series.values()]
    return np.diff(np.log(np.stack(closes, axis=1)), axis=0)


def _acf(values: np.ndarray[Any, Any], lag: int) -> Any:
    centred = values - values.mean(axis=0)
    return (centred[:-lag] * centred[lag:]).mean(axis=0) / values.var(axis=0)


def _range_ratio(columns: Columns) -> float:
    return float(np.log(columns.high / columns.low).mean() / np.abs(np.log(columns.close / columns.open)).mean())


def _spikes(columns: Columns) -> float:
    total = np.concatenate(([0.0], np.cumsum(columns.volume)))
    mean = (total[20:-1] - total[:-21]) / 20
    return float((columns.volume[20:] > 2.618 * mean).mean())


def _signals(fifteen: Columns, four: Columns, mode: str, variation: str) -> tuple[Any, int]:
    """Bars that enter, and the number of ready bars; candle-only score, the product's own code."""
    chosen = parameters("viable", mode, variation)
    made = features(fifteen, four, chosen)
    return candidates(made, chosen, Costs()).enter, int(made.ready.sum())


def _signal_rates(fifteen: Mapping[str, Columns], four: Mapping[str, Columns]) -> Figures:
    rates: Figures = {}
    for mode, variation in STRATEGIES:
        entered, ready = 0, 0
        for pair, columns in fifteen.items():
            enter, usable = _signals(columns, four[pair], mode, variation)
            entered, ready = entered + int(enter.sum()), ready + usable
        rates[f"signals per pair-day, {mode} {variation}"] = entered / max(ready, 1) * 96
    return rates


def drift(seeds: int) -> Figures:
    """Mean daily simple return over a year before the epoch, BTC alone and 24 pairs in equal parts, with its error over seeds."""
    btc, basket = [], []
    for seed in range(seeds):
        market = SyntheticMarket(seed, count=PAIRS)
        days = [market.candles(pair, Timeframe.D1, EPOCH_US - 365 * DAY, EPOCH_US).close for pair in market.pairs]
        simple = np.stack([close[1:] / close[:-1] - 1 for close in days])
        btc.append(float(simple[0].mean()))
        basket.append(float(simple.mean()))
    return {**_mean("drift of BTC (bp a day)", btc), **_mean(f"drift of {PAIRS} pairs (bp a day)", basket)}


def after_signals(seeds: int) -> Figures:
    """Mean simple return of the 24 h after a signal, next open to close, before costs; its error over seeds."""
    found: dict[str, list[float]] = {"mitraillette AGGRESSIVE": [], "sniper AGGRESSIVE": []}
    for seed in range(1_000, 1_000 + seeds):
        market = SyntheticMarket(seed, count=PAIRS)
        for name, mean in _forward(market):
            found[name].append(mean)
    result: Figures = {}
    for name, values in found.items():
        result |= _mean(f"24 h after a signal of {name} (bp)", values)
    return result


def _forward(market: SyntheticMarket) -> Iterator[tuple[str, float]]:
    totals: dict[str, list[float]] = {"mitraillette AGGRESSIVE": [], "sniper AGGRESSIVE": []}
    for pair in market.pairs:
        fifteen, four = (market.candles(pair, frame, EPOCH_US - 365 * DAY, EPOCH_US) for frame in (Timeframe.M15, Timeframe.H4))
        for name, forward in totals.items():
            enter, _ = _signals(fifteen, four, *name.split())
            bars = np.flatnonzero(enter[:-AHEAD])
            forward.extend((fifteen.close[bars + AHEAD] / fifteen.open[bars + 1] - 1).tolist())
    yield from ((name, float(np.mean(values))) for name, values in totals.items() if values)


def _mean(name: str, values: list[float]) -> Figures:
    """Mean in basis points, its standard error, and how many seeds."""
    error = float(np.std(values, ddof=1) / np.sqrt(len(values)))
    return {name: float(np.mean(values)) * 1e4, f"{name}: standard error": error * 1e4, f"{name}: seeds": float(len(values))}


def speed() -> Figures:
    """CPU seconds of what a demo asks at its start, and of live minutes."""
    market = SyntheticMarket(7)
    begin = time.process_time()
    for frame in (Timeframe.M15, Timeframe.H4):
        for pair in market.pairs:
            market.candles(pair, frame, EPOCH_US - 720 * frame.us, EPOCH_US)
    started = time.process_time()
    for minute in range(2 * 1_440):
        market.minute(EPOCH_US + minute * Timeframe.M1.us)
    return {
        "720 rows of 15m and of 4h, 150 pairs (CPU s)": started - begin,
        "one minute of 150 pairs, mean of two days (us)": (time.process_time() - started) / 2_880 * 1e6,
    }


def table(columns: Mapping[str, Figures], extra: Figures) -> str:
    """Markdown: recorded, lowest, median and highest over the seeds of the same 24 pairs, median / recorded, and all 150 pairs."""
    seeds = [column for name, column in columns.items() if name.startswith("seed") and "pairs" not in name]
    recorded, wide = columns.get("core24", {}), columns["seed 7, 150 pairs"]
    lines = [
        f"| figure | core24 | seed 7 | lowest of {len(seeds)} seeds | median | highest | median / core24 | seed 7, 150 pairs |",
        "|---" * 8 + "|",
    ]
    for key, first in seeds[0].items():
        values = [column[key] for column in seeds]
        middle, known = float(np.median(values)), recorded.get(key, float("nan"))
        ratio = middle / known if known and not key.startswith("acf of returns") else float("nan")
        cells = [known, first, min(values), middle, max(values), ratio, wide[key]]
        lines.append(f"| {key} | " + " | ".join("-" if np.isnan(cell) else f"{cell:.3g}" for cell in cells) + " |")
    lines += ["", "| over seeds | value |", "|---|---|"]
    lines += [f"| {key} | {value:.3g} |" for key, value in extra.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
