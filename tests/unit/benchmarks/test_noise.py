"""The noise harness: its worlds are what they say, its bounds are exact, and a planted edge is there to be found."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import noise
from benchmarks.worlds import GENERATORS, HOLD, candles_of, generators, planted
from trader.strategy.columns import Bars

PLANTED = next(one for one in noise.SIX if one.name == noise.PLANTED)


@pytest.mark.parametrize(
    ("hits", "of", "upper", "expected"),
    [(0, 200, True, 0.01487), (0, 60, True, 0.0487), (5, 200, True, 0.05183), (3, 10, False, 0.08726),
     (9, 9, True, 1.0), (0, 9, False, 0.0)],
)  # fmt: skip
def test_bounds_are_those_of_clopper_and_pearson(hits: int, of: int, upper: bool, expected: float):
    """R: binom.test(hits, of, alternative = "less" or "greater")$conf.int."""
    assert noise.bound(hits, of, upper=upper) == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("name", generators())
def test_a_world_is_sound_candles_without_drift_and_its_seed_makes_it(name: str):
    shapes = [GENERATORS[name](np.random.default_rng(3), 6, 2_000) for _ in range(2)]
    assert np.array_equal(shapes[0].close, shapes[1].close)
    for columns in candles_of(shapes[0]).values():
        assert (columns.low <= np.minimum(columns.open, columns.close)).all() and (columns.low > 0).all()
        assert (columns.high >= np.maximum(columns.open, columns.close)).all()
        assert (columns.volume >= 0).all() and len(columns) == 2_000
    returns = shapes[0].close
    assert np.abs(returns.mean(axis=1)).max() < 5 * returns.std() / np.sqrt(returns.shape[1])


def test_a_planted_drift_lies_after_the_signals_and_nowhere_else():
    shape = GENERATORS["garch"](np.random.default_rng(3), 5, 6_000)
    moved = planted(shape, PLANTED, 0.001)
    lifted = moved.close - shape.close > 0
    assert set(np.round(np.unique(moved.close - shape.close), 9)) == {0.0, 0.001}
    assert 0.001 < lifted.mean() < 0.2
    for k, columns in enumerate(candles_of(moved).values()):
        signals = PLANTED.entries(Bars(columns, warmup="short")).rows
        near = sum(lifted[k, at + 1 : at + 1 + HOLD].all() for at in signals)
        assert near >= 0.6 * len(signals)  # a drift moves later signals; three rounds settle most of them


def test_worlds_are_judged_and_figures_told(capsys: pytest.CaptureFixture[str]):
    found = noise.run([noise.World(seed=1, number=k, days=56, pairs=6) for k in range(2)], jobs=1)
    assert noise.tell_noise(found) == []
    rows = {row["name"]: row["value"] for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert rows["noise.worlds"] == 2 and rows["noise.false_switch"] == 0 and rows["noise.undecided"] == 0
    assert rows["noise.trades.mitraillette"] > 10


def test_two_hundred_worlds_with_a_tenth_of_them_wrong_are_a_miss(capsys: pytest.CaptureFixture[str]):
    right = noise.Judged(
        generator="garch", switched_to="", without={"profit": "x"}, alone={}, best_in_train="x", as_written="", undecided="",
        trades={}, sharpe=0.0, gain_a_trade=0.0, cpu_s=1.0,
    )  # fmt: skip
    assert not noise.tell_noise([right] * 200)
    for broken in (replace(right, switched_to="x"), replace(right, undecided="NOT_ENOUGH_DATA")):
        assert noise.tell_noise([right] * 180 + [broken] * 20)
    capsys.readouterr()


@pytest.mark.parametrize("arguments", [["--days", "20"], ["--pairs", "4"], ["--edge", "2"], ["--worlds", "0"], ["--quick", "--table"]])
def test_what_cannot_be_asked_is_refused(arguments: list[str]):
    with pytest.raises(SystemExit) as refused:
        noise.main(arguments)
    assert refused.value.code == 2
