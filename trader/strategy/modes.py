"""Modes: mitraillette (scalping) and sniper (selective entries) x three variations x two profiles: one table of frozen
parameters (SPEC section 2), and no second set of defaults.

`viable` is sized so that a target pays three round trips; `seed` keeps the numbers of the description this product implements.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from trader.domain.orders import Side

PROFILES = ("viable", "seed")
MODES = ("mitraillette", "sniper")
VARIATIONS = ("CONSERVATIVE", "DEFAULT", "AGGRESSIVE")
STRATEGIES = tuple((mode, variation) for mode in MODES for variation in VARIATIONS)
"""The six strategies of a profile, in the order of the table."""

COMPOSITE_BAND = 0.1  # of the way from the lower to the upper Bollinger band: mitraillette's composite entry lies below
ENTRY_BAND_ATR, ENTRY_BAND_LEAST = 0.382, 0.001
SEED_FEE_BUFFER = 2 * 0.0026
SEED_RATCHET_BASE = 0.01
SEED_STAGNATION = (0.0, 0.013)  # gains between which the seed calls a position stagnant
LEGS = {"targets": (0.618, 0.382), "hybrid": (0.382, 0.382), "ratchet": (0.0, 0.0)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """One column of the table. RSI levels 0-100; distances, limits and shares are fractions; money in quote; bars are 15m.

    0 means "not in use": `composite_limit` (sniper), `trend_ema`, `k1`, `max_hold_bars`, `risk_per_trade`, `max_stake`,
    `stop_loss`, `tp1`, `tp2`, `min_trade`, `max_trade`, depending on the profile.
    """

    profile: str
    mode: str
    variation: str
    rsi_period: int
    rsi_oversold: float
    rsi_overbought: float
    composite_limit: float
    base_score: float
    min_score: float
    h4_ema: int
    trend_ema: int
    max_positions: int
    max_new_per_bar: int
    universe: int
    exit_plan: str
    stagnation_bars: int
    cooldown_bars: int
    cooldown_stop_bars: int
    max_spread: float
    daily_loss: float
    drawdown: float
    k1: float = 0.0
    max_hold_bars: int = 0
    risk_per_trade: float = 0.0
    max_stake: float = 0.0
    stop_loss: float = 0.0
    tp1: float = 0.0
    tp2: float = 0.0
    min_trade: float = 0.0
    max_trade: float = 0.0

    @property
    def strategy(self) -> str:
        """`profile/mode/VARIATION`, the name every record carries."""
        return f"{self.profile}/{self.mode}/{self.variation}"

    @property
    def seed(self) -> bool:
        return self.profile == "seed"

    @property
    def sniper(self) -> bool:
        return self.mode == "sniper"

    @property
    def refuses_h4_bearish(self) -> bool:
        """All but the seed's mitraillette, which pays 15 points instead."""
        return not self.seed or self.sniper

    @property
    def mirrored(self) -> Parameters:
        """For shorts: the same on the mirrored market, where an RSI is 100 less itself."""
        return replace(self, rsi_oversold=100 - self.rsi_overbought)

    @property
    def halt_stops(self) -> int:
        """Stops in a row that halt entries (`halts.stops` default)."""
        return 8 if self.sniper else 21


_SHARED = {
    "mitraillette": {"universe": 144},
    "sniper": {"universe": 10},
}
_MAX_NEW = {"mitraillette": (3, 5, 8), "sniper": (1, 1, 2)}
_MAX_POSITIONS = {"mitraillette": (21, 34, 55), "sniper": (5, 8, 13)}

_PROFILE: dict[str, dict[str, object]] = {
    "seed": {
        "exit_plan": "ratchet", "stagnation_bars": 279, "cooldown_bars": 1, "cooldown_stop_bars": 1, "max_spread": 0.013,
        "daily_loss": 0.089, "drawdown": 0.21,
    },
    "viable": {
        "exit_plan": "hybrid", "cooldown_bars": 4, "cooldown_stop_bars": 13, "daily_loss": 0.0382, "drawdown": 0.13,
        "h4_ema": 55, "trend_ema": 0, "base_score": 50.0,
    },
}  # fmt: skip

# rows as printed in SPEC section 2, columns C, D, A
_ROWS: dict[tuple[str, str], dict[str, tuple[float, float, float]]] = {
    ("seed", "mitraillette"): {
        "rsi_period": (13, 21, 13), "rsi_oversold": (21, 34, 42.36), "rsi_overbought": (55, 61.8, 76.4),
        "composite_limit": (34, 42.36, 50), "min_score": (76.4, 61.8, 55.0), "base_score": (76.4, 61.8, 55.0),
        "stop_loss": (0.01, 0.01618, 0.02618), "tp1": (0.00618, 0.01, 0.01618), "tp2": (0.01, 0.01618, 0.02618),
        "trend_ema": (144, 89, 55), "h4_ema": (144, 89, 55), "min_trade": (1.618, 2.618, 4.236), "max_trade": (8, 13, 21),
    },
    ("seed", "sniper"): {
        "rsi_period": (34, 34, 21), "rsi_oversold": (8, 13, 23.6), "rsi_overbought": (61.8, 76.4, 85.4),
        "composite_limit": (0, 0, 0), "min_score": (88.6, 85.4, 76.4), "base_score": (88.6, 85.4, 76.4),
        "stop_loss": (0.01618, 0.02618, 0.04236), "tp1": (0.01618, 0.02618, 0.04236), "tp2": (0.02618, 0.04236, 0.06854),
        "trend_ema": (233, 144, 89), "h4_ema": (233, 144, 89), "min_trade": (4.236, 8, 13), "max_trade": (13, 21, 34),
    },
    ("viable", "mitraillette"): {
        "rsi_period": (13, 21, 13), "rsi_oversold": (21, 34, 34), "rsi_overbought": (79, 66, 66),
        "composite_limit": (34, 42.36, 42.36), "min_score": (65, 61.8, 58), "k1": (5, 5, 8), "max_hold_bars": (96, 96, 96),
        "stagnation_bars": (55, 55, 55), "risk_per_trade": (0.000618, 0.001, 0.001618), "max_stake": (0.021, 0.034, 0.055),
        "max_spread": (0.0030, 0.0030, 0.0050),
    },
    ("viable", "sniper"): {
        "rsi_period": (21, 21, 21), "rsi_oversold": (30, 34, 38.2), "rsi_overbought": (70, 66, 61.8),
        "composite_limit": (0, 0, 0), "min_score": (68, 65, 61.8), "k1": (8, 8, 13), "max_hold_bars": (288, 288, 288),
        "stagnation_bars": (164, 164, 164), "risk_per_trade": (0.00382, 0.00618, 0.01), "max_stake": (0.08, 0.13, 0.21),
        "max_spread": (0.0015, 0.0015, 0.0020),
    },
}  # fmt: skip


def _build(profile: str, mode: str, column: int) -> Parameters:
    values: dict[str, object] = dict(_PROFILE[profile])
    values |= {name: row[column] for name, row in _ROWS[profile, mode].items()}
    values |= _SHARED[mode] | {"max_new_per_bar": _MAX_NEW[mode][column], "max_positions": _MAX_POSITIONS[mode][column]}
    kinds = Parameters.__annotations__
    typed = {name: float(str(value)) if kinds[name] == "float" else value for name, value in values.items()}
    return Parameters(profile=profile, mode=mode, variation=VARIATIONS[column], **typed)  # type: ignore[arg-type]


TABLE: dict[tuple[str, str, str], Parameters] = {
    (profile, mode, variation): _build(profile, mode, column)
    for profile in PROFILES
    for mode in MODES
    for column, variation in enumerate(VARIATIONS)
}


def parameters(profile: str, mode: str, variation: str) -> Parameters:
    """The column of the table; raises ValueError naming the word that is not known."""
    for name, word, known in (("profile", profile, PROFILES), ("mode", mode, MODES), ("variation", variation, VARIATIONS)):
        if word not in known:
            raise ValueError(f"{name} {word!r} is not one of {', '.join(known)}")
    return TABLE[profile, mode, variation]


@lru_cache
def reach_beside(parameters: Parameters, side: Side) -> tuple[float, float]:
    """(oversold, composite) levels of the RSI that no trigger of these or of any strategy of their profile and RSI period lies above:
    bars beyond are of no use to any of them, so that they can share what they make of the others."""
    alike = [p for p in TABLE.values() if (p.profile, p.rsi_period) == (parameters.profile, parameters.rsi_period)]
    sided = [p if side is Side.BUY else p.mirrored for p in (parameters, *alike)]
    return max(p.rsi_oversold for p in sided), max(0.0 if p.sniper else p.composite_limit for p in sided)


def entry_band(atr_fraction: float) -> float:
    """How far above the decision's close an entry may fill: 0.382 ATR / close, at least 0.001."""
    return max(ENTRY_BAND_ATR * atr_fraction, ENTRY_BAND_LEAST)


def lookback_15m(strategy: Parameters, *, short: bool = False) -> int:
    """15m candles a pair needs before it can be judged; `short`: three periods, in research and replay only."""
    from trader.indicators import technical  # lazy: it imports TA-Lib, and the web reads this table

    return technical.lookback_15m(strategy.rsi_period, strategy.trend_ema, short=short)


def lookback_4h(strategy: Parameters, *, short: bool = False) -> int:
    """4h candles a pair needs before it can be judged; `short` as in `lookback_15m`."""
    from trader.indicators import technical

    return technical.lookback_4h(strategy.h4_ema, short=short)
