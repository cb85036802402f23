"""What can be done to a trader's process, files, clock, peers and configuration; one coroutine for each row that needs one.

An act leaves everything as it found it, but for its effect on the trader, which is what is judged.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.chaos.deaths import Killed
from tests.chaos.plan import Tagged
from tests.chaos.starts import lame_key, unarmed, withdrawing_key
from tests.chaos.world import World
from trader.bootstrap.sending import Follower
from trader.config import load
from trader.data.ledger_control import submit_control
from trader.domain.account import PositionState
from trader.domain.halts import AUTH, MISMATCH
from trader.domain.market import MINUTE, SECOND
from trader.domain.money import divide
from trader.errors import ConfigError, TraderError
from trader.simulation.exchange_orders import unit_hash
from trader.simulation.faults import Fault

Act = Callable[[World, str], Awaitable[None]]
HOUR_US = 60 * MINUTE
FOREIGN_COST = Decimal(50)  # what somebody else on the account spends


# --- what is held --------------------------------------------------------------------------------------------------------
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
        open_ones = [p for p in session.w.ledger.positions() if p.state is PositionState.OPEN]
        if open_ones:
            control(world, "exit", open_ones[0].position_id)


# --- the exchange ----------------------------------------------------------------------------------------------------------
async def raise_minimum(world: World, row: str) -> None:
    pair = await held_pair(world)
    world.happened(row, "AddOrder")
    world.twin.inject(Fault(where="pair", action="raise_minimum", arg={"pair": pair, "ordermin": "1000000", "for_s": 600}))
    world.trouble(610)
    await world.clock.sleep(600)


async def restrict(world: World, row: str) -> None:
    mode = ("maintenance", "cancel_only", "post_only")[int(unit_hash(world.plan.seed, "mode") * 3)]
    world.twin.inject(Fault(where="system", action=mode, arg={"for_s": 240}))
    world.trouble(260)
    world.seen.behaviour[row] = mode
    await world.clock.sleep(240)


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
    world.happened(row, "AddOrder")
    world.twin.inject(Fault(where="pair", action="delist", arg={"pair": pair, "for_s": 600}))
    world.trouble(620)
    await world.clock.sleep(610)


async def dead_man(world: World, row: str) -> None:
    await held_pair(world)
    world.twin.exchange.arm(1, world.clock.now_us())
    world.happened(row, "AddOrder")
    await world.clock.sleep(2)


# --- time -----------------------------------------------------------------------------------------------------------------
async def skew(world: World, row: str) -> None:
    offset_us = (-10 * SECOND, HOUR_US)[int(unit_hash(world.plan.seed, "skew") * 2)]
    world.twin.shown.offset_us += offset_us
    world.skewed.append((world.clock.now_us(), world.clock.now_us() + 180 * SECOND))
    world.trouble(200)
    world.seen.behaviour[row] = f"exchange {offset_us / SECOND:+.0f} s"
    try:
        await world.clock.sleep(180)
    finally:
        world.twin.shown.offset_us -= offset_us


async def suspend(world: World, _row: str) -> None:
    world.clock.origin_us += 2 * HOUR_US
    world.shifted_us += 2 * HOUR_US
    world.trouble(10)
    await world.clock.sleep(1)


# --- files ----------------------------------------------------------------------------------------------------------------
async def _pragma(world: World, wrong: str, right: str, seconds: float) -> None:
    """A setting of the session's own connection to its ledger, for a while."""
    session = world.session
    if session is None:
        return
    connection: Any = session.w.ledger._connection  # type: ignore[attr-defined]
    connection.exec_driver_sql(f"PRAGMA {wrong}")
    world.trouble(seconds + 60)
    try:
        await world.clock.sleep(seconds)
    finally:
        if world.session is session and not connection.closed:
            connection.exec_driver_sql(f"PRAGMA {right}")


async def disk_full(world: World, _row: str) -> None:
    await _pragma(world, "max_page_count=1", "max_page_count=1073741823", 60)


async def read_only(world: World, _row: str) -> None:
    await _pragma(world, "query_only=ON", "query_only=OFF", 60)


async def ledger_locked(world: World, _row: str) -> None:
    """Another program holds the write lock; our patience, 5 s of the machine's time, is cut to nothing so that time can pass."""
    other = sqlite3.connect(world.paths.ledger, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        await _pragma(world, "busy_timeout=0", "busy_timeout=5000", 20)
    finally:
        other.execute("ROLLBACK")
        other.close()


async def history_locked(world: World, _row: str) -> None:
    world.history_locked_until_us = world.clock.now_us() + 20 * MINUTE
    await world.clock.sleep(20 * 60)


async def corrupt(world: World, row: str) -> None:
    """Killed, and a page of the ledger is noise at the restart: refused until the copy is put back."""
    if world.session is None:
        return
    world.die("corrupt")
    assert world.resume_files is not None
    good = world.paths.root / "good"
    shutil.copytree(world.resume_files, good, dirs_exist_ok=True)
    file = world.resume_files / "ledger.sqlite"
    _fold(file)  # else the pages may all be in the log, and a file without it is an empty ledger, not a damaged one
    whole = bytearray(file.read_bytes())
    assert len(whole) > 4096 * 6, f"{len(whole)} bytes are too few to damage"
    whole[4096 * 2 : 4096 * 6] = bytes(4096 * 4)
    file.write_bytes(bytes(whole))
    before = len(world.seen.ends)
    while world.dying:
        await world.clock.sleep(1)
    while len(world.seen.ends) == before and world.session is None:
        await world.clock.sleep(1)
    refused = world.seen.ends[before:]
    world.seen.behaviour[row] = refused[0][:120] if refused else "started"
    if not any("CorruptError" in text for text in refused):
        world.seen.breach("INV-11", f"a session started on a corrupt ledger: {refused}")
    world.resume_files = good
    world.trouble(60)


def _fold(file: Path) -> None:
    """Write what is in the log into the file itself."""
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


async def old_backup(world: World, row: str) -> None:
    """An older copy of the ledger comes back at a restart: what it has forgotten are exits, stops and fills, no purchase."""
    copy = world.paths.root / "backup"
    while True:
        while world.session is None:
            await world.clock.sleep(5)
        _back_up(world, copy)
        before = Counter({name: world.reaper.hits[name] for name in ("after_intent", "after_exit_ack")})
        while world.reaper.hits["after_intent"] == before["after_intent"]:
            await world.clock.sleep(2)
            if world.reaper.hits["after_exit_ack"] > before["after_exit_ack"] and world.session is not None:
                await world.clock.sleep(20)
                world.happened(row, "AddOrder")
                world.die("old backup")
                world.resume_files = copy
                return


def _back_up(world: World, copy: Path) -> None:
    """What `trader db backup` would keep of the ledger now."""
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(mode=0o700)
    source, target = sqlite3.connect(world.paths.ledger), sqlite3.connect(copy / "ledger.sqlite")
    source.backup(target)
    source.close()
    target.close()


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


ACTS: Mapping[str, Act] = {
    act.__name__: act
    for act in (
        raise_minimum, restrict, foreign, freeze_symbol, refuse_token, delist, dead_man, skew, suspend, disk_full, read_only,
        ledger_locked, history_locked, corrupt, old_backup, slack_down, prefect_down, run_again, second_trader, kill_switch,
        bad_config, new_config, in_parts, touch_stop, kill_switch_set, ending,
        unarmed, lame_key, withdrawing_key,
    )
}  # fmt: skip
