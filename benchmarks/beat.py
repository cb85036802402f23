"""One beat's thinking, 144 pairs: indicators by stream update, the prescan's peek, decisions, against a recompute of whole arrays.

    python -m benchmarks.beat [--quick] [--pairs 144] [--rounds 200]

References, in turn with ours in every round: `talib.full`, the nine TA-Lib calls of the kernel over each pair's newest 500 bars, on TA-Lib
as a program imports it; `talib.bare`, the same as we import it, where no call looks whether it was given a series of pandas or polars.
JSON lines on stdout; exit code 1 where a live row differs from the whole arrays by one bit.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.amounts import whole
from trader.domain.account import ExitPlan
from trader.domain.costs import Costs
from trader.domain.market import Candle, Timeframe
from trader.execution import exits
from trader.execution.engine import Engine
from trader.indicators import ta
from trader.indicators.series import features
from trader.ports import Columns
from trader.strategy.context import cut
from trader.strategy.modes import lookback_4h, lookback_15m, parameters

STRATEGY = parameters("viable", "mitraillette", "AGGRESSIVE")
BARS = 500
NEAR = max(STRATEGY.rsi_oversold, STRATEGY.composite_limit) + 6.0  # ai.near_zone: beyond it the prescan reads the RSI alone
M15, H4 = Timeframe.M15.us, Timeframe.H4.us
WARM = -(-lookback_15m(STRATEGY) // 16) * 16  # a whole number of 4h candles
START = 40 * 365 * 24 * 4 * M15


def series(rng: np.random.Generator, n: int, step: int, end_us: int) -> Columns:
    """A random walk of `n` candles that ends at `end_us`."""
    close = 100 * np.exp(np.cumsum(rng.standard_normal(n) * 0.004))
    open_ = np.r_[close[0], close[:-1]]
    high, low = np.maximum(open_, close) * 1.001, np.minimum(open_, close) * 0.999
    time_us = end_us - step * np.arange(n, 0, -1, dtype=np.int64)
    return Columns(time=time_us, open=open_, high=high, low=low, close=close, volume=rng.lognormal(3, 1, n), filled=np.zeros(n, np.bool_))


def candle(pair: str, columns: Columns, i: int) -> Candle:
    o, h, low, c, v = (float(getattr(columns, name)[i]) for name in ("open", "high", "low", "close", "volume"))
    return Candle(pair=pair, timeframe=Timeframe.M15, time_us=int(columns.time[i]), open=o, high=h, low=low, close=c, volume=v)


def as_usual() -> Any:
    """TA-Lib imported once more, where it finds pandas and polars: each call looks first whether it was given a series of theirs."""
    ours = {name: sys.modules.pop(name) for name in ("talib", "talib.stream")}
    try:
        return importlib.import_module("talib")
    finally:
        sys.modules.update(ours)


def full(talib: Any, columns: Columns, end: int) -> None:
    """The nine calls over the newest 500 bars."""
    part = slice(end - BARS, end)
    close, high, low, volume = columns.close[part], columns.high[part], columns.low[part], columns.volume[part]
    talib.RSI(close, 14)
    talib.MACD(close, 12, 26, 9)
    talib.BBANDS(close, 20, 2.0, 2.0, 0)
    talib.ATR(high, low, close, 14)
    talib.EMA(close, 9)
    talib.EMA(close, 21)
    talib.SMA(volume, 20)
    talib.MAX(high, 100)
    talib.MIN(low, 100)


def timed(into: dict[str, list[float]], name: str, work: Callable[[], object]) -> None:
    """Milliseconds of this thread's CPU: what other processes take from it is not ours."""
    begin = time.thread_time_ns()
    work()
    into.setdefault(name, []).append((time.thread_time_ns() - begin) / 1e6)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.beat", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--pairs", type=whole(), default=144)
    parser.add_argument("--rounds", type=whole())
    asked = parser.parse_args()
    rounds = min(asked.rounds or (60 if asked.quick else 300), 16 * 40)
    references = {"full": as_usual(), "bare": ta.talib}  # before any stream is open, since TA-Lib begins anew with its import
    engine, candles, hours = prepared(asked.pairs, rounds)
    spent = measure(engine, candles, rounds, references)
    for percentile in (50, 99):
        report(spent, percentile)
    step_figures(2_000 if asked.quick else 20_000)
    different = sum(not same(engine, pair, candles[pair], hours[pair]) for pair in engine.pairs)
    figure("differences", different, "pairs")
    if different:
        print(f"beat: {different} of {len(engine.pairs)} live rows differ from the whole arrays", file=sys.stderr)
    return 1 if different else 0


def prepared(pairs: int, rounds: int) -> tuple[Engine, dict[str, Columns], dict[str, Columns]]:
    """An engine whose pairs are warm, and the candles to come."""
    engine = Engine(parameters=STRATEGY, costs=Costs(), reference="BTC/EUR")
    rng, n4 = np.random.default_rng(1), lookback_4h(STRATEGY)
    candles, hours = {}, {}
    for number in range(pairs):
        pair = f"P{number:03d}/EUR"
        candles[pair] = series(rng, WARM + rounds, M15, START + rounds * M15)
        hours[pair] = series(rng, n4 + rounds // 16, H4, START + rounds // 16 * H4)
        engine.join(pair, cut(candles[pair], WARM), cut(hours[pair], n4), ())
    return engine, candles, hours


def measure(engine: Engine, candles: dict[str, Columns], rounds: int, references: dict[str, Any]) -> dict[str, list[float]]:
    """Milliseconds of every round by name. 4h candles come from the engine's own builders, outside what is timed."""
    spent: dict[str, list[float]] = {}
    streams = {pair: state.streams for pair, state in engine.pairs.items()}
    for number in range(rounds):
        end = WARM + number + 1
        new = {pair: candle(pair, columns, end - 1) for pair, columns in candles.items()}
        seen = {pair: dataclasses.replace(one, timeframe=Timeframe.M1) for pair, one in new.items()}
        close_us = next(iter(new.values())).close_us
        for name, talib in references.items():
            timed(spent, name, lambda talib=talib, end=end: [full(talib, columns, end) for columns in candles.values()])
        timed(spent, "peek", lambda seen=seen: [engine.peek(pair, one, rsi_below=NEAR) for pair, one in seen.items()])
        timed(spent, "update", lambda new=new: [streams[pair].update(one) for pair, one in new.items()])
        for pair, state in engine.pairs.items():
            state.last_us = state.last_base_us = close_us
            if (four := state.four.add(new[pair])) is not None:
                streams[pair].update_h4(four)
        timed(spent, "decide", lambda close_us=close_us: engine.decide(close_us, list(engine.pairs), {}))
    spent["all"] = [a + b for a, b in zip(spent["update"], spent["decide"], strict=True)]
    return spent


def report(spent: dict[str, list[float]], percentile: int) -> None:
    """Both references, and of each how much ours is of it."""
    values = {name: float(np.percentile(times, percentile)) for name, times in spent.items()}
    for reference in ("full", "bare"):
        line(f"talib.{reference}.p{percentile}", values[reference], "ms", None, None)
    for name in ("update", "peek", "decide", "all"):
        for reference, mark in (("full", ""), ("bare", ".bare")):
            against = f"talib.{reference}.p{percentile}"
            figure(f"{name}{mark}.p{percentile}", values[name], "ms", against, values[name] / values[reference])


def step_figures(calls: int) -> None:
    """One call of the exit step from Python, compiled and plain, in turn."""
    plan = exits.start(
        _plan(), entry=10_000.0, stop=9_800, tp1=10_300, tp2=10_600, lots=1000, leg1=400, leg2=400, slippage=0.0005, cost_min=1.0
    )
    exits.step(plan, 10_010, 10_020, 10_000, 10_010, True)
    plain: Any = exits.step.py_func  # type: ignore[attr-defined]
    compiled_us, plain_us = [], []
    for _ in range(5):
        for into, function in ((compiled_us, exits.step), (plain_us, plain)):
            begin = time.process_time()
            for _ in range(calls):
                function(plan, 10_010, 10_020, 10_000, 10_010, True)
            into.append(1e6 * (time.process_time() - begin) / calls)
    line("python.step", min(plain_us), "us", None, None)
    figure("step", min(compiled_us), "us", "python.step", min(compiled_us) / min(plain_us))


def _plan() -> ExitPlan:
    return ExitPlan(
        kind="hybrid", stop=0.02, tp1=0.03, tp2=0.06, legs=(0.382, 0.382), ratchet_base=0.0185, breakeven=0.009, stagnation_bars=55,
        stagnation_low=-0.0185, stagnation_high=0.0185, max_hold_bars=288, cooldown_bars=4, cooldown_stop_bars=8,
    )  # fmt: skip


def same(engine: Engine, pair: str, columns: Columns, hours: Columns) -> bool:
    """Whether the newest live row equals the whole 15m arrays bit for bit; 4h values are fed by the engine, so they are left out."""
    row = engine.pairs[pair].streams.row
    whole = features(columns, hours, STRATEGY).row(len(columns) - 1)
    skipped = ("h4_close", "h4_ema", "h4_hist", "reason")
    return all(repr(getattr(row, name)) == repr(getattr(whole, name)) for name in row._fields if name not in skipped)


def figure(name: str, value: float, unit: str, against: str | None = None, ratio: float | None = None) -> None:
    line(f"beat.{name}", value, unit, against, ratio)


def line(name: str, value: float, unit: str, against: str | None, ratio: float | None) -> None:
    """One JSON line; `ratio` is value over the reference's of the same run."""
    shown = {"name": name, "value": round(value, 6), "unit": unit, "ratio_to": against}
    print(json.dumps(shown | {"ratio": None if ratio is None else round(ratio, 4)}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
