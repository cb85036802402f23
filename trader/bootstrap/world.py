"""The simulated world of a demo: what it is called, where its time begins, and its market."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from trader.config import Settings
from trader.domain.market import Timeframe
from trader.errors import ConfigError, CorruptError
from trader.simulation.market import Market, SyntheticMarket
from trader.simulation.replay import ReplayMarket


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a session must know of a market: its finest candles and its quote currency."""

    base: Timeframe
    quote: str


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What makes one demo market; equal values give equal prices for ever."""

    seed: int
    pairs: int
    epoch_us: int
    cash: str
    replay: str | None = None

    def market(self) -> Market:
        if self.replay is not None:
            return ReplayMarket(Path(self.replay), start_us=self.epoch_us, seed=self.seed)
        return SyntheticMarket(self.seed, count=self.pairs)

    def shape(self) -> Shape:
        """Base timeframe and quote, without building the market."""
        if self.replay is None:
            return Shape(base=Timeframe.M1, quote="EUR")
        market = self.market()
        return Shape(base=market.base, quote=market.quote)

    def save(self, path: Path) -> None:
        if not path.exists():
            path.write_text(json.dumps(asdict(self)) + "\n")
            path.chmod(0o600)

    @classmethod
    def load(cls, path: Path) -> World:
        """Raises CorruptError when the file is not what `save` wrote."""
        try:
            return cls(**json.loads(path.read_text()))
        except (json.JSONDecodeError, TypeError) as error:
            raise CorruptError(f"{path}: not a saved demo world ({error})") from error


def moment(text: str, option: str = "") -> int:
    """UTC microseconds of `2024-07-15` or `2024-07-15T06:00:00Z`; raises ConfigError, which names the option, otherwise."""
    try:
        parsed = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise ConfigError(f"{option} {text!r} is not a date or time; write 2024-07-15 or 2024-07-15T06:00:00Z".lstrip()) from error
    parsed = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return int(parsed.timestamp()) * 1_000_000


def world_of(settings: Settings, *, replay: Path | None = None, start: str | None = None) -> World:
    """The world these settings describe; a replay needs the moment it starts at."""
    if replay is not None and start is None:
        raise ConfigError("--replay needs --from: the first simulated moment, e.g. --from 2024-07-15")
    epoch_us = moment(start, "--from") if start else moment(settings.market.epoch)
    return World(
        seed=settings.market.seed, pairs=settings.market.pairs, epoch_us=epoch_us,
        cash=f"{settings.market.starting_cash_quote:.2f}", replay=str(replay.resolve()) if replay else None,
    )  # fmt: skip
