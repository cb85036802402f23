"""Contract of `ports.Exchange`, run on the Kraken adapter over the twin."""

from __future__ import annotations

from decimal import Decimal

import pytest
from kraken_kit import PAIR, World, on_twin

from trader.domain.messages import Filled, OrderChanged
from trader.domain.orders import Acked, Ambiguous, ExchangeStatus, Leg, OrderType, Rejected, Side
from trader.errors import FatalError
from trader.simulation.faults import Fault


def test_the_venue_describes_itself() -> None:
    async def test(w: World) -> None:
        instruments = await w.exchange.instruments()
        assert list(instruments) == list(w.twin.market.pairs)
        assert instruments[PAIR].tick > 0
        assert abs(await w.exchange.server_time() - w.clock.now_us()) <= 1_000_000
        assert await w.exchange.system_status() == "online"
        assert await w.exchange.fee_rates() == (Decimal("0.004"), Decimal("0.0025"))
        assert "modify-trades" in (await w.exchange.key_info()).permissions
        assert (await w.exchange.balances())["EUR"].total == 10_000

    on_twin(test)


def test_an_entry_fills_with_its_stop_and_is_seen_by_stream_and_rest() -> None:
    async def test(w: World) -> None:
        w.listen([PAIR])
        await w.clock.sleep(1)
        intent = await w.entry()
        answer = await w.exchange.submit(intent)
        assert isinstance(answer, Acked)
        await w.clock.sleep(1)
        (fill,) = await w.exchange.fills(intent.created_us - 60_000_000)
        assert (fill.txid, fill.pair, fill.side, fill.quantity) == (answer.txid, PAIR, Side.BUY, intent.quantity)
        assert [event.fill for event in w.of(Filled)] == [fill]
        (stop,) = await w.exchange.open_orders()
        assert (stop.refid, stop.side, stop.order_type, stop.quantity) == (answer.txid, Side.SELL, "stop-loss", intent.quantity)
        assert stop.trigger_price == intent.close_trigger
        (entry,) = await w.exchange.closed_orders(intent.created_us - 60_000_000)
        assert (entry.cl_ord_id, entry.status, entry.filled) == (intent.cl_ord_id, ExchangeStatus.CLOSED, intent.quantity)
        final = {event.order.txid: event.order.status for event in w.of(OrderChanged)}
        assert final == {answer.txid: ExchangeStatus.CLOSED, stop.txid: ExchangeStatus.OPEN}
        balances = await w.exchange.balances()
        assert balances["BTC"].total == balances["BTC"].held == intent.quantity
        assert balances["EUR"].total == 10_000 - fill.cost - fill.fee

    on_twin(test)


def test_an_entry_below_the_market_is_dropped_at_once() -> None:
    async def test(w: World) -> None:
        intent = await w.entry()
        answer = await w.exchange.submit(await w.entry(limit_price=w_price(intent.limit_price)))
        assert isinstance(answer, Acked)
        (order,) = await w.exchange.orders([answer.txid])
        assert (order.status.live, order.filled) == (False, 0)
        assert list(await w.exchange.fills(0)) == []

    on_twin(test)


def w_price(price: Decimal | None) -> Decimal:
    assert price is not None
    return (price * Decimal("0.8")).quantize(Decimal("0.1"))


def test_a_resting_stop_is_amended_in_place_and_cancelled() -> None:
    async def test(w: World) -> None:
        assert isinstance(await w.exchange.submit(await w.entry(close_trigger=None)), Acked)
        held = (await w.exchange.balances())["BTC"].total
        entry = await w.entry()
        assert entry.close_trigger is not None
        stop = await w.entry(
            cl_ord_id="tabcstop0000000001", leg=Leg.STOP, side=Side.SELL, order_type=OrderType.STOP_LOSS, quantity=held, limit_price=None,
            trigger_price=entry.close_trigger, close_trigger=None, immediate=False,
        )  # fmt: skip
        placed = await w.exchange.submit(stop)
        assert isinstance(placed, Acked)
        higher, half = entry.close_trigger + 100, (held / 2).quantize(Decimal("1e-8"))
        deadline = w.clock.now_us() + 3_000_000
        amended = await w.exchange.amend(placed.txid, pair=PAIR, quantity=half, trigger_price=higher, deadline_us=deadline)
        assert amended == Acked(txid=placed.txid)
        (order,) = await w.exchange.open_orders()
        assert (order.txid, order.cl_ord_id, order.trigger_price, order.quantity) == (placed.txid, stop.cl_ord_id, higher, half)
        assert await w.exchange.cancel(placed.txid) == Acked(txid=placed.txid)
        again = await w.exchange.cancel(placed.txid)
        assert isinstance(again, Rejected)
        assert again.kind == "gone"
        (order,) = await w.exchange.orders([placed.txid])
        assert order.status is ExchangeStatus.CANCELED
        assert list(await w.exchange.open_orders()) == []

    on_twin(test)


@pytest.mark.parametrize("action", ["lost_response", "http", "cut_json", "html", "hang"])
def test_an_answer_that_proves_nothing_is_ambiguous_and_the_order_is_found_by_its_id(action: str) -> None:
    fault = Fault(where="AddOrder", action=action, nth=(1,), arg=502 if action == "http" else None, after=action in ("http", "html"))

    async def test(w: World) -> None:
        intent = await w.entry()
        answer = await w.exchange.submit(intent)
        assert isinstance(answer, Ambiguous), answer
        since = intent.created_us - 60_000_000
        orders = [*await w.exchange.open_orders(), *await w.exchange.closed_orders(since)]
        found = [order for order in orders if order.cl_ord_id == intent.cl_ord_id]
        assert len(found) == (0 if action == "hang" else 1)
        assert w.twin.middleware.counters["AddOrder"] == 1  # the bytes left once

    on_twin(test, fault)


def test_a_request_lost_on_the_way_is_ambiguous_and_absent() -> None:
    async def test(w: World) -> None:
        intent = await w.entry()
        assert isinstance(await w.exchange.submit(intent), Ambiguous)
        assert [*await w.exchange.open_orders(), *await w.exchange.closed_orders(0)] == []
        assert isinstance(await w.exchange.submit(intent), Acked)

    on_twin(test, Fault(where="AddOrder", action="lost_request", nth=(1,)))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("EOrder:Insufficient funds", "funds"), ("EOrder:Order minimum not met", "size"), ("EOrder:Post only order", "style"),
        ("EOrder:Orders limit exceeded", "limits"), ("EGeneral:Invalid arguments", "bug"), ("EOrder:Rate limit exceeded", "later"),
        ("EService:Market in cancel_only mode", "pair"), ("EGeneral:Permission denied", "auth"), ("EAPI:Invalid nonce", "nonce"),
        ("EService:Unavailable", ""), ("EService:Deadline elapsed", ""), ("EOrder:Never heard of", ""),
    ],
)  # fmt: skip
def test_refusals_keep_their_kind(text: str, kind: str) -> None:
    async def test(w: World) -> None:
        answer = await w.exchange.submit(await w.entry())
        if kind:
            assert isinstance(answer, Rejected)
            assert (answer.kind, answer.message) == (kind, text)
        else:
            assert isinstance(answer, Ambiguous)

    on_twin(test, Fault(where="AddOrder", action="error", nth=(1,), arg=text))


def test_the_venues_own_refusals_are_rejections() -> None:
    async def test(w: World) -> None:
        entry = await w.entry()
        too_much = await w.exchange.submit(await w.entry(quantity=entry.quantity * 100))
        assert isinstance(too_much, Rejected)
        assert too_much.kind == "funds"
        unknown = await w.exchange.submit(await w.entry(pair="NIX/EUR"))
        assert isinstance(unknown, Rejected)
        assert unknown.kind == "pair"
        late = await w.exchange.submit(await w.entry(deadline_us=w.clock.now_us() - 1))
        assert isinstance(late, Rejected)
        assert late.kind == "later"
        assert list(await w.exchange.closed_orders(0)) == []

    on_twin(test)


def test_reads_survive_passing_trouble() -> None:
    faults = [
        Fault(where="BalanceEx", action="error", nth=(1,), arg="EService:Busy"), Fault(where="BalanceEx", action="http", nth=(2,), arg=520),
        Fault(where="BalanceEx", action="error", nth=(3,), arg="EAPI:Invalid nonce"), Fault(where="BalanceEx", action="html", nth=(4,)),
    ]  # fmt: skip

    async def test(w: World) -> None:
        assert (await w.exchange.balances())["EUR"].total == 10_000
        assert w.twin.middleware.counters["BalanceEx"] == 5

    on_twin(test, *faults)


def test_a_refused_key_is_fatal_for_reads() -> None:
    async def test(w: World) -> None:
        with pytest.raises(FatalError):
            await w.exchange.balances()

    on_twin(test, Fault(where="BalanceEx", action="error", arg="EAPI:Invalid key"))


def test_every_page_of_history_is_read() -> None:
    async def test(w: World) -> None:
        for number in range(60):
            intent = await w.entry(cl_ord_id=f"tabc{number:014d}", quantity=Decimal("0.0002"), close_trigger=None)
            assert isinstance(await w.exchange.submit(intent), Acked)
            await w.clock.sleep(3)
        fills = await w.exchange.fills(0)
        assert len({fill.trade_id for fill in fills}) == len(fills) == 60
        assert [fill.time_us for fill in fills] == sorted(fill.time_us for fill in fills)
        assert len(await w.exchange.closed_orders(0)) == 60
        assert len(await w.exchange.orders([fill.txid for fill in fills])) == 60

    on_twin(test)
