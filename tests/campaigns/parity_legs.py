"""What the parity campaign compares: candles, dates, warm-up, profile and account of each leg, in two editions."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.campaigns import generated
from trader.domain.market import DAY
from trader.domain.messages import stamp
from trader.strategy.modes import STRATEGIES

OHLCV = Path(os.environ.get("TRADER_SHARED_DATA", Path(__file__).parents[2] / "../shared/data")) / "ohlcv"
BREADTH, CORE = OHLCV / "dev_binance_2024_5m_breadth136.parquet", OHLCV / "dev_binance_2024_5m_core24.parquet"
ALL = tuple(f"{mode}/{variation}" for mode, variation in STRATEGIES)
NO_HALTS = {"halts.stops": 9_999, "halts.daily_loss_fraction": 1.0, "halts.drawdown_fraction": 1.0}
SEED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A file of generated candles: `days` long, of which those from `lively` on are traded."""

    pairs: int
    days: int
    lively: int

    @property
    def start(self) -> str:
        """The first traded moment: a day after the markets come to life."""
        return stamp(generated.START_US + (self.lively + 1) * DAY)


LONG = Made(pairs=25, days=504, lively=488)  # 488 days: what the seed's 4h EMA of 233 takes to warm up exactly
BRIEF = Made(pairs=9, days=140, lively=134)  # for the profile viable, whose 4h EMA is of 55


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One set of candles and one account. `data`: a recorded file, or what to generate; `short`: the warm-up of three periods."""

    name: str
    data: Path | Made
    start: str
    days: float
    short: bool = False
    strategies: tuple[str, ...] = ALL
    settings: Mapping[str, Any] = field(default_factory=dict)

    def file(self, folder: Path) -> Path:
        """Its candles, written to `folder` where they are generated. Raises FileNotFoundError for recorded ones that are absent."""
        if isinstance(self.data, Path):
            if not self.data.exists():
                raise FileNotFoundError(f"{self.data}: no recorded candles there; set TRADER_SHARED_DATA")
            return self.data
        path = folder / f"generated-{self.data.pairs}-{self.data.days}.parquet"
        if not path.exists():
            generated.write(path, pairs=self.data.pairs, days=self.data.days, seed=SEED, lively_from=self.data.lively)
        return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Least:
    """Counts below which an edition proves nothing. A strategy with fewer than `strategy` trades is named as silent."""

    trades: int
    strategy: int
    reason: int
    contested: int
    reasons: tuple[str, ...] = ("STOP_LOSS", "TP1", "TP2", "RATCHET", "STAGNATION", "MAX_HOLD", "DUST_ESCAPE")


_SLOW = {"beat.base_s": 1_200}  # nothing that a beat does changes a trade with the AI off
_POOR = {"market.starting_cash_quote": 10.2}  # stakes a little above the smallest order
REPLAY_FULL = (
    Leg(name="breadth136", data=BREADTH, start="2024-08-29", days=8, short=True, settings=NO_HALTS | _SLOW),
    Leg(name="core24", data=CORE, start="2024-08-25", days=6, settings=_SLOW),
    Leg(name="generated seed", data=LONG, start=LONG.start, days=12, settings={"profile": "seed"} | NO_HALTS | _SLOW),
    Leg(name="generated viable", data=LONG, start=LONG.start, days=12, settings=NO_HALTS | _SLOW),
    Leg(
        name="generated poor", data=LONG, start=LONG.start, days=12, strategies=("mitraillette/AGGRESSIVE",),
        settings=NO_HALTS | _SLOW | _POOR,
    ),
)  # fmt: skip
REPLAY_SMALL = (
    Leg(
        name="generated viable", data=BRIEF, start=BRIEF.start, days=4, strategies=("mitraillette/AGGRESSIVE",),
        settings=NO_HALTS | _SLOW,
    ),
)  # fmt: skip
DEMO_FULL = (Leg(name="core24", data=CORE, start="2024-08-25", days=3),)
DEMO_SMALL = (Leg(name="core24", data=CORE, start="2024-08-27T10:00:00Z", days=0.5, strategies=("mitraillette/AGGRESSIVE",)),)
EDITIONS = {
    ("replay", "full"): (REPLAY_FULL, Least(trades=1_000, strategy=10, reason=5, contested=20)),
    ("replay", "small"): (
        REPLAY_SMALL, Least(trades=8, strategy=1, reason=1, contested=1, reasons=("STOP_LOSS", "TP1", "TP2", "STAGNATION")),
    ),
    ("demo", "full"): (DEMO_FULL, Least(trades=50, strategy=1, reason=0, contested=0, reasons=())),
    ("demo", "small"): (DEMO_SMALL, Least(trades=3, strategy=1, reason=0, contested=0, reasons=())),
}  # fmt: skip
