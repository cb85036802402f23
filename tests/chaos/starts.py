"""Live starts that must be refused, tried beside the trader that runs: one thing about each is not right."""

from __future__ import annotations

from contextlib import AsyncExitStack

from tests.chaos.keys import GOOD, LAME, WITHDRAWS
from tests.chaos.transport import direct
from tests.chaos.world import World
from trader.bootstrap import preflight, wire
from trader.bootstrap.paths import Paths
from trader.errors import UnsafeError
from trader.simulation.kraken_server.spot.keyring import ApiKey

ACCOUNT = "main"


async def unarmed(world: World, row: str) -> None:
    """With a good key, but nobody armed it; and armed for another account."""
    await _refused(world, row, GOOD, "E-ARM-001", armed="")
    await _refused(world, row, GOOD, "E-ARM-002", armed="another")


async def lame_key(world: World, row: str) -> None:
    await _refused(world, row, LAME, "E-KEY-002")


async def withdrawing_key(world: World, row: str) -> None:
    await _refused(world, row, WITHDRAWS, "E-KEY-003")


async def _refused(world: World, row: str, key: ApiKey, code: str, *, armed: str = ACCOUNT) -> None:
    """Ask as a live start does; anything but a refusal by this check is a breach. Every other check must be in order."""
    paths = Paths(world.paths.root / "live" / code).make()
    if armed:
        paths.arm.write_text(f"{armed}\n")
        paths.arm.chmod(0o600)
    settings = world.settings.model_copy(update={"environment": "live", "account": ACCOUNT})
    async with AsyncExitStack() as stack:
        endpoints = wire.Endpoints.loopback(world.settings)
        exchange, market = wire.adapters(endpoints, world.clock, stack=stack, keys=(key.key, key.secret))
        if world.transport == "direct":
            direct(exchange._rest.transport, world.twin)  # type: ignore[attr-defined]
        try:
            preflight.require(await preflight.checks_of(settings, paths, world.clock, exchange, market))
        except UnsafeError as refusal:
            world.seen.behaviour[row] = str(refusal)[:160]
            if code in str(refusal):
                return
        world.seen.breach("INV-14", f"a live start was not refused by {code}: {world.seen.behaviour.get(row, 'it was let in')}")
