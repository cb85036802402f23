"""The servers of a simulated world: its exchange and its AI, on whatever clock they are given, with the faults of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from trader.bootstrap.paths import API_KEY, API_SECRET, Paths, tag_of
from trader.bootstrap.world import World
from trader.errors import ConfigError
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
from trader.simulation.market import Market

HOST = "127.0.0.1"
DEMO_KEY = ApiKey(key=API_KEY, secret=API_SECRET)
TIER = "pro"  # what our own limiter assumes too
LIMITS = LimitRules(tier=TIER)
SIMULATED = Switches(heartbeat_s=4.0)  # a quiet second costs a jump of the clock; a gap of four stays within our five


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
    return KrakenTwin(
        market, clock, state_dir=paths.twin if paths else None, plan=plan, keys=keys, seed=world.seed,
        tag=tag_of(world.seed), starting_cash=Decimal(world.cash), switches=switches,
        limits=limits, futures_limits=FuturesLimitRules() if limits.tier else UNLIMITED,
    )  # fmt: skip


def gemini_twin(world: World, clock: Clock, plan: FaultPlan, quota: Quota | None = None) -> GeminiTwin:
    """The scripted stand-in for Gemini; `quota`: its rate limits."""
    return GeminiTwin(clock, seed=world.seed, plan=plan, quota=quota)
