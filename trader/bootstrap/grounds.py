"""The three environments as wirings: which clock, which market, whose orders. No rule of trading asks which of them it is in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from trader.bootstrap import preflight, wire
from trader.bootstrap.installation import claim, must_be_demo
from trader.bootstrap.ledger_place import settle
from trader.bootstrap.paths import Paths
from trader.bootstrap.world import World
from trader.config import Settings
from trader.data.lease import AccountLock
from trader.domain.market import Timeframe
from trader.domain.money import from_float
from trader.errors import ConfigError
from trader.ports import Clock, Exchange, MarketData
from trader.simulation.clock import LoopClock, load_clock, wall_clock
from trader.simulation.fills import FillRules
from trader.simulation.paper import PaperExchange, PaperMarketData, PaperVenue


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a session stands on. `speed`: exchange seconds a second of the machine; `tag`: marks our orders, empty: the world's."""

    clock: Clock
    exchange: Exchange
    market: MarketData
    base: Timeframe
    quote: str
    seed: int = 0
    speed: float = 1.0
    tag: str = ""


Stand = Callable[[Settings, Paths, AsyncExitStack, Clock | None], Awaitable[Ground]]


def demo_clock(paths: Paths) -> LoopClock:
    """The clock that the supervisor's processes share; raises ConfigError when nobody has started it."""
    try:
        return load_clock(paths.clock)
    except FileNotFoundError as error:
        raise ConfigError(f"{paths.clock}: no demo is running here; start it with `trader up --env demo`") from error


def clock_of(settings: Settings, paths: Paths) -> Clock:
    """Exchange time: the running demo's, or the machine's own."""
    return demo_clock(paths) if settings.environment == "demo" else wall_clock()


async def _demo(settings: Settings, paths: Paths, stack: AsyncExitStack, _clock: Clock | None) -> Ground:
    """The twins of a running `trader up`."""
    must_be_demo(paths)
    clock, world = demo_clock(paths), World.load(paths.world)
    shape = world.shape()
    exchange, market = wire.adapters(wire.Endpoints.loopback(settings), clock, stack=stack, key_dir=paths.root)
    return Ground(
        clock=clock, exchange=exchange, market=market, base=shape.base, quote=shape.quote, seed=world.seed, speed=clock.speed
    )  # fmt: skip


async def _paper(settings: Settings, paths: Paths, stack: AsyncExitStack, given: Clock | None) -> Ground:
    """Public data of the real market, orders to our own engine: no key is read, and no private call exists to be made."""
    here, clock = claim(settings, paths), given or wall_clock()
    settle(settings, paths)
    real = wire.public_market(wire.Endpoints.chosen(settings), clock, stack=stack)
    venue = PaperVenue(
        await real.instruments(), clock, quote=settings.quote, cash=from_float(settings.market.starting_cash_quote), tag=here.tag,
        state_dir=paths.twin, fills=FillRules(slippage=from_float(settings.costs.slippage_fraction)),
    )  # fmt: skip
    stack.callback(venue.close)
    market = PaperMarketData(real, venue)
    return Ground(
        clock=clock, exchange=PaperExchange(venue, market), market=market, base=Timeframe.M1, quote=settings.quote, tag=here.tag
    )  # fmt: skip


async def _live(settings: Settings, paths: Paths, stack: AsyncExitStack, given: Clock | None) -> Ground:
    """Real orders, after both opt-ins and every check. Raises UnsafeError naming each that fails, LeaseLostError beside another."""
    keys, clock = preflight.keys_of(settings), given or wall_clock()
    if keys is None:
        preflight.require(preflight.without_key(settings, paths))
        raise AssertionError("unreachable: no key is refused")
    lock = AccountLock(paths.keys, preflight.key_name(keys))
    lock.acquire()
    stack.callback(lock.release)
    exchange, market = wire.adapters(
        wire.Endpoints.chosen(settings), clock, stack=stack, keys=keys, key_dir=paths.keys, tier=settings.kraken.tier
    )
    preflight.require(await preflight.checks_of(settings, paths, clock, exchange, market))
    here = claim(settings, paths)
    settle(settings, paths)
    return Ground(clock=clock, exchange=exchange, market=market, base=Timeframe.M1, quote=settings.quote, tag=here.tag)


GROUNDS: Mapping[str, Stand] = {"demo": _demo, "paper": _paper, "live": _live}


async def stand(settings: Settings, paths: Paths, stack: AsyncExitStack, clock: Clock | None = None) -> Ground:
    """The ground of the environment; `clock` replaces the machine's in paper and live (tests step it)."""
    return await GROUNDS[settings.environment](settings, paths, stack, clock)
