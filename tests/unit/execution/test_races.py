"""What can come between two awaits of an order's life: late effects, unreadable answers, fills out of order, a venue that closes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from desk_kit import House, in_house
from kraken_kit import PAIR
from test_halting import recovering

from trader.domain.orders import Ambiguous, Answer, Fill, Intent, Leg, Outcome
from trader.execution.positions import Exit, ExitKind
from trader.simulation.faults import Fault

MARKET = {"ordertype": "market"}


def due(house: House, kind: ExitKind, reason: str, price: str = "1") -> Exit:
    return Exit(kind=kind, reason=reason, price=Decimal(price), quantity=house.held().quantity)


async def agree(house: House) -> None:
    """The ledger's stop has the terms that the exchange has."""
    (resting,) = house.orders(ordertype="stop-loss", status="open")
    stop = house.keeper.stop_of(house.held().position_id)
    assert stop is not None
    assert (stop.quantity, stop.trigger_price) == (resting.volume, resting.trigger)


@pytest.mark.parametrize("of", ["system", "pair"])
@pytest.mark.parametrize("mode", ["cancel_only", "post_only", "maintenance"])
def test_a_target_of_all_that_is_held_waits_under_its_stop_while_the_venue_takes_no_orders(mode: str, of: str) -> None:
    async def test(house: House) -> None:
        position, stop = await house.bought_before(mode, of=of)
        held = house.keeper.held[position.position_id]
        await house.keeper.act(held, [due(house, ExitKind.TARGET, "TP2")])
        assert [order.txid for order in house.orders(status="open")] == [stop.txid]

    in_house(test)


class LateAmends:
    """An exchange whose gateway loses the answer to an amend that the engine carries out a second later, within its deadline."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    async def amend(self, txid: str, **terms: Any) -> Answer:
        self.task = asyncio.create_task(self._later(txid, terms))
        return Ambiguous(message="HTTP 502")

    async def _later(self, txid: str, terms: dict[str, Any]) -> None:
        await asyncio.sleep(1.0)
        await self.real.amend(txid, **terms)


async def _lowered(house: House) -> Answer:
    """Halve the stop, as a target does before it sells."""
    stop = house.keeper.stop_of(house.held().position_id)
    assert stop is not None
    rules = house.keeper.instruments[PAIR]
    return await house.desk.amend(stop, quantity=rules.quantity_down(stop.quantity / 2))


def test_an_amend_counts_as_without_effect_only_after_its_deadline() -> None:
    async def test(house: House) -> None:
        await house.buy()
        house.through(LateAmends(house.world.exchange))
        await _lowered(house)
        await agree(house)

    in_house(test)


def test_an_amend_that_cannot_be_read_back_is_read_until_it_can() -> None:
    """Else half of the position were bare, and the ledger content, until the next full reconciliation."""

    async def test(house: House) -> None:
        await house.buy()
        house.world.twin.inject(Fault(where="AmendOrder", nth=(1,), action="lost_response"))
        house.world.twin.inject(Fault(where="QueryOrders", nth=tuple(range(1, 40)), action="http", arg=503))
        await _lowered(house)
        await agree(house)

    in_house(test)


@pytest.mark.parametrize("error", ["EOrder:Insufficient funds", "EAPI:Rate limit exceeded"])
def test_an_exit_of_the_rules_that_the_venue_refuses_is_tried_again_within_seconds_and_not_at_the_next_close(error: str) -> None:
    async def test(house: House) -> None:
        position = await house.buy()
        house.world.twin.inject(Fault(where="AddOrder", match=MARKET, nth=(1,), action="error", arg=error))
        await house.keeper.act(house.keeper.held[position.position_id], [due(house, ExitKind.MARKET, "MAX_HOLD")])
        await asyncio.sleep(15)
        assert [i.outcome for i in house.intents(Leg.EXIT)] == [Outcome.REJECTED, Outcome.ACKED]
        assert house.ledger.positions() == [] and house.orders(status="open") == []
        assert [leg.reason for leg in house.ledger.trade_legs()] == ["MAX_HOLD"]

    in_house(test)


def late_fill(house: House, entry: Intent) -> Fill:
    return Fill(
        trade_id="late", txid=entry.txid or "", pair=entry.pair, side=entry.side, price=entry.limit_price or Decimal(1),
        quantity=Decimal("0.0001"), cost=Decimal("0.0001") * (entry.limit_price or Decimal(1)), fee=Decimal(0),
        time_us=house.world.clock.now_us(),
    )  # fmt: skip


def test_a_late_fill_of_the_entry_lowers_no_stop_that_the_ratchet_has_raised() -> None:
    async def test(house: House) -> None:
        position = await house.buy()
        held = house.keeper.held[position.position_id]
        assert held.guard is not None
        raised = held.guard.state.stop + 5000
        held.guard.state = held.guard.state._replace(stop=raised, level=1, best=raised + 20_000, held=7)
        (entry,) = house.intents(Leg.ENTRY)
        house.desk.on_fills([late_fill(house, entry)], "rest")
        state = house.keeper.held[position.position_id].guard.state  # type: ignore[union-attr]
        assert (state.stop, state.level, state.held) == (raised, 1, 7)
        await house.quiet()
        await agree(house)

    in_house(test)


def test_a_stops_fill_that_comes_before_the_fill_it_sells_waits_for_that() -> None:
    async def test(house: House) -> None:
        position = await house.buy()
        stop = house.keeper.stop_of(position.position_id)
        assert stop is not None and stop.txid is not None
        recovery = await recovering(house, house.world.exchange)
        (entry,) = house.intents(Leg.ENTRY)
        sold = replace(late_fill(house, entry), txid=stop.txid, side=stop.side, quantity=position.quantity)
        twice = replace(sold, trade_id="overtook", quantity=position.quantity * 2)
        assert not recovery.premature(sold)
        assert not recovery.premature(twice), "an order has no room for what it filled already"
        assert recovery.premature(replace(sold, txid="OSTRANGE"))
        house.ledger.set_terms(stop.txid, 1, quantity=twice.quantity)  # as the venue shows it: the second half of the entry has filled
        assert recovery.premature(twice)
        explaining = asyncio.create_task(recovery.explain(twice))
        await asyncio.sleep(3)
        assert house.held().quantity == position.quantity, "and the session lives on"
        bought = replace(late_fill(house, entry), quantity=position.quantity, cost=position.entry_cost)
        house.desk.on_fills([bought], "stream")
        await explaining
        assert house.ledger.positions() == []

    in_house(test)
