"""The simulated world of a demo: its market, its exchange and AI twins, on whatever clock it is given."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from trader.bootstrap.paths import API_KEY, API_SECRET, Paths, tag_of
from trader.config import Settings
from trader.domain.market import Timeframe
from trader.errors import ConfigError, CorruptError
from trader.ports import Clock
from trader.simulation.faults import FaultPlan, parse_fault, plan_tables
from trader.simulation.gemini_faults import GEMINI_ACTIONS
from trader.simulation.gemini_faults import PLACES as GEMINI_PLACES
from trader.simulation.gemini_limits import Quota
from trader.simulation.gemini_server import GeminiTwin
from trader.simulation.kraken_server.app import KrakenTwin
from trader.simulation.kraken_server.futures.limits import UNLIMITED, FuturesLimitRules
from trader.simulation.kraken_server.spot.keyring import ApiKey
from trader.simulation.kraken_server.spot.limits import LimitRules
from trader.simulation.kraken_server.switches import Switches
from trader.simulation.market import Market, SyntheticMarket
from trader.simulation.replay import ReplayMarket

HOST = "127.0.0.1"
DEMO_KEY = ApiKey(key=API_KEY, secret=API_SECRET)
TIER = "pro"  # what our own limiter assumes too
LIMITS = LimitRules(tier=TIER)
SIMULATED = Switches(heartbeat_s=2.0)  # a quiet second costs a jump of the clock there; our watchdog allows five of silence


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


def moment(text: str) -> int:
    """UTC microseconds of `2024-07-15` or `2024-07-15T06:00:00Z`; raises ConfigError otherwise."""
    try:
        parsed = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise ConfigError(f"{text!r} is not a date or time; write 2024-07-15 or 2024-07-15T06:00:00Z") from error
    parsed = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return int(parsed.timestamp()) * 1_000_000


def world_of(settings: Settings, *, replay: Path | None = None, start: str | None = None) -> World:
    """The world these settings describe; a replay needs the moment it starts at."""
    if replay is not None and start is None:
        raise ConfigError("--replay needs --from: the first simulated moment, e.g. --from 2024-07-15")
    return World(
        seed=settings.market.seed, pairs=settings.market.pairs, epoch_us=moment(start or settings.market.epoch),
        cash=f"{settings.market.starting_cash_quote:.2f}", replay=str(replay.resolve()) if replay else None,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """One fault plan file, split by the twin it is for."""

    kraken: FaultPlan
    gemini: FaultPlan


def read_plans(file: Path | None, seed: int) -> Plans:
    """The faults of a plan; those at `where = "decisions"` and "generate" are Gemini's. Raises ConfigError naming file and fault."""
    kraken, gemini = [], []
    try:
        for number, row in enumerate(plan_tables(file.read_text(encoding="utf-8")) if file else [], start=1):
            if row.get("where") in GEMINI_PLACES:
                gemini.append(parse_fault(row, number, GEMINI_ACTIONS))
            else:
                kraken.append(parse_fault(row, number))
    except OSError as error:
        raise ConfigError(f"fault plan {file}: {error.strerror}") from error
    except (ConfigError, UnicodeDecodeError) as error:
        raise ConfigError(f"fault plan {file}: {error}") from error
    return Plans(kraken=FaultPlan(kraken, seed=seed), gemini=FaultPlan(gemini, seed=seed))


def kraken_twin(
    world: World, market: Market, clock: Clock, *, paths: Paths | None, plan: FaultPlan, keys: Sequence[ApiKey] = (DEMO_KEY,),
    limits: LimitRules = LIMITS, switches: Switches = SIMULATED,
) -> KrakenTwin:  # fmt: skip
    """The exchange of a world; with `paths` it keeps its books there and reopens them."""
    from decimal import Decimal

    return KrakenTwin(
        market, clock, state_dir=paths.twin if paths else None, plan=plan, keys=keys, seed=world.seed,
        tag=tag_of(world.seed), starting_cash=Decimal(world.cash), switches=switches,
        limits=limits, futures_limits=FuturesLimitRules() if limits.tier else UNLIMITED,
    )  # fmt: skip


def gemini_twin(world: World, clock: Clock, plan: FaultPlan, quota: Quota | None = None) -> GeminiTwin:
    """The scripted stand-in for Gemini; `quota`: its rate limits."""
    return GeminiTwin(clock, seed=world.seed, plan=plan, quota=quota)
