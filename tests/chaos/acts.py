"""What can be done to a trader's process, files, clock, peers and configuration; one coroutine for each row that needs one.

An act leaves everything as it found it, but for its effect on the trader, which is what is judged.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from tests.chaos.clocks import skew, suspend
from tests.chaos.deaths import Killed
from tests.chaos.modes import restrict
from tests.chaos.persons import control, held_pair
from tests.chaos.plan import Tagged
from tests.chaos.starts import lame_key, unarmed, withdrawing_key
from tests.chaos.storage import corrupt, disk_full, history_locked, ledger_locked, old_backup, read_only
from tests.chaos.world import World
from trader.bootstrap.sending import Follower
from trader.config import load
from trader.domain.market import MINUTE
from trader.domain.money import divide
from trader.errors import ConfigError, TraderError
from trader.kraken.stream import SILENCE_S
from trader.simulation.faults import Fault

Act = Callable[[World, str], Awaitable[None]]
FOREIGN_COST = Decimal(50)  # what somebody else on the account spends


# --- the exchange ----------------------------------------------------------------------------------------------------------
async def raise_minimum(world: World, row: str) -> None:
    pair = await held_pair(world)
    world.happened(row, "AddOrder")
    world.twin.inject(Fault(where="pair", action="raise_minimum", arg={"pair": pair, "ordermin": "1000000", "for_s": 600}))
    world.trouble(610, pair)
    await world.clock.sleep(600)


async def foreign(world: World, _row: str) -> None:
    exchange = world.twin.exchange
    pair = next(p for p in world.twin.market.pairs if p not in world.twin.protection_report().positions)
    lot, lowest = exchange.by_symbol[pair].lot, exchange.by_symbol[pair].ordermin
    quantity = max(lowest, divide(FOREIGN_COST, exchange.last(pair), lot))
    arg = {"pair": pair, "side": "buy", "quantity": str(quantity), "after_s": 0}
    world.twin.inject(Fault(where="account", action="foreign_fill", arg=arg))
    await world.clock.sleep(1)


async def freeze_symbol(world: World, row: str) -> None:
    pair = await held_pair(world)
    world.faults.add(Tagged(where="ohlc", action="gap", match={"pair": pair}, nth=tuple(range(1, 61)), row=row))


async def refuse_token(world: World, row: str) -> None:
    world.faults.add(Tagged(where="GetWebSocketsToken", action="expire_token", nth=(1,), row=row))
    world.faults.add(
        Tagged(where="subscribe", action="error", arg="ESession:Invalid session", match={"channel": "executions"}, nth=(2,), row=row)
    )
    world.twin.hub.disconnect(private_only=True)


async def delist(world: World, row: str) -> None:
    pair = await held_pair(world)
    async with world.pair_states:
        world.happened(row, "AddOrder")
        world.twin.inject(Fault(where="pair", action="delist", arg={"pair": pair, "for_s": 600}))
        world.trouble(620, pair)
        await world.clock.sleep(610)


A_BEAT_S = 100.0
WITHHOLDING = {"W2": A_BEAT_S, "W3": A_BEAT_S, "W4": SILENCE_S}  # rows of the private stream: how long a frame may be kept back


async def dead_man(world: World, row: str) -> None:
    await held_pair(world)
    world.twin.exchange.arm(1, world.clock.now_us())
    world.happened(row, "AddOrder")
    unseen_s = [float(fault.arg) for one in world.plan.injections for fault in one.faults if fault.action == "ack_lag"]
    frames = (one.row for one in world.plan.injections if any(fault.where == "executions" for fault in one.faults))
    if withheld := [*unseen_s, *(WITHHOLDING[row] for row in frames if row in WITHHOLDING)]:
        # A frame that is kept back says nothing of a stop's end: the next beat, or connection, does; of an entry that the exchange does
        # not show yet nobody knows that it has a stop to lose.
        world.trouble(max(withheld))
    await world.clock.sleep(2)


# --- neighbours -------------------------------------------------------------------------------------------------------------
async def slack_down(world: World, _row: str) -> None:
    """The outbox follows the ledger and grows, as nobody takes anything out of it."""
    follower = Follower(world.paths, "demo")
    try:
        for _ in range(60):
            follower.step()
            await world.clock.sleep(10)
    finally:
        follower.close()


async def prefect_down(world: World, _row: str) -> None:
    world.slow_stages_until_us = world.clock.now_us() + 20 * MINUTE
    await world.clock.sleep(20 * 60)


async def run_again(world: World, _row: str) -> None:
    world.end()
    await world.clock.sleep(30)


async def second_trader(world: World, row: str) -> None:
    while not world.alive:
        await world.clock.sleep(1)
    try:
        async with world.life("intruder") as session:
            await session.run()
    except TraderError as error:
        world.seen.behaviour[row] = f"refused: {error}"[:120]
        return
    world.seen.breach("INV-9", "a second trader ran beside the first")


async def kill_switch(world: World, row: str) -> None:
    """Stopped by a person between the intent of an entry and its send; resumed ten minutes later."""
    hit = asyncio.Event()

    def stop() -> None:
        world.happened(row, "AddOrder")
        control(world, "stop", reason="kill switch")
        hit.set()

    world.reaper.listeners.setdefault("after_intent", []).append(stop)
    await hit.wait()
    await world.clock.sleep(600)
    control(world, "resume")


# --- configuration ----------------------------------------------------------------------------------------------------------
BAD: tuple[Mapping[str, Any], ...] = (
    {"exits.plam": "ratchet"},
    {"halts.daily_loss_fraction": 5},
    {"market.paris": 3},
    {"exits.plan": "hope"},
)


async def bad_config(world: World, row: str) -> None:
    """The session ends and is to start again with settings that cannot be meant."""
    for changes in BAD:
        try:
            load(dict(changes), environ={})
        except ConfigError:
            continue
        world.seen.breach("INV-14", f"settings were accepted: {changes}")
    world.seen.behaviour[row] = f"{len(BAD)} refused"
    world.end()


async def new_config(world: World, _row: str) -> None:
    """Another exit plan at the next start; what is held keeps the plan it was bought with."""
    if world.session is None:
        return
    plans = {p.position_id: p.plan for p in world.session.w.ledger.positions()}
    other = "ratchet" if world.settings.exits.plan != "ratchet" else "targets"
    world.settings = world.settings.model_copy(update={"exits": world.settings.exits.model_copy(update={"plan": other})})
    world.end()
    await world.clock.sleep(60)
    while world.session is None:
        await world.clock.sleep(5)
    for position in world.session.w.ledger.positions(open_only=False):
        if position.position_id in plans and position.plan != plans[position.position_id]:
            world.seen.breach("INV-6", f"{position.pair}: an open position changed its plan with the configuration")


# --- towards kill points ------------------------------------------------------------------------------------------------------
async def in_parts(world: World, _row: str) -> None:
    """From now on the market fills an order in two trades."""
    world.twin.exchange.fills = replace(world.twin.exchange.fills, trades=2)


async def touch_stop(world: World, _row: str) -> None:
    """The market takes out the oldest resting stop of a trader that lives."""
    await world.clock.sleep(120)
    while not (world.alive and (stops := [o for o in world.twin.exchange.open_orders() if o.ordertype == "stop-loss"])):
        await world.clock.sleep(5)
    world.reaper.reach("stop_touched")
    world.twin.exchange.fill_now(stops[0], world.clock.now_us())
    await world.twin.hub.flush()


async def kill_switch_set(world: World, _row: str) -> None:
    """Stopped by a person, and dead before anybody has read it; resumed by hand afterwards. Twice."""
    for _ in range(2):
        await world.clock.sleep(120)
        control(world, "stop", reason="kill switch")
        with contextlib.suppress(Killed):
            world.reaper.reach("kill_switch_set")
        await world.clock.sleep(300)
        control(world, "resume")


async def ending(world: World, _row: str) -> None:
    """The session is asked to end, twice where it comes back."""
    for _ in range(2):
        await world.clock.sleep(300)
        if world.session is not None and not world.dying:
            world.reaper.reach("ending")
            world.end()


# acts that tell when their fault has happened, which is not when they begin
TELLING = frozenset({
    "raise_minimum", "freeze_symbol", "refuse_token", "delist", "dead_man", "disk_full", "read_only", "ledger_locked", "old_backup",
    "kill_switch",
})  # fmt: skip
ACTS: Mapping[str, Act] = {
    act.__name__: act
    for act in (
        raise_minimum, restrict, foreign, freeze_symbol, refuse_token, delist, dead_man, skew, suspend, disk_full, read_only,
        ledger_locked, history_locked, corrupt, old_backup, slack_down, prefect_down, run_again, second_trader, kill_switch,
        bad_config, new_config, in_parts, touch_stop, kill_switch_set, ending,
        unarmed, lame_key, withdrawing_key,
    )
}  # fmt: skip
