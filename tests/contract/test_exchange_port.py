"""Contract of `ports.Exchange`: each promise runs on every implementation whose venue can make it.

A promise is a coroutine on a bench, so that a broken implementation can be shown to break it (last tests of the file).
What only a wire can do to an order is in test_exchange_faults.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from venue_kit import CASH, IN_PROCESS, KINDS, SPOT, SWITCHED, Bench, Kind, on_venue

from trader.domain.messages import Filled, OrderChanged
from trader.domain.orders import Acked, Answer, ExchangeStatus, Fill, Intent, Leg, OrderType, Rejected, Side

Promise = Callable[[Bench], Awaitable[None]]
DAY_US = 86_400_000_000


async def describes_itself(b: Bench) -> None:
    instruments = await b.exchange.instruments()
    assert list(instruments) == b.pairs
    rules = instruments[b.kind.pair]
    assert rules.pair == b.kind.pair
    assert min(rules.tick, rules.lot, rules.order_min) > 0
    assert abs(await b.exchange.server_time() - b.clock.now_us()) <= 1_000_000
    assert await b.exchange.system_status() == "online"
    taker, maker = await b.exchange.fee_rates()
    assert 0 < maker <= taker < Decimal("0.01")
    assert (await b.exchange.balances())[b.kind.quote].total == CASH


async def entry_fills_at_once_and_stream_and_reads_agree(b: Bench) -> None:
    await b.listen([b.kind.pair])
    intent = await b.entry()
    answer = await b.exchange.submit(intent)
    assert isinstance(answer, Acked), answer
    await b.clock.sleep(1)
    (fill,) = await b.exchange.fills(intent.created_us - DAY_US)
    assert (fill.txid, fill.pair, fill.side, fill.quantity) == (answer.txid, b.kind.pair, Side.BUY, intent.quantity)
    assert intent.limit_price is not None
    assert fill.price <= intent.limit_price
    assert fill.fee > 0
    assert [event.fill for event in b.of(Filled)] == [fill]
    (entry,) = await b.exchange.closed_orders(intent.created_us - DAY_US)
    assert (entry.txid, entry.cl_ord_id, entry.status, entry.filled) == (
        answer.txid,
        intent.cl_ord_id,
        ExchangeStatus.CLOSED,
        intent.quantity,
    )
    assert {event.order.txid: event.order.status for event in b.of(OrderChanged)} == {answer.txid: ExchangeStatus.CLOSED}


async def entry_pays_for_its_coins(b: Bench) -> None:
    fill = await b.bought()
    balances = await b.exchange.balances()
    assert balances[b.kind.quote].total == CASH - fill.cost - fill.fee
    assert (balances["BTC"].total, balances["BTC"].held) == (fill.quantity, 0)


async def a_stop_rides_on_the_entry(b: Bench) -> None:
    trigger = await b.far("0.9")
    answer = await b.exchange.submit(await b.entry(close_trigger=trigger))
    assert isinstance(answer, Acked), answer
    (stop,) = await b.exchange.open_orders()
    assert (stop.refid, stop.cl_ord_id, stop.side, stop.order_type) == (answer.txid, None, Side.SELL, "stop-loss")
    (fill,) = await b.exchange.fills(0)
    assert (stop.quantity, stop.trigger_price) == (fill.quantity, trigger)
    assert (await b.exchange.balances())["BTC"].held == fill.quantity


async def an_entry_below_the_market_is_dropped_at_once(b: Bench) -> None:
    answer = await b.exchange.submit(await b.entry(limit_price=await b.far("0.8")))
    assert isinstance(answer, Acked | Rejected), answer
    if isinstance(answer, Acked):
        (order,) = await b.exchange.orders([answer.txid])
        assert (order.status.live, order.filled) == (False, 0)
    else:
        assert answer.kind == "style"
    assert list(await b.exchange.open_orders()) == []
    assert list(await b.exchange.fills(0)) == []


async def a_stop_is_amended_in_place_and_cancelled(b: Bench) -> None:
    held = (await b.bought()).quantity
    trigger = await b.far("0.9")
    stop = await b.stop(held, trigger)
    placed = await b.exchange.submit(stop)
    assert isinstance(placed, Acked), placed
    rules = (await b.exchange.instruments())[b.kind.pair]
    higher, half = rules.price_down(trigger * Decimal("1.01")), rules.quantity_down(held / 2)
    deadline = b.clock.now_us() + 5_000_000
    amended = await b.exchange.amend(placed.txid, pair=b.kind.pair, quantity=half, trigger_price=higher, deadline_us=deadline)
    assert amended == Acked(txid=placed.txid)
    (order,) = await b.exchange.open_orders()
    assert (order.txid, order.cl_ord_id, order.trigger_price, order.quantity) == (placed.txid, stop.cl_ord_id, higher, half)
    assert (order.side, order.order_type, order.status) == (Side.SELL, "stop-loss", ExchangeStatus.OPEN)
    assert await b.exchange.cancel(placed.txid) == Acked(txid=placed.txid)
    again = await b.exchange.cancel(placed.txid)
    assert isinstance(again, Rejected)
    assert again.kind == "gone"
    (order,) = await b.exchange.orders([placed.txid])
    assert (order.status, order.filled) == (ExchangeStatus.CANCELED, 0)
    assert list(await b.exchange.open_orders()) == []


async def an_amend_or_a_cancel_of_an_unknown_order_finds_it_gone(b: Bench) -> None:
    await b.exchange.instruments()
    unknown = "00000000-0000-4000-8000-000000000000" if b.kind.shorts else "OAAAAA-AAAAA-AAAAAA"
    cancelled = await b.exchange.cancel(unknown)
    assert isinstance(cancelled, Rejected)
    assert cancelled.kind == "gone"
    amended = await b.exchange.amend(
        unknown, pair=b.kind.pair, quantity=None, trigger_price=await b.far("0.9"), deadline_us=b.clock.now_us() + 5_000_000
    )
    assert isinstance(amended, Rejected)
    assert amended.kind == "gone"
    assert list(await b.exchange.orders([unknown])) == []


async def a_stop_sells_when_the_price_reaches_it(b: Bench) -> None:
    held = (await b.bought()).quantity
    rules = (await b.exchange.instruments())[b.kind.pair]
    near = (await b.market.tickers())[b.kind.pair].last - rules.tick
    placed = await b.exchange.submit(await b.stop(held, near))
    assert isinstance(placed, Acked), placed
    for _ in range(60):
        await b.clock.sleep(60)
        if not await b.exchange.open_orders():
            break
    (order,) = await b.exchange.orders([placed.txid])
    assert (order.status, order.filled) == (ExchangeStatus.CLOSED, held)
    sold = [fill for fill in await b.exchange.fills(0) if fill.txid == placed.txid]
    assert [(fill.side, fill.quantity) for fill in sold] == [(Side.SELL, held)]


async def a_market_exit_sells_what_is_held(b: Bench) -> None:
    held = (await b.bought()).quantity
    answer = await b.exchange.submit(await _exit(b, held))
    assert isinstance(answer, Acked), answer
    (sold,) = [fill for fill in await b.exchange.fills(0) if fill.txid == answer.txid]
    assert (sold.side, sold.quantity) == (Side.SELL, held)


async def an_exit_never_opens_the_other_side(b: Bench) -> None:
    """Selling three times what is held ends flat at most, whatever the venue calls its refusal."""
    held = (await b.bought()).quantity
    await b.exchange.submit(await _exit(b, held * 3))
    sold = sum((fill.quantity for fill in await b.exchange.fills(0) if fill.side is Side.SELL), Decimal(0))
    assert sold <= held
    flat = await b.exchange.submit(await _exit(b, held, cl_ord_id="tabcexit0000000002"))
    assert isinstance(flat, Acked | Rejected)
    again = await b.exchange.submit(await _exit(b, held, cl_ord_id="tabcexit0000000003"))
    assert isinstance(again, Rejected)
    assert again.kind == ("style" if b.kind.shorts else "funds")


async def _exit(b: Bench, quantity: Decimal, **changes: Any) -> Intent:
    fields = {"cl_ord_id": "tabcexit0000000001", "leg": Leg.EXIT, "side": Side.SELL, "order_type": OrderType.MARKET}
    return await b.entry(**(fields | {"quantity": quantity, "limit_price": None, "immediate": False} | changes))


async def refusals_change_nothing_and_name_their_kind(b: Bench) -> None:
    rules = (await b.exchange.instruments())[b.kind.pair]
    entry = await b.entry()
    assert entry.limit_price is not None
    cases: list[tuple[str, dict[str, Any]]] = [
        ("funds", {"quantity": rules.quantity_down(entry.quantity * 5000)}),
        ("pair", {"pair": b.kind.unlisted}),
        ("later", {"deadline_us": b.clock.now_us() - 1}),
        ("size", {"quantity": rules.lot / 2}),
        ("size", {"limit_price": entry.limit_price + rules.tick / 2}),
        ("bug", {"limit_price": None}),
        ("bug", {"order_type": OrderType.MARKET, "limit_price": None}),  # and immediate
    ]
    for kind, changes in cases:
        answer = await b.exchange.submit(replace(entry, **changes))
        assert isinstance(answer, Rejected), (changes, answer)
        assert answer.kind == kind, (changes, answer)
    assert list(await b.exchange.closed_orders(0)) == list(await b.exchange.open_orders()) == []
    assert (await b.exchange.balances())[b.kind.quote].total == CASH


async def every_page_of_history_is_read_once(b: Bench) -> None:
    rules = (await b.exchange.instruments())[b.kind.pair]
    count = 60
    for number in range(count):
        intent = await b.entry(cl_ord_id=f"tabc{number:014d}", quantity=max(rules.order_min, rules.lot * 2))
        assert isinstance(await b.exchange.submit(intent), Acked)
        await b.clock.sleep(3)
    fills = await b.exchange.fills(0)
    assert len({fill.trade_id for fill in fills}) == len(fills) == count
    assert [fill.time_us for fill in fills] == sorted(fill.time_us for fill in fills)
    assert len(await b.exchange.closed_orders(0)) == count
    assert len(await b.exchange.orders([fill.txid for fill in fills])) == count
    later = await b.exchange.fills(fills[-10].time_us)
    assert [fill.trade_id for fill in later][-9:] == [fill.trade_id for fill in fills[-9:]]


PROMISES: tuple[Promise, ...] = (
    describes_itself, entry_fills_at_once_and_stream_and_reads_agree, an_entry_below_the_market_is_dropped_at_once,
    a_stop_is_amended_in_place_and_cancelled, an_amend_or_a_cancel_of_an_unknown_order_finds_it_gone,
    a_stop_sells_when_the_price_reaches_it, a_market_exit_sells_what_is_held, an_exit_never_opens_the_other_side,
    refusals_change_nothing_and_name_their_kind, every_page_of_history_is_read_once,
)  # fmt: skip
OF_COINS: tuple[Promise, ...] = (entry_pays_for_its_coins, a_stop_rides_on_the_entry)  # where an entry buys coins


@pytest.mark.parametrize("kind", (*KINDS, *SWITCHED), ids=lambda kind: kind.name)
@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_every_implementation_keeps(promise: Promise, kind: Kind) -> None:
    on_venue(kind, promise)


@pytest.mark.parametrize("kind", [kind for kind in (*KINDS, *SWITCHED) if kind.conditional_close], ids=lambda kind: kind.name)
@pytest.mark.parametrize("promise", OF_COINS, ids=lambda promise: promise.__name__)
def test_where_coins_are_bought(promise: Promise, kind: Kind) -> None:
    on_venue(kind, promise)


def test_the_same_orders_leave_the_same_account_in_process_and_over_the_wire() -> None:
    seen: dict[str, Any] = {}

    async def trade(b: Bench) -> None:
        held = (await b.bought()).quantity
        stop = await b.exchange.submit(await b.stop(held, await b.far("0.9")))
        assert isinstance(stop, Acked)
        await b.clock.sleep(600)
        await b.exchange.cancel(stop.txid)
        await b.clock.sleep(1)
        await b.exchange.submit(await _exit(b, held))
        book = replace(await b.market.book(b.kind.pair, 5), time_us=0)
        prices = {ticker.pair: (ticker.bid, ticker.ask, ticker.last) for ticker in (await b.market.tickers()).values()}
        orders, fills = await b.exchange.closed_orders(0), await b.exchange.fills(0)
        seen[b.kind.name] = (await b.exchange.instruments(), fills, orders, await b.exchange.balances(), book, prices)

    for kind in (IN_PROCESS, SPOT):
        on_venue(kind, trade)
    inside, outside = seen["in_process"], seen["spot"]
    assert inside[0] == outside[0]
    assert [_figures(fill) for fill in inside[1]] == [_figures(fill) for fill in outside[1]]
    assert len(inside[1]) == 2
    assert [(o.cl_ord_id, o.status, o.quantity, o.filled, o.order_type) for o in inside[2]] == [
        (o.cl_ord_id, o.status, o.quantity, o.filled, o.order_type) for o in outside[2]
    ]
    assert inside[3:] == outside[3:]


def _figures(fill: Fill) -> tuple[Any, ...]:
    return fill.pair, fill.side, fill.price, fill.quantity, fill.cost, fill.fee, fill.maker


# --- the suite can fail ----------------------------------------------------------------------------------------------------
class Broken:
    """An implementation with one fault of its own; everything else is the real one's."""

    def __init__(self, whole: Any) -> None:
        self.whole = whole

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)


class DoublesFills(Broken):
    async def fills(self, since_us: int) -> Sequence[Fill]:
        return [fill for fill in await self.whole.fills(since_us) for _ in range(2)]


class RestsWhatShouldBeDropped(Broken):
    async def submit(self, intent: Intent) -> Answer:
        answer: Answer = await self.whole.submit(replace(intent, immediate=False))
        return answer


class ForgetsTheStop(Broken):
    async def submit(self, intent: Intent) -> Answer:
        answer: Answer = await self.whole.submit(replace(intent, close_trigger=None))
        return answer


class ForgetsReduceOnly(Broken):
    async def submit(self, intent: Intent) -> Answer:
        answer: Answer = await self.whole.submit(replace(intent, leg=Leg.ENTRY))
        return answer


class SwallowsACancel(Broken):
    async def cancel(self, txid: str) -> Answer:
        return Acked(txid=txid)


BREACHES: tuple[tuple[type[Broken], Promise], ...] = (
    (DoublesFills, every_page_of_history_is_read_once), (RestsWhatShouldBeDropped, an_entry_below_the_market_is_dropped_at_once),
    (ForgetsTheStop, a_stop_rides_on_the_entry), (ForgetsReduceOnly, an_exit_never_opens_the_other_side),
    (SwallowsACancel, a_stop_is_amended_in_place_and_cancelled),
)  # fmt: skip


def possible(broken: type[Broken], kind: Kind) -> bool:
    """Whether a venue of this kind can be broken like that: spot refuses to oversell by itself, no stop rides on futures."""
    return kind.conditional_close if broken is ForgetsTheStop else kind.shorts if broken is ForgetsReduceOnly else True


@pytest.mark.parametrize(
    ("broken", "promise", "kind"),
    [
        pytest.param(broken, promise, kind, id=f"{broken.__name__}-{kind.name}")
        for broken, promise in BREACHES
        for kind in KINDS
        if possible(broken, kind)
    ],
)
def test_a_broken_implementation_breaks_its_promise(broken: type[Broken], promise: Promise, kind: Kind) -> None:
    async def run(b: Bench) -> None:
        b.exchange = broken(b.exchange)
        await promise(b)

    with pytest.raises((AssertionError, ValueError)):
        on_venue(kind, run)
