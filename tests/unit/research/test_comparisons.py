"""Buy-and-hold and random entries: worked out by hand, seeded, and with an interval that holds what it should."""

from __future__ import annotations

import numpy as np
import pytest

from trader.domain.costs import Costs
from trader.domain.market import DAY, Timeframe
from trader.ports import Columns
from trader.research import comparisons, kernel
from trader.research.backtester import S1, Exits, Signals, Strategy, taken
from trader.research.comparisons import Taken, buy_and_hold, eligible, random_entries
from trader.strategy.columns import Bars

M15 = Timeframe.M15.us


def bars(closes: np.ndarray, start: int = 0) -> Bars:  # type: ignore[type-arg]
    opens = np.r_[closes[0], closes[:-1]]
    time = start + np.arange(len(closes), dtype=np.int64) * M15
    return Bars(Columns(
        time=time, open=opens, high=np.maximum(opens, closes) * 1.001, low=np.minimum(opens, closes) * 0.999, close=closes,
        volume=np.ones(len(closes)), filled=np.zeros(len(closes), np.bool_),
    ))  # fmt: skip


def walk(seed: int, n: int = 3_000) -> Bars:
    return bars(100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.004, n))))


FREE = Strategy(name="free", columns=lambda b, _c: Signals(enter=np.arange(len(b)) % 50 == 49), costs=Costs(taker=0.0, slippage=0.0),
                exits=Exits(stop=0.02, target=0.03, max_hold_bars=48))  # fmt: skip
DEAR = Strategy(name="dear", columns=FREE.columns, costs=Costs(taker=0.004, slippage=0.0005), exits=FREE.exits)


def test_holding_pays_costs_twice_and_waits_in_cash_for_a_pair_that_starts_later() -> None:
    rises = np.linspace(100, 200, 192)
    late = bars(np.full(96, 50.0), start=DAY)
    found = buy_and_hold(FREE, {"A/EUR": bars(rises), "B/EUR": late}, 0, 2 * DAY)
    assert found.values.tolist() == pytest.approx([1.0, (rises[95] / 100 + 1) / 2, 1.5])
    assert found.per_pair == {"A/EUR": 1.0, "B/EUR": 0.0}
    dear = buy_and_hold(DEAR, {"A/EUR": bars(rises)}, 0, 2 * DAY)
    assert dear.result == pytest.approx(2 * 0.9995 * 0.996 / (1.0005 * 1.004) - 1)
    with pytest.raises(ValueError, match="no pair to hold"):
        buy_and_hold(FREE, {}, 0, DAY)


def test_a_fall_and_its_depth_are_seen() -> None:
    found = buy_and_hold(FREE, {"A/EUR": bars(np.r_[np.full(96, 100.0), np.full(96, 60.0), np.full(96, 90.0)])}, 0, 3 * DAY)
    assert found.drawdown == pytest.approx(0.4)


def test_an_entry_drawn_where_the_strategy_entered_has_the_strategys_result() -> None:
    one = walk(1)
    swept = taken(FREE, kernel.rule_of(FREE), one)
    bars_of_entry, share = swept.legs[:, kernel.ENTRY], swept.legs[:, kernel.SOLD] / kernel.LOTS
    signals = np.unique(bars_of_entry) - 1
    found = random_entries(
        FREE, {"A/EUR": Taken(bars=one, count=len(signals), eligible=signals[:1], units=np.ones(1))}, seed=1, draws=3
    )  # fmt: skip
    first = bars_of_entry == bars_of_entry[0]
    result = float(np.sum((swept.exit_price / swept.entry_price - 1)[first] * share[first]))
    assert found is not None
    assert found.means.tolist() == pytest.approx([result] * 3)


def test_draws_are_seeded_as_many_as_the_entries_and_costs_lower_them() -> None:
    pairs = {}
    for seed in range(3):
        one = walk(seed)
        places, units = eligible(DEAR, one, 0, 2_000 * M15)
        assert places.max() == 1_999
        pairs[f"P{seed}/EUR"] = Taken(bars=one, count=20, eligible=places, units=units)
    free, dear, again, other = (
        random_entries(strategy, pairs, seed=seed) for strategy, seed in ((FREE, 1), (DEAR, 1), (DEAR, 1), (DEAR, 2))
    )
    assert free is not None and dear is not None and again is not None and other is not None
    assert (dear.entries, len(dear.means)) == (60, comparisons.DRAWS)
    assert dear.means.tolist() == again.means.tolist() != other.means.tolist()
    low, middle, high = dear.interval()
    assert low < middle < high
    assert free.interval()[1] - middle == pytest.approx(0.009, abs=0.0005)
    assert (dear.at_least(-1.0), dear.at_least(1.0)) == (1.0, 0.0)


def test_a_position_that_the_data_leaves_open_is_valued_there_or_not_drawn() -> None:
    still = bars(np.full(300, 100.0))
    late = {"A/EUR": Taken(bars=still, count=4, eligible=np.array([100, 290]), units=np.ones(2))}
    whole, closed = (random_entries(DEAR, late, seed=1, closed_only=only) for only in (False, True))
    assert whole is not None and closed is not None
    assert len(np.unique(whole.means)) > 1  # what is sold at the end pays no slippage, what is closed does
    assert len(np.unique(closed.means)) == 1
    assert random_entries(DEAR, {"A/EUR": Taken(bars=still, count=4, eligible=np.array([290]), units=np.ones(1))}, seed=1,
                          closed_only=True) is None  # fmt: skip


def test_nothing_entered_is_nothing_to_compare() -> None:
    assert random_entries(S1, {}, seed=1) is None
    one = walk(1)
    assert random_entries(S1, {"A/EUR": Taken(bars=one, count=0, eligible=np.arange(5), units=np.ones(5))}, seed=1) is None
