"""The engine: base candles in, one decision per pair and 15m close out; what is missing makes a pair not ready, never wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from series_kit import cut, four_hours, walk

from trader.domain.costs import Costs
from trader.domain.market import MINUTE, Candle, Timeframe
from trader.domain.messages import Action, Decision, Refusal
from trader.execution.engine import Engine
from trader.indicators.series import features
from trader.ports import Columns
from trader.strategy.brain import candidates
from trader.strategy.modes import lookback_4h, lookback_15m, parameters

PAIR = "A/EUR"
MODE = parameters("viable", "mitraillette", "AGGRESSIVE")
COSTS = Costs(taker=0.0040, maker=0.0025, slippage=0.0005)
BARS = 16 * (lookback_4h(MODE) + 40)
WARM = BARS - 160
SEED = 5


@pytest.fixture(scope="module")
def series() -> Columns:
    return walk(SEED, BARS, sd=0.006, filled=0.0)


def engine() -> Engine:
    return Engine(parameters=MODE, costs=COSTS, reference="BTC/EUR")


def joined(series: Columns) -> Engine:
    made = engine()
    warm = cut(series, 0, WARM)
    made.join(PAIR, warm, four_hours(warm), ())
    return made


def minutes(series: Columns, i: int) -> list[Candle]:
    """Fifteen base candles that make up row `i`: the first opens, the second reaches both extremes, the last closes."""
    at = {name: float(getattr(series, name)[i]) for name in ("open", "high", "low", "close", "volume")}
    start = int(series.time[i])
    made = []
    for n in range(15):
        first, last = at["open"], at["close"] if n == 14 else at["open"]
        high, low = (at["high"], at["low"]) if n == 1 else (max(first, last), min(first, last))
        made.append(
            Candle(
                pair=PAIR, timeframe=Timeframe.M1, time_us=start + n * MINUTE, open=first, high=high, low=low, close=last,
                volume=at["volume"] / 15,
            )
        )  # fmt: skip
    return made


def decide(made: Engine, close_us: int, **blocked: str) -> Decision:
    return made.decide(close_us, [PAIR], {name.replace("_", "/"): why for name, why in blocked.items()})[0]


def test_decisions_on_streams_equal_the_columns_of_the_whole_series(series: Columns) -> None:
    made = joined(series)
    wanted = candidates(features(series, four_hours(series), MODE), MODE, COSTS).enter
    seen, fours = [], 0
    for i in range(WARM, BARS):
        done = made.absorb(minutes(series, i))
        fours += sum(candle.timeframe is Timeframe.H4 for candle in done)
        assert [candle.timeframe for candle in done][-1] is Timeframe.M15
        decision = decide(made, int(series.time[i]) + Timeframe.M15.us)
        assert decision.refusal is not Refusal.NOT_READY
        seen.append(decision.action is Action.ENTER)
    assert fours == 160 // 16
    assert seen == list(wanted[WARM:])
    assert sum(np.asarray(wanted[WARM:])) > 0, "the walk has signals to compare"


def test_a_pair_that_never_joined_is_not_ready() -> None:
    decision = decide(engine(), 0)
    assert (decision.action, decision.refusal) == (Action.HOLD, Refusal.NOT_READY)


def test_a_missed_base_candle_makes_the_pair_stale_and_not_ready(series: Columns) -> None:
    made = joined(series)
    close_us = int(series.time[WARM]) + Timeframe.M15.us
    assert made.absorb([candle for n, candle in enumerate(minutes(series, WARM)) if n != 7]) == []
    assert made.stale(close_us) == [PAIR]
    assert decide(made, close_us).refusal is Refusal.NOT_READY
    assert made.absorb(minutes(series, WARM + 1)) == [], "the bar before is missing"
    assert made.stale(close_us + Timeframe.M15.us) == [PAIR]
    repaired = cut(series, 0, WARM + 2)
    made.leave(PAIR)
    made.join(PAIR, repaired, four_hours(repaired), ())
    assert made.stale(close_us + Timeframe.M15.us) == []


def test_repeated_and_late_candles_change_nothing(series: Columns) -> None:
    made, same = joined(series), joined(series)
    for candle in minutes(series, WARM):
        made.absorb([candle, replace(candle, close=1e9, high=1e9)])
        same.absorb([candle])
    made.absorb(minutes(series, WARM - 1))
    close_us = int(series.time[WARM]) + Timeframe.M15.us
    assert decide(made, close_us) == decide(same, close_us)
    assert made.marks == same.marks == {PAIR: float(series.close[WARM])}


def test_a_blocked_pair_refuses_with_the_gates_words(series: Columns) -> None:
    made = joined(series)
    made.absorb(minutes(series, WARM))
    decision = decide(made, int(series.time[WARM]) + Timeframe.M15.us, A_EUR="expect_something")
    assert decision.refusal is Refusal.NOT_READY
    assert "expect_something" in decision.detail


def test_candles_of_strangers_are_ignored(series: Columns) -> None:
    made = joined(series)
    assert made.absorb([replace(candle, pair="B/EUR") for candle in minutes(series, WARM)]) == []
    assert "B/EUR" not in made.marks


def test_a_pair_joins_in_the_middle_of_a_bar_with_the_candles_that_ran_already(series: Columns) -> None:
    made, whole = engine(), joined(series)
    warm, running = cut(series, 0, WARM), minutes(series, WARM)
    made.join(PAIR, warm, four_hours(warm), running[:6])
    done = made.absorb(running[6:])
    whole.absorb(running)
    close_us = int(series.time[WARM]) + Timeframe.M15.us
    assert len(done) >= 1
    assert decide(made, close_us) == decide(whole, close_us)


def test_the_lookback_of_the_strategy_fits_the_test() -> None:
    assert lookback_15m(MODE) < WARM
