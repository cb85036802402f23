"""Row H16: the exchange, and then its pairs, take some orders only."""

from __future__ import annotations

from collections.abc import Mapping

from tests.chaos.persons import control, held_pair
from tests.chaos.plan import ACTS_TURN
from tests.chaos.world import World
from trader.domain.account import PositionState
from trader.domain.market import SECOND, Timeframe
from trader.simulation.exchange import USER
from trader.simulation.exchange_orders import unit_hash
from trader.simulation.faults import Fault

OF_THE_EXCHANGE = ("maintenance", "cancel_only", "post_only")
OF_A_PAIR = ("limit_only", "reduce_only", *OF_THE_EXCHANGE)
LASTS_S = 240
BEFORE_CLOSE_S = 60  # a mode of pairs covers the close of a candle, at which entries are decided
HEARD_S = 2  # from which on the trader knows


async def restrict(world: World, row: str) -> None:
    """The exchange in one mode; later all pairs in one, while a person wants to leave what is held."""
    mode = OF_THE_EXCHANGE[int(unit_hash(world.plan.seed, "mode") * 3)]
    world.twin.inject(Fault(where="system", action=mode, arg={"for_s": LASTS_S}))
    world.trouble(LASTS_S + 20)
    world.seen.behaviour[row] = mode
    await world.clock.sleep(LASTS_S)
    async with world.pair_states:
        await _pairs(world, row, OF_A_PAIR[world.plan.seed // ACTS_TURN % len(OF_A_PAIR)])


async def _pairs(world: World, row: str, mode: str) -> None:
    now = world.clock.now_us()
    await world.clock.sleep_until(Timeframe.M15.floor(now + BEFORE_CLOSE_S * SECOND) + Timeframe.M15.us - BEFORE_CLOSE_S * SECOND)
    await held_pair(world)
    world.happened(row, "AddOrder")
    for pair in world.twin.market.pairs:
        world.twin.inject(Fault(where="pair", action="pair_status", arg={"pair": pair, "status": mode, "for_s": LASTS_S}))
    world.trouble(LASTS_S + 10)  # an exit that waits is asked for again every 10 s
    world.seen.behaviour[row] += f", then {mode} of pairs"
    await world.clock.sleep(HEARD_S)
    before = {txid: order.live for txid, order in world.twin.exchange.state.orders.items()}
    if world.alive and world.session is not None:
        for position in world.session.w.ledger.positions():
            if position.state is PositionState.OPEN:
                control(world, "exit", position.position_id, key=position.position_id)
    await world.clock.sleep(LASTS_S - HEARD_S - 1)
    _judge(world, mode, before)


def _judge(world: World, mode: str, before: Mapping[str, bool]) -> None:
    """Nothing was bought, and no stop of what is still held was given up for an exit that could not be made. `before`: the orders there
    were when the trader knew, by id, and whether they lived; their times say nothing while the exchange's clock is apart.
    """
    held = world.twin.protection_report().positions
    for txid, order in world.twin.exchange.state.orders.items():
        if order.side == "buy" and txid not in before and order.cl_ord_id:
            world.seen.breach("INV-18", f"{order.pair}: an entry was sent in {mode} mode")
        ended = not order.live and before.get(txid, True)
        if order.ordertype == "stop-loss" and ended and order.reason == USER and held.get(order.pair):
            world.seen.breach("INV-6", f"{order.pair}: its stop was given up in {mode} mode")
