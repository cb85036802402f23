"""S1 through the public interface against its own indicators, a plain loop, threads and the data's size (PERFORMANCE.md section 7).

    python -m benchmarks.kernel [--quick] [--pairs N] [--bars N]

144 pairs x 43,200 bars (--quick: 4 x 5,000). JSON lines on stdout. References run in the same process, interleaved with ours;
CPU time, best of the rounds. Exit code 1 where a trade differs from the definition.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.s1 import s1_data, s1_trades
from tests.amounts import whole
from trader.domain.market import Timeframe
from trader.indicators import technical
from trader.research.backtester import S1, run, run_all, six

NAMES = ("open", "high", "low", "close")
BEGIN_US, BAR_US = 1_700_006_400_000_000, Timeframe.M15.us  # at a close of 4h
PLAIN_PAIRS = 4  # the plain loop is slow: a few pairs say what it costs a candle
Data = Mapping[str, Mapping[str, Any]]


@dataclass(slots=True)
class Clocked:
    """The least time that a piece of work took."""

    work: Callable[[], object]
    clock: Callable[[], float] = time.process_time
    least: float = float("inf")

    def go(self) -> None:
        begin = self.clock()
        self.work()
        self.least = min(self.least, self.clock() - begin)


def figure(name: str, value: float, unit: str, *, against: str | None = None, ratio: float | None = None) -> None:
    """One JSON line."""
    row = {"name": name, "value": round(value, 4), "unit": unit, "ratio_to": against, "ratio": None if ratio is None else round(ratio, 4)}
    print(json.dumps(row), flush=True)


def generated(pairs: int, bars: int) -> dict[str, dict[str, Any]]:
    """The check data of PERFORMANCE.md section 1, one seed a pair."""
    return {f"P{seed:03d}/USD": dict(zip(NAMES, s1_data(seed, bars), strict=True)) for seed in range(pairs)}


def indicators(data: Data) -> None:
    """The two TA-Lib calls S1 needs, each pair's arrays dropped before the next one's."""
    for arrays in data.values():
        technical.rsi(arrays["close"], 14)
        technical.ema(arrays["close"], 200)


def plain(data: Data, pairs: Sequence[str]) -> list[tuple[Any, ...]]:
    """The definition of S1: (pair, entry bar, exit bar, entry price, exit price, reason)."""
    return [(pair, *trade) for pair in pairs for trade in s1_trades(*(data[pair][name] for name in NAMES))]


def timed_data(data: Data) -> dict[str, dict[str, Any]]:
    """The same candles as 15m ones with times and volumes, which the six strategies read."""
    found = {}
    for seed, (pair, arrays) in enumerate(data.items()):
        n = len(arrays["close"])
        volume = np.random.default_rng(seed).lognormal(3, 1, n)
        found[pair] = {**arrays, "volume": volume, "time": BEGIN_US + np.arange(n, dtype=np.int64) * BAR_US}
    return found


def nine(data: Data) -> None:
    """The nine TA-Lib calls (ten arrays) that one set of parameters of the six needs."""
    for arrays in data.values():
        high, low, close, volume = (arrays[name] for name in ("high", "low", "close", "volume"))
        technical.rsi(close, 14)
        technical.macd(close)
        technical.bollinger(close)
        technical.atr(high, low, close, 14)
        technical.ema(close, 9)
        technical.ema(close, 21)
        technical.sma(volume, 20)
        technical.highest(high, 100)
        technical.lowest(low, 100)


def six_figures(data: Data, rounds: int) -> None:
    """The six strategies over the same pairs, trade tables included, against nine TA-Lib calls."""
    strategies, candles = list(six()), timed_data(data)
    run_all(strategies, dict(list(candles.items())[:2]))
    floor, ours = Clocked(lambda: nine(candles)), Clocked(lambda: run_all(strategies, candles))
    for _ in range(rounds):
        floor.go()
        ours.go()
    candle = 1e9 / sum(len(arrays["close"]) for arrays in candles.values())
    figure("talib.nine", floor.least * candle, "ns/candle")
    figure("kernel.six", ours.least * candle, "ns/candle", against="talib.nine", ratio=ours.least / floor.least)


def differing(data: Data) -> int:
    """Trades that ours and the definition do not share, over all pairs."""
    ours = run(S1, data).select("pair", "entry_bar", "exit_bar", "entry_price", "exit_price", "reason").rows()
    wanted = plain(data, list(data))
    print(f"kernel: {len(ours)} trades compared with {len(wanted)} of the definition", file=sys.stderr)
    return len(set(ours) ^ set(wanted)) + abs(len(ours) - len(wanted)) if wanted else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernel", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--pairs", type=whole())
    parser.add_argument("--bars", type=whole())
    asked = parser.parse_args()
    pairs, bars = asked.pairs or (4 if asked.quick else 144), asked.bars or (5_000 if asked.quick else 43_200)
    data = generated(pairs, bars)
    some = list(data)[:PLAIN_PAIRS]
    raw = sum(column.nbytes for arrays in data.values() for column in arrays.values()) / 2**20
    run(S1, {pair: data[pair] for pair in some})  # compile or load from the cache: start-up, not speed
    ours, floor = Clocked(lambda: run(S1, data)), Clocked(lambda: indicators(data))
    slow = Clocked(lambda: plain(data, some))
    one, two = Clocked(lambda: run(S1, data), time.perf_counter), Clocked(lambda: run(S1, data, threads=2), time.perf_counter)
    for _ in range(25 if asked.quick else 5):
        for work in (floor, ours, one, two):
            work.go()
    slow.go()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    candle, few = 1e9 / (pairs * bars), 1e9 / (len(some) * bars)
    figure("talib.s1", floor.least * candle, "ns/candle")
    figure("python.s1", slow.least * few, "ns/candle")
    figure("kernel.s1", ours.least * candle, "ns/candle", against="talib.s1", ratio=ours.least / floor.least)
    figure("kernel.s1.vs_python", ours.least * candle, "ns/candle", against="python.s1", ratio=ours.least * candle / (slow.least * few))
    figure("kernel.s1.threads2", two.least * 1e3, "ms wall", against="kernel.s1 wall", ratio=two.least / one.least)
    figure("kernel.s1.rss", peak, "MB", against="raw data", ratio=peak / raw)
    six_figures(data, 9 if asked.quick else 5)
    wrong = differing(data)
    figure("kernel.s1.differences", wrong, "trades")
    return 1 if wrong else 0


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    sys.exit(main())
