"""`ports.Exchange` straight on the matching engine: no HTTP, no signature, no latency; for paper trading and replays.

The answers equal the adapter's over the wire (tests/contract); only what a wire can do to an answer is missing: nothing is
ever Ambiguous, and a deadline that has passed is a plain refusal. Instrument rules, fees and fills are the engine's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from trader.domain.futures import FundingPayment
from trader.domain.market import SECOND, Instrument
from trader.domain.money import quantum
from trader.domain.orders import Acked, Answer, Balance, ExchangeStatus, Fill, Intent, OrderType, Rejected, RemoteOrder, Side
from trader.ports import Clock
from trader.simulation.drive import Seen, run_ticks
from trader.simulation.exchange import TwinExchange
from trader.simulation.exchange_books import Books, Kept, State
from trader.simulation.exchange_orders import Amendment, OrderRequest, PairRules, Refused, Target, TwinOrder, TwinTrade
from trader.simulation.exchange_terms import STOP_LOSS, Close
from trader.simulation.fills import FillRules, Tick
from trader.simulation.kraken_server.spot.market_view import MarketView, engine_of
from trader.simulation.market import Market, Row
from trader.simulation.refusals import rejected

HURRY_US = SECOND  # the adapter gives up a deadline nearer than this; so do we


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """An account taken over in the middle of its life: what it holds of each asset, and its resting orders that reduce."""

    balances: Mapping[str, Decimal]
    resting: Sequence[Intent]


class _CarriedBooks(Books):
    """Books in memory that begin with an account taken over."""

    def __init__(self, carried: Carried, at_us: int) -> None:
        super().__init__(None)
        self._begun = State(line=1, mark_us=at_us, tick_us=at_us, opened_us=at_us)
        self._begun.balances, self._begun.opening = dict(carried.balances), dict(carried.balances)
        for number, intent in enumerate(carried.resting, start=1):
            assert intent.txid is not None and intent.leg.reducing
            self._begun.orders[intent.txid] = _resting(intent, intent.txid, number)
        self._begun.counters["order"] = len(carried.resting)

    def load(self, state: Kept) -> bool:
        state.apply(self._begun.dump())
        return True


def _resting(intent: Intent, txid: str, number: int) -> TwinOrder:
    return TwinOrder(
        txid=txid, number=number, pair=intent.pair, side=intent.side.value, ordertype=intent.order_type.value, volume=intent.quantity,
        opened_us=intent.created_us, changed_us=intent.created_us, price=intent.limit_price, trigger=intent.trigger_price,
        cl_ord_id=intent.cl_ord_id, executed=intent.filled, held=intent.remaining, oflags=("fciq",), ours=True,
    )  # fmt: skip


def too_late(deadline_us: int | None, now_us: int) -> Rejected | None:
    """Why an order is not sent: its deadline has as good as passed."""
    if deadline_us is None or deadline_us - now_us >= HURRY_US:
        return None
    return Rejected(kind="later", message=f"not sent: the deadline {deadline_us} has passed or is too near at {now_us}")


class Venue:
    """The engine with its market: `run_market` moves the prices, `watchers` are told of every tick.

    `state_dir` holds the books (None: memory only); `carried`: begin with this account instead of `starting_cash`, in memory;
    `tag`: the installation whose orders count as ours; one currency.
    """

    def __init__(
        self, market: Market, clock: Clock, *, seed: int, tag: str, starting_cash: Decimal, state_dir: Path | None = None,
        fills: FillRules | None = None, carried: Carried | None = None,
    ) -> None:  # fmt: skip
        self.market, self.clock, self.watchers = market, clock, list[Seen]()
        self._books = Books(state_dir) if carried is None else _CarriedBooks(carried, clock.now_us())
        self.engine = engine_of(
            market, cash=starting_cash, fills=fills or FillRules(), books=self._books, seed=seed, tag=tag, start_us=clock.now_us()
        )
        self.view = MarketView(market, self.engine, seed)

    async def run_market(self, until_us: int | None = None) -> None:
        """Work off the ticks of the market, each at its time; returns after `until_us` (None: never)."""
        await run_ticks(self.market, self.engine, self.clock, self._seen, until_us, turn=self._turned)

    def _turned(self, tick: Tick, row: Row) -> Tick:
        """The tick as this venue shows it."""
        return tick

    async def _seen(self, open_us: int, tick: Tick, row: Row) -> None:
        for watcher in tuple(self.watchers):
            await watcher(open_us, tick, row)

    def close(self) -> None:
        """Close the books."""
        self._books.close()


class Engined(Protocol):
    """An engine with its clock, and books to close."""

    engine: TwinExchange
    clock: Clock

    def close(self) -> None: ...


class VenueExchange:
    """The order side. Calls return at once; each lets other tasks run first, as a call over the wire does."""

    def __init__(self, venue: Engined) -> None:
        self._venue, self._engine, self._clock = venue, venue.engine, venue.clock

    # --- the venue ------------------------------------------------------------------------------------------------------
    async def instruments(self) -> Mapping[str, Instrument]:
        await asyncio.sleep(0)
        return {rules.symbol: instrument(rules) for rules in self._engine.rules}

    async def server_time(self) -> int:
        """The clock itself, in microseconds."""
        return self._clock.now_us()

    async def system_status(self) -> str:
        """online, unless somebody closed the engine."""
        return self._engine.system_status

    async def fee_rates(self) -> tuple[Decimal, Decimal]:
        return self._engine.fills.taker, self._engine.fills.maker

    # --- orders ---------------------------------------------------------------------------------------------------------
    async def submit(self, intent: Intent) -> Answer:
        """Place at once; a refusal carries the engine's words, of which none is ambiguous here."""
        if intent.misshapen is not None:
            return Rejected(kind="bug", message=f"not sent: {intent.misshapen}")
        return await self._answer(intent.deadline_us, lambda now_us: self._engine.place(order_request(intent), now_us).txid)

    async def amend(self, txid: str, *, pair: str, quantity: Decimal | None, trigger_price: Decimal | None, deadline_us: int) -> Answer:
        if quantity is None and trigger_price is None:
            return Rejected(kind="bug", message="not sent: an amend changes the quantity, the trigger or both")

        def change(now_us: int) -> str:
            self._engine.amend(self._engine.find(Target(txid=txid), now_us), now_us, Amendment(volume=quantity, trigger=trigger_price))
            return txid

        return await self._answer(deadline_us, change)

    async def cancel(self, txid: str) -> Answer:
        """End a live order; `gone` where it is not."""

        def end(now_us: int) -> str:
            self._engine.cancel(self._engine.find(Target(txid=txid), now_us), now_us)
            return txid

        return await self._answer(None, end)

    async def _answer(self, deadline_us: int | None, act: Callable[[int], str]) -> Answer:
        await asyncio.sleep(0)
        now_us = self._clock.now_us()
        if (late := too_late(deadline_us, now_us)) is not None:
            return late
        try:
            return Acked(txid=act(now_us))
        except Refused as refusal:
            return rejected(refusal.error)

    # --- reads ----------------------------------------------------------------------------------------------------------
    async def open_orders(self) -> Sequence[RemoteOrder]:
        self._engine.elapse(self._clock.now_us())
        return sorted(map(remote_order, self._engine.open_orders()), key=lambda order: (order.opened_us, order.txid))

    async def closed_orders(self, since_us: int) -> Sequence[RemoteOrder]:
        orders = [remote_order(order) for order in self._engine.state.orders.values() if not order.live]
        wanted = [order for order in orders if max(order.opened_us, order.closed_us or 0) > since_us]
        return sorted(wanted, key=lambda order: (order.closed_us or order.opened_us, order.txid))

    async def orders(self, txids: Sequence[str]) -> Sequence[RemoteOrder]:
        """Orders by id; unknown ids are absent from the answer."""
        known = self._engine.state.orders
        return [remote_order(known[txid]) for txid in dict.fromkeys(txids) if txid in known]

    async def fills(self, since_us: int) -> Sequence[Fill]:
        fills = [fill_of(trade) for trade in self._engine.state.trades.values() if trade.time_us > since_us]
        return sorted(fills, key=lambda fill: (fill.time_us, fill.trade_id))

    async def balances(self) -> Mapping[str, Balance]:
        amounts = self._engine.state.balances
        return {asset: Balance(asset=asset, total=amounts[asset], held=self._engine.held(asset)) for asset in sorted(amounts)}

    async def funding(self, since_us: int) -> Sequence[FundingPayment]:
        return ()

    async def close(self) -> None:
        self._venue.close()


# --- domain values of the engine's -----------------------------------------------------------------------------------------
def instrument(rules: PairRules) -> Instrument:
    """The trading rules of a pair."""
    return Instrument(
        pair=rules.symbol, base=rules.base, quote=rules.quote, tick=rules.tick, lot=rules.lot, order_min=rules.ordermin,
        cost_min=rules.costmin, quote_step=quantum(rules.cost_decimals), status=rules.status,
    )  # fmt: skip


def order_request(intent: Intent) -> OrderRequest:
    """What AddOrder would have said; the fee is taken in quote, as the adapter asks for."""
    close = None if intent.close_trigger is None else Close(ordertype=STOP_LOSS, trigger=intent.close_trigger)
    return OrderRequest(
        pair=intent.pair, side=intent.side.value, ordertype=intent.order_type.value, volume=intent.quantity,
        price=intent.limit_price if intent.order_type is OrderType.LIMIT else None,
        trigger=intent.trigger_price if intent.order_type is OrderType.STOP_LOSS else None,
        timeinforce="IOC" if intent.immediate else "GTC", oflags=("fciq",), cl_ord_id=intent.cl_ord_id,
        close=close, deadline_us=intent.deadline_us,
    )  # fmt: skip


def remote_order(order: TwinOrder, status: ExchangeStatus | None = None) -> RemoteOrder:
    """An order of the books as a reader of the venue sees it."""
    return RemoteOrder(
        txid=order.txid, cl_ord_id=order.cl_ord_id, refid=order.refid, pair=order.pair, side=Side(order.side), order_type=order.ordertype,
        status=status or ExchangeStatus(order.status), quantity=order.volume, filled=order.executed, limit_price=order.price,
        trigger_price=order.trigger, opened_us=order.opened_us, closed_us=order.closed_us or None, reason=order.reason,
    )  # fmt: skip


def fill_of(trade: TwinTrade) -> Fill:
    """A trade of the books."""
    return Fill(
        trade_id=trade.trade_id, txid=trade.txid, pair=trade.pair, side=Side(trade.side), price=trade.price, quantity=trade.quantity,
        cost=trade.cost, fee=trade.fee, time_us=trade.time_us, maker=trade.maker,
    )  # fmt: skip
