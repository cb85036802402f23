"""The lease: nothing that takes protection away is begun without it, and no other machine may have it at the same time."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest
from desk_kit import House, in_house

from trader.bootstrap.installation import holder_of
from trader.bootstrap.paths import Paths
from trader.data.ledger import SqlLedger
from trader.domain.market import SECOND
from trader.domain.orders import Acked
from trader.errors import LeaseLostError
from trader.execution.held import Held
from trader.execution.positions import Exit, ExitKind
from trader.execution.wiring import Timing


async def stood_still(house: House) -> Held:
    """A position, and a machine that was resumed after its lease ran out; somebody else may have it by now."""
    position = await house.buy()
    house.desk.lease = house.ledger.acquire_lease("kraken", "test", house.world.clock.now_us(), SECOND)
    await asyncio.sleep(60)
    return house.keeper.held[position.position_id]


def test_an_exit_without_a_lease_leaves_the_stop_where_it_is() -> None:
    async def test(house: House) -> None:
        held = await stood_still(house)
        before = house.orders(ordertype="stop-loss", status="open")
        with pytest.raises(LeaseLostError, match=r"expired 59\.\d s ago"):
            await house.keeper.act(held, [Exit(kind=ExitKind.MARKET, reason="MAX_HOLD", price=Decimal(1), quantity=held.position.quantity)])
        assert house.orders(ordertype="stop-loss", status="open") == before != []

    in_house(test)


def test_a_stop_is_not_made_smaller_without_a_lease() -> None:
    async def test(house: House) -> None:
        held = await stood_still(house)
        stop = house.keeper.stop_of(held.position.position_id)
        assert stop is not None
        with pytest.raises(LeaseLostError):
            await house.desk.amend(stop, quantity=stop.quantity / 2)
        assert [o.remaining for o in house.orders(ordertype="stop-loss", status="open")] == [held.position.quantity]
        house.desk.lease = house.ledger.acquire_lease("kraken", "test", house.world.clock.now_us(), 3600 * SECOND)
        assert isinstance(await house.desk.amend(stop, quantity=held.position.quantity), Acked), "with it, all goes on"

    in_house(test)


def test_a_second_trader_on_the_same_ledger_is_refused(tmp_path: Path) -> None:
    """Two machines on one Postgres ledger: the lock file is of one machine, so the lease alone tells them apart."""
    one, other = (holder_of(Paths(tmp_path / name).make()) for name in ("one", "other"))
    first, second = (SqlLedger(tmp_path / "ledger.sqlite", account="kraken") for _ in range(2))
    ttl = Timing().lease_ttl_us
    first.acquire_lease("kraken", one, SECOND, ttl)
    with pytest.raises(LeaseLostError, match="is traded by"):
        second.acquire_lease("kraken", other, 2 * SECOND, ttl)


def test_a_restart_after_a_kill_has_its_lease_at_once(tmp_path: Path) -> None:
    paths = Paths(tmp_path).make()
    ttl = Timing().lease_ttl_us
    for life in (1, 2):
        ledger = SqlLedger(paths.ledger, account="kraken")
        assert ledger.acquire_lease("kraken", holder_of(paths), life * SECOND, ttl).token == life
        ledger.close()  # nothing was released


def test_a_spoilt_holder_file_keeps_nobody_from_starting(tmp_path: Path) -> None:
    """A power cut may leave it empty; stops and positions wait for the session."""
    paths = Paths(tmp_path).make()
    known = holder_of(paths)
    paths.holder.write_text("")
    assert holder_of(paths) != known
    assert holder_of(paths) == holder_of(paths)
