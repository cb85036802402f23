"""The compiled walk against a plain loop over `step.py_func`, long and short, in ticks and in prices; and its rules one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.s1 import s1_data
from trader.domain.costs import Costs, bought, slip_units
from trader.domain.orders import Side
from trader.errors import ConfigError
from trader.execution import exits
from trader.research import kernel
from trader.research.backtester import run, word
from trader.strategy.columns import Bars, Signals
from trader.strategy.strategies import S1, Exits, Strategy

NAMES = ("open", "high", "low", "close")
RICH = Exits(
    stop=0.015, target=0.012, target2=0.02, legs=(0.382, 0.382), ratchet=0.006, breakeven=0.0062, stagnation_bars=40,
    stagnation_low=-0.002, stagnation_high=0.004, max_hold_bars=90, cooldown_bars=2, cooldown_stop_bars=7,
)  # fmt: skip


def _signals(bars: Bars, _costs: Costs) -> Signals:
    rsi = bars.rsi(14)
    return Signals(enter=rsi < 35, leave=rsi > 75, cap=bars.close * 1.004)


def _mirrored(bars: Bars, _costs: Costs) -> Signals:
    rsi = bars.rsi(14)
    return Signals(enter=rsi > 65, leave=rsi < 25, cap=bars.close * 0.996)


LONG = Strategy(name="rich", columns=_signals, exits=RICH, costs=Costs(taker=0.002, slippage=0.0005))
SHORT = replace(LONG, columns=_mirrored, side=Side.SELL)


def plain(strategy: Strategy, columns, said: Signals) -> list[tuple[int, int, float, float, str]]:
    """One bar at a time in plain Python: what the walk has to equal."""
    (o, h, lo, c), rule, found, t, free = columns, kernel.rule_of(strategy), [], 0, 0
    for i in np.flatnonzero(said.enter):
        if i < free or i + 1 >= len(c):
            continue
        entry = rule.sign * bought(rule.sign * o[i + 1], rule.slippage)
        if rule.sign * entry > rule.sign * said.cap[i]:
            continue
        state, t = kernel.opened.py_func(rule, rule.sign * entry, 1.0), int(i) + 1
        while True:
            before = state.lots
            reason, price, state = exits.step.py_func(state, o[t], h[t], lo[t], c[t], True)
            if reason != exits.NONE:
                found.append((int(i) + 1, t, entry, price, word(reason)))
                assert before > state.lots
                if state.lots == 0:
                    break
                continue
            if t == len(c) - 1:
                found.append((int(i) + 1, t, entry, c[t], "end"))
                break
            if said.leave[t] and state.due == exits.NONE:
                state = state._replace(due=exits.SIGNAL)
            t += 1
        stopped = found[-1][4] == "stop"
        free = t + (rule.cooldown_stop_bars if stopped else rule.cooldown_bars)
    return found


@pytest.mark.parametrize("strategy", [LONG, SHORT], ids=["long", "short"])
def test_the_walk_equals_a_plain_loop_over_the_step(strategy: Strategy) -> None:
    compared, reasons = 0, set()
    for seed in range(3):
        columns = s1_data(seed, 3_000)
        arrays = dict(zip(NAMES, columns, strict=True))
        found = run(strategy, {"A/USD": arrays})
        said = strategy.columns(_bars(arrays), strategy.costs)
        rows = found.select("entry_bar", "exit_bar", "entry_price", "exit_price", "reason").rows()
        assert rows == plain(strategy, columns, said)
        compared, reasons = compared + len(rows), reasons | set(found["reason"])
    assert compared >= 140
    assert {"stop", "target", "target2", "signal", "stagnation", "ratchet_1"} <= reasons


def _bars(arrays: dict[str, np.ndarray]) -> Bars:
    from trader.research.backtester import bars_of

    return bars_of("A/USD", arrays)


def test_a_bar_that_touches_both_levels_stops_and_the_comparison_would_see_the_other_order() -> None:
    """Whoever looks at the target first gains where the definition loses: 29 bars of the check data tell them apart."""
    both = 0
    for seed in range(8):
        o, h, lo, _ = columns = s1_data(seed)
        for trade in run(S1, {"A/USD": dict(zip(NAMES, columns, strict=True))}).rows(named=True):
            entry, bar = trade["entry_price"], trade["exit_bar"]
            if trade["reason"] == "stop" and entry * 0.98 < o[bar] < entry * 1.03:
                both += bool(lo[bar] <= entry * 0.98 and h[bar] >= entry * 1.03)
    assert both >= 5


def test_a_short_is_the_long_of_the_mirrored_market() -> None:
    """Falling prices 200 - p give a short what p gives a long, as long as distances are measured from the same entry."""
    o, h, lo, c = (np.full(60, 100.0) for _ in range(4))
    lo[30], h[40] = 98.9, 101.3

    def at_20(bars: Bars, _costs: Costs) -> Signals:
        return Signals(enter=np.arange(len(bars)) == 20)

    free = Costs(taker=0.0, slippage=0.0)
    long = Strategy(name="x", columns=at_20, exits=Exits(stop=0.02, target=0.012), costs=free)
    short = replace(long, side=Side.SELL, exits=Exits(stop=0.02, target=0.011))
    arrays = dict(zip(NAMES, (o, h, lo, c), strict=True))
    (up,) = run(long, {"A/USD": arrays}).rows(named=True)
    (down,) = run(short, {"A/USD": arrays}).rows(named=True)
    assert (up["side"], up["exit_bar"], up["exit_price"], up["reason"]) == ("long", 40, 100 * 1.012, "target")
    assert (down["side"], down["exit_bar"], down["exit_price"], down["reason"]) == ("short", 30, 100 * (1 - 0.011), "target")
    assert up["net_return"] == pytest.approx(0.012)
    assert down["net_return"] == pytest.approx(0.011)


def test_ticks_round_stop_toward_entry_and_targets_away() -> None:
    rule = kernel.rule_of(Strategy(name="x", columns=_signals, exits=Exits(stop=0.0155, target=0.0155), costs=Costs(taker=0, slippage=0)))
    long = kernel.opened(rule, np.int64(1001), 1.0)
    assert (long.stop, long.terms.tp1) == (986, 1017)  # 985.48 up, 1016.5 up
    short = kernel.opened(rule._replace(sign=-1), np.int64(-1001), 1.0)
    assert (-short.stop, -short.terms.tp1) == (1016, 985)  # 1016.5 down, 985.48 down


def test_entries_are_slipped_against_us_and_missed_above_their_cap() -> None:
    rule = kernel.rule_of(LONG)
    assert kernel.bought_at(rule, 1_000_000) == 1_000_500
    assert slip_units(0.0005) == 50_000
    assert kernel.bought_at(kernel.rule_of(SHORT), 1_000_000) == -999_500
    arrays = dict(zip(NAMES, s1_data(1, 3_000), strict=True))
    tight = replace(LONG, columns=lambda bars, costs: _signals(bars, costs)._replace(cap=bars.close * 0.5))
    assert run(tight, {"A/USD": arrays}).is_empty()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"exits": Exits(stop=0.0)}, "strategy rich: stop 0.0 must be a fraction above 0 and below 1"),
        ({"exits": Exits(stop=1.5)}, "stop 1.5 must be"),
        ({"exits": Exits(stop=0.02, target=0.004)}, "target 0.004 must be above the round trip of 0.005, which it has to pay for"),
        ({"exits": Exits(stop=0.02, target=0.03, legs=(0.7, 0.7))}, "legs (0.7, 0.7) must be two shares"),
        ({"exits": Exits(stop=0.02, max_hold_bars=-1)}, "bars (0, -1, 0, 0) must be counts from 0"),
        ({"costs": Costs(taker=-0.1)}, "costs -0.1 must be"),
        ({"stake": 0.0}, "stake 0.0 must be an amount of quote above 0"),
    ],
)
def test_parameters_out_of_range_or_below_costs_are_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        replace(LONG, **change)
    assert words in str(refused.value)


def test_a_position_is_walked_in_the_finest_candles_and_the_bar_is_closed_after_them() -> None:
    """The target is passed in the first third of a bar and the stop in the last: the 15m bar alone would say stop."""
    rule = kernel.rule_of(replace(LONG, exits=replace(RICH, legs=(1.0, 0.0), ratchet=0.0), costs=Costs(slippage=0.0)))
    state = kernel.opened(rule, 10_000, 1.0)
    fine = tuple(
        np.array(column, np.int64)
        for column in ([10_000, 10_100, 9_900], [10_130, 10_110, 9_900], [10_000, 9_900, 9_800], [10_100, 9_900, 9_810])
    )
    bars = tuple(np.array(column, np.int64) for column in ([10_000], [10_130], [9_800], [9_810]))
    for starts, reason, price, met in (([0, 3], exits.TP1, 10_120, 0), ([0, 0], exits.STOP_LOSS, 9_850, 1)):
        legs, prices = np.zeros((4, 4), np.int64), np.zeros(4, np.int64)
        bar, rows, both = kernel.follow_finely(state, fine, np.array(starts), bars, 0, legs, prices)
        assert (bar, rows, both, int(legs[0, kernel.REASON]), int(prices[0])) == (0, 1, met, reason, price)
