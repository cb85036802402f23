"""What a person does while the trader runs: closes positions, clears halts, gives orders as the command line gives them."""

from __future__ import annotations

from tests.chaos.world import World
from trader.data.ledger_control import submit_control
from trader.domain.account import PositionState
from trader.domain.halts import AUTH, MISMATCH
from trader.domain.market import SECOND
from trader.errors import TraderError
from trader.execution.session import Session


async def held_pair(world: World) -> str:
    """A pair with an open position; waits for one."""
    while not (held := sorted(pair for pair, size in world.twin.protection_report().positions.items() if size > 0)):
        await world.clock.sleep(5.0)
    return held[0]


def control(world: World, verb: str, argument: str = "", reason: str = "", key: str = "") -> None:
    """A person's order, given as the command line gives it; lost where the ledger is not to be had."""
    now = world.clock.now_us()
    try:
        submit_control(world.paths.ledger, verb, argument, "chaos", now, reason=reason, key=f"{verb}{key}{now}")
    except TraderError as error:
        world.seen.behaviour[f"control {verb}"] = str(error)


async def persons(world: World) -> None:
    """A person closes the oldest position now and then: exits happen while faults do."""
    while True:
        await world.clock.sleep(world.plan.exit_us / SECOND)
        session = world.session
        if session is None or world.dying:
            continue
        for cause in sorted(halt.cause for halt in session.w.ledger.halts() if halt.cause.startswith((AUTH, MISMATCH))):
            control(world, "resume", f"{cause}: it was looked at", key=cause)
        close_oldest(world, session)


def close_oldest(world: World, session: Session) -> None:
    """A person closes the position that is held the longest."""
    open_ones = [p for p in session.w.ledger.positions() if p.state is PositionState.OPEN]
    if open_ones:
        control(world, "exit", open_ones[0].position_id)
