"""A start that takes a minute, since an entry without an answer is proved absent: its lease holds, and a person is heard."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import pytest
from ledger_kit import PLAN
from session_kit import Stage, Trader, live, trader

from trader.bootstrap.paths import Paths
from trader.data.ledger_control import submit_control
from trader.domain.account import Position
from trader.domain.market import MINUTE, SECOND
from trader.domain.orders import Leg, OrderType, Outcome, Side, client_order_id
from trader.execution.desk import Order
from trader.execution.wiring import Timing
from trader.simulation.loops import run_stepped

pytestmark = pytest.mark.slow
SEED = 1


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A small demo; its session follows no pair, for there is no history."""
    stage = Stage.of(SEED)
    stage.world.save(Paths(tmp_path).make().world)
    return stage


async def killed_behind_an_intent(world: Trader) -> None:
    """As the session before left the ledger: an entry begun, and never sent."""
    w, desk = world.session.w, world.session.desk
    pair = sorted(w.instruments)[0]
    ask = (await w.market.tickers())[pair].ask
    name = client_order_id(desk.tag, desk.account, "k1", Leg.ENTRY, 0)
    intent = desk.intent(
        Order(
            key="k1", leg=Leg.ENTRY, position_id=name, pair=pair, side=Side.BUY, order_type=OrderType.LIMIT,
            quantity=w.instruments[pair].quantity_down(Decimal(500) / ask), limit_price=w.instruments[pair].price_up(ask), immediate=True,
        )
    )  # fmt: skip
    position = Position(position_id=name, pair=pair, side=Side.BUY, strategy="test", entry_key="k1", plan=PLAN, opened_us=w.clock.now_us())
    w.ledger.set_opening_cash({"EUR": Decimal(10_000)}, w.clock.now_us())
    lease = w.ledger.acquire_lease(w.account, w.holder, w.clock.now_us(), w.timing.lease_ttl_us)
    w.ledger.begin(intent, lease, w.clock.now_us(), position=position)


def play(stage: Stage, root: Path, script: Callable[[Trader], Awaitable[None]], minutes: int) -> tuple[Trader, int]:
    """A session over such a ledger, with `script` beside it; the seconds it lived."""
    box: list[tuple[Trader, int]] = []

    async def main() -> None:
        async with trader(stage, Paths(root), timing=Timing()) as world:
            await killed_behind_an_intent(world)
            begun = world.clock.now_us()
            beside = asyncio.create_task(script(world))
            await live(world.session, world.clock, begun + minutes * MINUTE)
            await beside
            assert world.session.desk.lease is not None
            box.append((world, (world.clock.now_us() - begun) // SECOND))

    run_stepped(main)
    return box[0]


def outcomes(world: Trader) -> list[Outcome]:
    return [intent.outcome for intent in world.session.w.ledger.intents()]


def test_a_start_that_proves_an_entry_absent_still_holds_its_lease(stage: Stage, tmp_path: Path) -> None:
    seen: list[tuple[list[Outcome], bool]] = []

    async def script(world: Trader) -> None:
        for _ in range(2):
            await world.clock.sleep(60)
            assert world.session.desk.lease is not None
            world.session.w.ledger.check_lease(world.session.desk.lease, world.clock.now_us())  # a stop could be begun
            seen.append((outcomes(world), world.session.stopping.is_set()))

    world, _ = play(stage, tmp_path, script, minutes=4)
    assert seen == [([Outcome.SENT], False), ([Outcome.ABSENT], False)], "longer than the 45 s of a lease, and it goes on"
    assert world.session.summary.ended == "time over" and world.session.summary.beats >= 1


def test_a_person_is_heard_while_a_start_reconciles_and_a_way_out_waits_for_it(stage: Stage, tmp_path: Path) -> None:
    answered: list[dict[str, bool]] = []

    async def script(world: Trader) -> None:
        await world.clock.sleep(5)
        given = {
            verb: submit_control(world.paths.ledger, verb, "", "tester", world.clock.now_us(), key=verb) for verb in ("pause", "flatten")
        }
        for seconds in (5, 110):
            await world.clock.sleep(seconds)
            left = {control.control_id for control in world.session.w.ledger.pending_controls()}
            answered.append({verb: control.control_id not in left for verb, control in given.items()})

    play(stage, tmp_path, script, minutes=3)
    assert answered == [{"pause": True, "flatten": False}, {"pause": True, "flatten": True}]


def test_a_stop_ends_a_session_that_still_reconciles(stage: Stage, tmp_path: Path) -> None:
    async def script(world: Trader) -> None:
        await world.clock.sleep(5)
        submit_control(world.paths.ledger, "stop", "", "tester", world.clock.now_us(), key="stop")

    world, seconds = play(stage, tmp_path, script, minutes=3)
    assert world.session.summary.ended == "stopped by tester" and seconds <= 40
