"""Own trades and the account behind them, over a wire that fails: each fill once, nothing lost between pages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest
from kraken_kit import PAIR, World, on_twin

from trader.domain.messages import FeedReset, Filled, OrderChanged
from trader.domain.money import ZERO, add, sub
from trader.domain.orders import Acked, ExchangeStatus
from trader.errors import RejectedError
from trader.kraken import channels
from trader.kraken.api import read_rights, read_tier
from trader.kraken.catchup import CatchUp
from trader.simulation.exchange_orders import OrderRequest
from trader.simulation.exchange_terms import MARKET
from trader.simulation.faults import Fault

DROP = Fault(where="executions", action="ws_drop", nth=(1,))


def trade(w: World, times: int) -> None:
    """Market orders of the account straight at the engine."""
    for _ in range(times):
        w.twin.exchange.place(
            OrderRequest(pair=PAIR, side="buy", ordertype=MARKET, volume=Decimal("0.0005"), oflags=("fciq",)), w.clock.now_us()
        )


async def outage(w: World, fills: int) -> None:
    """The private stream breaks at the first execution; `fills` more happen before it is back."""
    w.listen([PAIR])
    await w.clock.sleep(1)
    trade(w, 1)
    await w.twin.hub.flush()
    trade(w, fills)
    await w.clock.sleep(90)


def test_sixty_fills_during_an_outage_arrive_once_though_the_snapshot_holds_fifty() -> None:
    async def test(w: World) -> None:
        await outage(w, 60)
        seen = [event.fill for event in w.of(Filled)]
        assert sorted(seen, key=lambda fill: fill.trade_id) == sorted(await w.exchange.fills(0), key=lambda fill: fill.trade_id)
        assert len(seen) == len({fill.trade_id for fill in seen}) == 61
        assert len(w.of(FeedReset)) == 1

    on_twin(test, DROP)


class Forgetful(CatchUp):
    """A planted breach: trusts the snapshot."""

    def owe(self, since_us: int, orders: Any = (), *, unnamed: bool = False, again: bool = False) -> None:
        return


def test_a_build_that_trusts_the_snapshot_loses_fills(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "CatchUp", Forgetful)

    async def test(w: World) -> None:
        await outage(w, 60)
        assert len(w.of(Filled)) < 61

    on_twin(test, DROP)


def test_an_order_that_ended_during_an_outage_is_looked_up() -> None:
    async def test(w: World) -> None:
        w.listen([PAIR])
        await w.clock.sleep(1)
        answer = await w.exchange.submit(await w.entry(immediate=False, limit_price=Decimal(100), close_trigger=None, quantity=Decimal(1)))
        assert isinstance(answer, Acked)
        await w.clock.sleep(1)
        assert w.of(OrderChanged)[-1].order.status is ExchangeStatus.OPEN
        w.twin.inject(Fault(where="executions", action="ws_drop"))
        assert isinstance(await w.exchange.cancel(answer.txid), Acked)
        w.twin.plan.clear()
        await w.clock.sleep(30)
        (ended,) = [event.order for event in w.of(OrderChanged) if not event.order.status.live]
        assert (ended.txid, ended.status) == (answer.txid, ExchangeStatus.CANCELED)

    on_twin(test)


@pytest.mark.parametrize("field", ["last_price", "last_qty", "exec_id", "timestamp", "order_id"])
def test_an_execution_without_a_field_is_rejected_alone_and_its_fill_comes_by_rest(field: str) -> None:
    async def test(w: World) -> None:
        w.listen([PAIR])
        await w.clock.sleep(1)
        assert isinstance(await w.exchange.submit(await w.entry()), Acked)
        await w.clock.sleep(30)
        assert [event.fill for event in w.of(Filled)] == list(await w.exchange.fills(0))
        assert len(w.of(Filled)) == 1
        assert w.market.counts["execution to look up"] >= 1
        assert "private reconnects" not in w.market.counts  # no storm on a poison frame

    on_twin(test, Fault(where="executions", action="drop_field", arg=f"data.*.{field}"))


def between_pages(w: World, path: str, act: Callable[[], None]) -> None:
    """Do something after every page of an endpoint."""
    transport = w.exchange._rest.transport
    whole = transport.private

    async def private(name: str, build: Callable[[], Mapping[str, Any]], *, urgent: bool) -> Any:
        result = await whole(name, build, urgent=urgent)
        if name == path:
            act()
        return result

    object.__setattr__(transport, "private", private)


@pytest.mark.parametrize("path", ["TradesHistory", "Ledgers"])
def test_rows_that_arrive_while_we_page_are_neither_lost_nor_doubled(path: str) -> None:
    async def test(w: World) -> None:
        account = w.exchange.account
        trade(w, 130)
        await asyncio.sleep(1)
        before = list(w.twin.exchange.state.trades)
        between_pages(w, path, lambda: trade(w, 7))
        if path == "TradesHistory":
            ids = [fill.trade_id for fill in await account.trades(0)]
            assert set(before) <= set(ids)
        else:
            entries = await account.ledger(0)
            ids = [entry.entry_id for entry in entries]
            assert set(before) <= {entry.refid for entry in entries}
            assert sum(entry.refid in before for entry in entries) == 2 * len(before)  # what was bought, and what it cost
        assert len(ids) == len(set(ids)) >= 130
        assert w.twin.middleware.counters[path] >= 3

    on_twin(test)


def test_the_ledger_adds_up_to_the_balances() -> None:
    async def test(w: World) -> None:
        trade(w, 60)
        await asyncio.sleep(1)
        totals: dict[str, Decimal] = {}
        for entry in await w.exchange.account.ledger(0):
            totals[entry.asset] = add(totals.get(entry.asset, ZERO), sub(entry.amount, entry.fee))
        assert totals == {asset: balance.total for asset, balance in (await w.exchange.balances()).items()}
        coins = await w.exchange.account.ledger(0, asset="BTC", kind="trade")
        assert [entry.asset for entry in coins] == ["BTC"] * 60
        with pytest.raises(RejectedError, match="NIX"):
            await w.exchange.account.ledger(0, asset="NIX")

    on_twin(test)


def test_the_fee_tier_and_the_rights_of_the_key_are_the_accounts_own() -> None:
    async def test(w: World) -> None:
        trade(w, 1)
        tier = await w.exchange.account.fee_tier(PAIR)
        fills = w.twin.exchange.fills
        assert (tier.taker, tier.maker) == (fills.taker, fills.maker) == await w.exchange.fee_rates()
        assert tier.volume > 0
        rights = await w.exchange.account.key_rights()
        assert (rights.can_read, rights.can_trade, rights.can_stream, rights.can_withdraw, rights.missing) == (True, True, True, False, ())

    on_twin(test)


def test_rights_and_tiers_are_read_or_refused_by_name() -> None:
    weak = read_rights({"permissions": ["query-funds", "withdraw-funds"], "validUntil": "1767571200", "nonceWindow": 5})
    assert (weak.can_trade, weak.can_withdraw, weak.expires_us, weak.nonce_window) == (False, True, 1_767_571_200_000_000, 5)
    assert "modify-trades" in weak.missing
    with pytest.raises(ValueError, match="permissions"):
        read_rights({"permissions": "all"})
    percent = {"fee": "0.40", "nextfee": "0.35", "nextvolume": "10000"}
    tier = read_tier({"currency": "ZUSD", "volume": "12.5", "fees": {"X": percent}, "fees_maker": {"X": {"fee": "0.25"}}}, "X")
    assert (tier.taker, tier.maker, tier.next_taker, tier.next_volume) == (
        Decimal("0.0040"), Decimal("0.0025"), Decimal("0.0035"), Decimal(10_000),
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"fees\.fee"):
        read_tier({"currency": "ZUSD", "volume": "1", "fees": {"X": {"fee": "400"}}, "fees_maker": {"X": {"fee": "0.25"}}}, "X")
