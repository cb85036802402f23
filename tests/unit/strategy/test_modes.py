"""The parameter table is the specification's, number by number."""

from __future__ import annotations

import pytest

from trader.strategy.modes import STRATEGIES, TABLE, Parameters, entry_band, lookback_4h, lookback_15m, parameters

# SPEC section 2, as printed: M-C, M-D, M-A, S-C, S-D, S-A
SEED = {
    "rsi_period": (13, 21, 13, 34, 34, 21),
    "rsi_oversold": (21, 34, 42.36, 8, 13, 23.6),
    "rsi_overbought": (55, 61.8, 76.4, 61.8, 76.4, 85.4),
    "composite_limit": (34, 42.36, 50, 0, 0, 0),
    "min_score": (76.4, 61.8, 55.0, 88.6, 85.4, 76.4),
    "base_score": (76.4, 61.8, 55.0, 88.6, 85.4, 76.4),
    "stop_loss": (0.01, 0.01618, 0.02618, 0.01618, 0.02618, 0.04236),
    "tp1": (0.00618, 0.01, 0.01618, 0.01618, 0.02618, 0.04236),
    "tp2": (0.01, 0.01618, 0.02618, 0.02618, 0.04236, 0.06854),
    "trend_ema": (144, 89, 55, 233, 144, 89),
    "h4_ema": (144, 89, 55, 233, 144, 89),
    "max_positions": (21, 34, 55, 5, 8, 13),
    "min_trade": (1.618, 2.618, 4.236, 4.236, 8, 13),
    "max_trade": (8, 13, 21, 13, 21, 34),
    "max_new_per_bar": (3, 5, 8, 1, 1, 2),
    "max_spread": (0.013,) * 6,
    "stagnation_bars": (279,) * 6,
    "max_hold_bars": (0,) * 6,
    "cooldown_bars": (1,) * 6,
    "cooldown_stop_bars": (1,) * 6,
    "daily_loss": (0.089,) * 6,
    "drawdown": (0.21,) * 6,
    "exit_plan": ("ratchet",) * 6,
    "universe": (144, 144, 144, 10, 10, 10),
}
VIABLE = {
    "rsi_period": (13, 21, 13, 21, 21, 21),
    "rsi_oversold": (21, 34, 34, 30, 34, 38.2),
    "rsi_overbought": (79, 66, 66, 70, 66, 61.8),
    "composite_limit": (34, 42.36, 42.36, 0, 0, 0),
    "base_score": (50,) * 6,
    "min_score": (65, 61.8, 58, 68, 65, 61.8),
    "k1": (5, 5, 8, 8, 8, 13),
    "max_hold_bars": (96, 96, 96, 288, 288, 288),
    "stagnation_bars": (55, 55, 55, 164, 164, 164),
    "risk_per_trade": (0.000618, 0.001, 0.001618, 0.00382, 0.00618, 0.01),
    "max_stake": (0.021, 0.034, 0.055, 0.08, 0.13, 0.21),
    "max_positions": (21, 34, 55, 5, 8, 13),
    "max_new_per_bar": (3, 5, 8, 1, 1, 2),
    "max_spread": (0.0030, 0.0030, 0.0050, 0.0015, 0.0015, 0.0020),
    "h4_ema": (55,) * 6,
    "trend_ema": (0,) * 6,
    "cooldown_bars": (4,) * 6,
    "cooldown_stop_bars": (13,) * 6,
    "daily_loss": (0.0382,) * 6,
    "drawdown": (0.13,) * 6,
    "exit_plan": ("hybrid",) * 6,
    "universe": (144, 144, 144, 10, 10, 10),
}


@pytest.mark.parametrize(("profile", "table"), [("seed", SEED), ("viable", VIABLE)])
def test_every_number_of_the_table(profile: str, table: dict[str, tuple[object, ...]]) -> None:
    checked = 0
    for column, (mode, variation) in enumerate(STRATEGIES):
        made = parameters(profile, mode, variation)
        for name, row in table.items():
            assert getattr(made, name) == row[column], (made.strategy, name)
            checked += 1
    assert checked == 6 * len(table)


def test_types_are_what_they_say() -> None:
    for made in TABLE.values():
        for name, kind in Parameters.__annotations__.items():
            assert type(getattr(made, name)).__name__ == kind, (made.strategy, name)
    assert len(TABLE) == 12


@pytest.mark.parametrize(
    ("profile", "mode", "variation", "word"),
    [("toy", "sniper", "DEFAULT", "profile"), ("seed", "auto", "DEFAULT", "mode"), ("seed", "sniper", "LOW", "variation")],
)
def test_an_unknown_word_is_refused_by_name(profile: str, mode: str, variation: str, word: str) -> None:
    with pytest.raises(ValueError, match=f"{word} .* is not one of"):
        parameters(profile, mode, variation)


def test_lookbacks() -> None:
    assert [lookback_15m(parameters("viable", m, v)) for m, v in STRATEGIES] == [494, 549, 494, 549, 549, 549]
    assert {lookback_4h(parameters("viable", m, v)) for m, v in STRATEGIES} == {690}
    assert lookback_4h(parameters("seed", "sniper", "CONSERVATIVE")) == 2917


def test_entry_band_has_a_floor() -> None:
    assert entry_band(0.01) == 0.00382 and entry_band(0.001) == 0.001


def test_h4_bearish_is_a_price_only_for_the_seeds_mitraillette() -> None:
    assert [p.strategy for p in TABLE.values() if not p.refuses_h4_bearish] == [
        f"seed/mitraillette/{v}" for v in ("CONSERVATIVE", "DEFAULT", "AGGRESSIVE")
    ]
