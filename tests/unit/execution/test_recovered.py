"""An older backup came back: entries it has forgotten are ours again, with plan, stop and exits, and no stop is lowered for it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from desk_kit import ACCOUNT, House, in_house
from kraken_kit import PAIR
from ledger_kit import T0, entry

from trader.data.ledger import SqlLedger
from trader.domain.account import Position
from trader.domain.costs import Costs
from trader.domain.futures import MarketKind
from trader.domain.market import SECOND, Timeframe
from trader.domain.orders import Acked, ExchangeStatus, Intent, Leg, RemoteOrder, Side, client_order_id, entry_key
from trader.execution.keeper import Keeper
from trader.execution.reconcile import LocalView, RemoteView
from trader.execution.recovered import forgotten_entries
from trader.execution.recovery import Recovery

STRATEGY = "viable/sniper/DEFAULT"


async def enter(house: House) -> Intent:
    """An entry as the session sends it: its key is of the close before it."""
    intent, position = await house.order()
    key = entry_key(PAIR, STRATEGY, Timeframe.M15.floor(intent.created_us), Side.BUY)
    name = client_order_id("abc", ACCOUNT, key, Leg.ENTRY, 0)
    intent = replace(intent, key=key, cl_ord_id=name, position_id=name)
    position = replace(position, position_id=name, entry_key=key, strategy=STRATEGY)
    answer = await house.desk.send_and_resolve(intent, position=position)
    assert isinstance(answer, Acked)
    await house.desk.settle(answer.txid, intent.created_us)
    await house.quiet()
    return intent


def copy_of(house: House) -> SqlLedger:
    """What a backup holds of the ledger now."""
    copy = SqlLedger(":memory:", account=ACCOUNT)
    house.ledger._connection.connection.dbapi_connection.backup(copy._connection.connection.dbapi_connection)  # type: ignore[union-attr]
    return copy


async def restored(house: House, backup: SqlLedger) -> Recovery:
    """The backup takes the ledger's place, and a new session recovers."""
    house.ledger = house.desk.ledger = backup
    house.desk.lease = backup.acquire_lease(ACCOUNT, "test", house.world.clock.now_us(), 10**15)
    rules = await house.world.exchange.instruments()
    house.keeper = keeper = Keeper(
        desk=house.desk, exchange=house.world.exchange, ledger=backup, clock=house.world.clock, instruments=rules, spawn=house.keeper.spawn
    )
    house.desk.on_fills = lambda fills, source: keeper.booked(backup.apply_fills(fills, house.world.clock.now_us(), source=source))
    wiring: Any = SimpleNamespace(
        exchange=house.world.exchange, ledger=backup, clock=house.world.clock, instruments=rules, quote="EUR", kind=MarketKind.SPOT,
        tag="abc", account=ACCOUNT, speed=1.0, costs=Costs(), exit_plan="",
    )  # fmt: skip
    return Recovery(wiring, house.desk, keeper, house.desk.on_fills)


def test_a_forgotten_purchase_is_held_again_under_its_stop_and_a_second_look_writes_nothing() -> None:
    async def test(house: House) -> None:
        house.ledger.set_meta("reconcile_watermark_us", str(house.world.clock.now_us()))
        backup = copy_of(house)
        bought = await enter(house)
        before = house.held()
        resting = house.orders(status="open")
        recovery = await restored(house, backup)
        assert await recovery.run() > 0
        await house.quiet()
        after = house.held()
        assert (after.position_id, after.strategy, after.entry_key) == (bought.position_id, STRATEGY, bought.key)
        assert (after.quantity, after.entry_cost, after.entry_fee) == (before.quantity, before.entry_cost, before.entry_fee)
        (stop,) = house.orders(status="open")
        assert stop.txid == resting[0].txid and stop.volume == after.quantity and stop.trigger >= resting[0].trigger
        assert house.ledger.halts() == []
        rows = len(house.rows())
        assert await recovery.run() == 0
        assert house.rows()[rows:] == ["reconcile"]

    in_house(test)


def test_a_purchase_and_its_sale_are_both_known_again() -> None:
    async def test(house: House) -> None:
        house.ledger.set_meta("reconcile_watermark_us", str(house.world.clock.now_us()))
        backup = copy_of(house)
        bought = await enter(house)
        await house.keeper.leave(house.keeper.held[bought.position_id], "MAX_HOLD")
        await house.quiet()
        cash = house.ledger.cash()
        await (await restored(house, backup)).run()
        await house.quiet()
        assert house.ledger.positions() == [] and house.ledger.cash() == cash and house.ledger.halts() == []

    in_house(test)


def test_a_stop_that_was_raised_after_the_backup_stays_where_it_is() -> None:
    async def test(house: House) -> None:
        bought = await enter(house)
        house.ledger.set_meta("reconcile_watermark_us", str(house.world.clock.now_us()))
        backup = copy_of(house)
        (stop,) = house.keeper.stops_of(bought.position_id)
        assert stop.trigger_price is not None
        raised = (await house.world.exchange.instruments())[PAIR].price_up(stop.trigger_price * Decimal("1.005"))
        assert isinstance(await house.desk.amend(stop, trigger_price=raised), Acked)
        await (await restored(house, backup)).run()
        await house.quiet()
        assert [order.trigger for order in house.orders(status="open")] == [raised]
        assert house.keeper.held[bought.position_id].guard.stop_price == raised  # type: ignore[union-attr]

    in_house(test)


def remote(intent: Intent, **changes: Any) -> RemoteOrder:
    made = RemoteOrder(
        txid="T1", cl_ord_id=intent.cl_ord_id, refid=None, pair=intent.pair, side=intent.side, order_type="limit",
        status=ExchangeStatus.CLOSED, quantity=intent.quantity, filled=intent.quantity, limit_price=intent.limit_price,
        trigger_price=None, opened_us=intent.created_us + SECOND,
    )  # fmt: skip
    return replace(made, **changes)


def found(*orders: RemoteOrder, known: tuple[Intent, ...] = ()) -> list[tuple[Intent, Position]]:
    local = LocalView(intents=known, positions=(), cash={}, tag="abc", account=ACCOUNT)
    return forgotten_entries(local, RemoteView(open=(), closed=orders, fills=(), balances={}), costs=Costs())


def test_only_what_our_id_proves_is_taken_back() -> None:
    intent, _ = entry()
    key = entry_key(intent.pair, "seed/mitraillette/AGGRESSIVE", T0, Side.BUY)
    ours = replace(intent, cl_ord_id=client_order_id("abc", ACCOUNT, key, Leg.ENTRY, 0))
    (made,) = found(remote(ours))
    assert (made[0].key, made[0].limit_price, made[1].plan.max_hold_bars) == (key, intent.limit_price, 0)
    assert found(remote(ours), known=(ours,)) == [], "known"
    assert found(remote(ours, filled=Decimal(0))) == [], "came to nothing"
    assert found(remote(ours, cl_ord_id="tabc" + "z" * 14)) == [], "our tag, and nothing that leads to its id"
    assert found(remote(ours, cl_ord_id="txyz" + ours.cl_ord_id[4:])) == [], "another installation's"
    assert found(remote(ours, cl_ord_id=None)) == []


def test_the_plan_follows_from_the_stop_that_rides_on_the_entry() -> None:
    intent, _ = entry()
    key = entry_key(intent.pair, STRATEGY, T0, Side.BUY)
    ours = replace(intent, cl_ord_id=client_order_id("abc", ACCOUNT, key, Leg.ENTRY, 0), limit_price=Decimal(100))
    ride = remote(ours, txid="T2", cl_ord_id=None, refid="T1", trigger_price=Decimal(96), side=Side.SELL, order_type="stop-loss")
    (_, with_ride), (_, without) = *found(remote(ours), ride), *found(remote(ours))
    assert abs(with_ride.plan.stop - 0.04) < 1e-9
    assert with_ride.plan.tp1 > with_ride.plan.stop > without.plan.stop, "without one: the tightest plan that pays its costs"
