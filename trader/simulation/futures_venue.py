"""`ports.Exchange` straight on the futures engine: no HTTP, no signature, no latency; for replays of sessions that go short.

Linear perpetuals over the candles of any market (`futures.perpetuals`). Orders, netting, margin, liquidation and funding are the
engine's; what a wire can do to an answer is missing, so nothing is ever Ambiguous.

Candle files know neither mark nor index: stops watch the last price here (the adapter over the wire: the mark), and funding accrues
in whole bars of 15 minutes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np

from trader.domain.futures import FundingPayment
from trader.domain.market import Instrument, Timeframe
from trader.domain.money import ZERO, quantum
from trader.domain.orders import Acked, Answer, Balance, ExchangeStatus, Fill, Intent, OrderType, Rejected, RemoteOrder, Side
from trader.ports import Clock
from trader.simulation.drive import prices_at
from trader.simulation.exchange_books import Books
from trader.simulation.exchange_orders import Refused
from trader.simulation.fills import FillRules, Tick
from trader.simulation.futures.account import FuturesCosts
from trader.simulation.futures.contracts import FLEX, Contract
from trader.simulation.futures.engine import FuturesExchange
from trader.simulation.futures.orders import FILLED, IOC, LIVE, LMT, MKT, POST, STP, FuturesOrder, FuturesRequest, Unplaced
from trader.simulation.futures.orders import Fill as EngineFill
from trader.simulation.futures.perpetuals import QUOTE, PerpetualMarket
from trader.simulation.market import Market, Row
from trader.simulation.venue import Venue, too_late

STATUS = {LIVE: ExchangeStatus.OPEN, FILLED: ExchangeStatus.CLOSED}
TYPES = {LMT: "limit", POST: "limit", IOC: "limit", MKT: "market", STP: "stop-loss"}
KINDS = {
    "insufficientAvailableFunds": "funds", "invalidSize": "size", "invalidPrice": "size", "postWouldExecute": "style",
    "iocWouldNotExecute": "style", "wouldNotReducePosition": "style", "maxPositionViolation": "limits", "marketSuspended": "pair",
    "contractNotFound": "pair", "notFound": "gone", "filled": "gone", "orderForEditNotFound": "gone", "unavailable": "later",
}  # fmt: skip
"""Refusals of the engine as kinds of `Rejected`; the adapter has a table of its own for the same words."""


class FuturesVenue(Venue):
    """The futures engine beside an idle spot engine that shows the market. Every contract has isolated margin at `leverage`.

    A bar is walked to the side that hurts first: contracts held short see its high before its low (SPEC section 5).
    """

    def __init__(
        self, market: Market, clock: Clock, *, seed: int, tag: str, starting_cash: Decimal, leverage: Decimal = Decimal(1),
        costs: FuturesCosts | None = None, fills: FillRules | None = None,
    ) -> None:  # fmt: skip
        shown = PerpetualMarket(market)
        rules = fills or FillRules()
        super().__init__(shown, clock, seed=seed, tag=tag, starting_cash=starting_cash, fills=rules)
        self.futures = FuturesExchange(
            shown.contracts(), cash={FLEX: {"usd": starting_cash}}, fills=rules, books=Books(None), seed=seed, start_us=clock.now_us(),
            price_at=shown.last_price, costs=costs, accrual_us=Timeframe.M15.us,
        )  # fmt: skip
        self.futures.set_prices(prices_at(shown, self.futures.state.tick_us))
        for symbol in self.futures.contracts:
            self.futures.prefer_leverage(symbol, leverage, clock.now_us())
        self.by_pair = shown.by_pair

    def _turned(self, tick: Tick, row: Row) -> Tick:
        """The same tick with the high before the low where a short is held."""
        if tick.part not in (2, 3):
            return tick
        short = [self.futures.contracts[held.symbol].index for held in self.futures.positions() if held.size < ZERO]
        if not short:
            return tick
        prices = np.array(tick.prices)
        prices[short] = (row.high if tick.part == 2 else row.low)[short]
        return replace(tick, prices=prices)

    async def _seen(self, open_us: int, tick: Tick, row: Row) -> None:
        self.futures.advance(tick)
        await super()._seen(open_us, tick, row)


class FuturesVenueExchange:
    """The order side. Calls return at once; each lets other tasks run first, as a call over the wire does."""

    def __init__(self, venue: FuturesVenue) -> None:
        self._venue, self._engine, self._clock = venue, venue.futures, venue.clock

    # --- the venue ------------------------------------------------------------------------------------------------------
    async def instruments(self) -> Mapping[str, Instrument]:
        await asyncio.sleep(0)
        return {contract.pair: instrument_of(contract) for contract in self._engine.contracts.values()}

    async def server_time(self) -> int:
        """The clock itself, in microseconds."""
        return self._clock.now_us()

    async def system_status(self) -> str:
        """Nobody closes this venue."""
        return "online"

    async def fee_rates(self) -> tuple[Decimal, Decimal]:
        return self._engine.costs.taker, self._engine.costs.maker

    # --- orders ---------------------------------------------------------------------------------------------------------
    async def submit(self, intent: Intent) -> Answer:
        """Place at once; every leg but ENTRY is reduce-only, so it can never open the other side."""
        if intent.misshapen is not None:
            return Rejected(kind="bug", message=f"not sent: {intent.misshapen}")
        if intent.close_trigger is not None:
            return Rejected(kind="bug", message="not sent: no stop rides on a futures order; place it after the fill")
        contract = self._venue.by_pair.get(intent.pair)
        if contract is None:
            return Rejected(kind="pair", message=f"pair {intent.pair!r} is not among the {len(self._venue.by_pair)} perpetuals listed")
        request = request_of(intent, contract)
        return await self._answer(intent.deadline_us, lambda now_us: self._engine.place(request, now_us)[0].order_id)

    async def amend(self, txid: str, *, pair: str, quantity: Decimal | None, trigger_price: Decimal | None, deadline_us: int) -> Answer:
        """Change a live order in place; the engine knows its pair."""
        if quantity is None and trigger_price is None:
            return Rejected(kind="bug", message="not sent: an amend changes the quantity, the trigger or both")
        order = self._engine.find(order_id=txid)

        def change(now_us: int) -> str:
            self._engine.edit(order, now_us, size=quantity, limit_price=None, stop_price=trigger_price)
            return txid

        return await self._answer(deadline_us, change)

    async def cancel(self, txid: str) -> Answer:
        """End a live order; `gone` where it is not."""

        def end(now_us: int) -> str:
            self._engine.cancel(self._engine.find(order_id=txid), now_us)
            return txid

        return await self._answer(None, end)

    async def _answer(self, deadline_us: int | None, act: Callable[[int], str]) -> Answer:
        await asyncio.sleep(0)
        now_us = self._clock.now_us()
        if (late := too_late(deadline_us, now_us)) is not None:
            return late
        try:
            return Acked(txid=act(now_us))
        except (Refused, Unplaced) as refusal:
            return Rejected(kind=KINDS.get(str(refusal), "bug"), message=str(refusal))

    # --- reads ----------------------------------------------------------------------------------------------------------
    async def open_orders(self) -> Sequence[RemoteOrder]:
        return sorted(map(self.remote, self._engine.open_orders()), key=lambda order: (order.opened_us, order.txid))

    async def closed_orders(self, since_us: int) -> Sequence[RemoteOrder]:
        orders = [self.remote(order) for order in self._engine.state.orders.values() if not order.live and order.updated_us > since_us]
        return sorted(orders, key=lambda order: (order.closed_us or order.opened_us, order.txid))

    async def orders(self, txids: Sequence[str]) -> Sequence[RemoteOrder]:
        """Orders by id; unknown ids are absent from the answer."""
        found = [self._engine.find(order_id=txid) for txid in dict.fromkeys(txids)]
        return [self.remote(order) for order in found if order is not None]

    async def fills(self, since_us: int) -> Sequence[Fill]:
        fills = [self.fill(fill) for fill in self._engine.state.fills.values() if fill.time_us > since_us]
        return sorted(fills, key=lambda fill: (fill.time_us, fill.trade_id))

    async def balances(self) -> Mapping[str, Balance]:
        """Cash of the margin account; held: the initial margin of positions and orders."""
        total = self._engine.balance(FLEX)
        return {QUOTE: Balance(asset=QUOTE, total=total, held=self._engine.standing(FLEX).with_orders)}

    async def funding(self, since_us: int) -> Sequence[FundingPayment]:
        """What positions paid or received, on the hour or with a trade."""
        return [
            FundingPayment(pair=self._engine.contracts[line.contract].pair, asset=QUOTE, amount=line.realized_funding, time_us=line.time_us)
            for line in self._engine.state.logs
            if line.time_us > since_us and line.contract is not None and line.realized_funding
        ]

    async def close(self) -> None:
        self._venue.close()

    # --- domain values of the engine's ------------------------------------------------------------------------------------
    def remote(self, order: FuturesOrder) -> RemoteOrder:
        """An order of the books as a reader of the venue sees it."""
        return RemoteOrder(
            txid=order.order_id, cl_ord_id=order.cli_ord_id, refid=None, pair=self._engine.contracts[order.symbol].pair,
            side=Side(order.side), order_type=TYPES.get(order.order_type, order.order_type),
            status=STATUS.get(order.status, ExchangeStatus.CANCELED), quantity=order.size, filled=order.filled,
            limit_price=order.limit_price, trigger_price=order.stop_price, opened_us=order.received_us,
            closed_us=None if order.live else order.updated_us, reason=order.reason,
        )  # fmt: skip

    def fill(self, fill: EngineFill) -> Fill:
        """A trade of the books."""
        contract = self._engine.contracts[fill.symbol]
        return Fill(
            trade_id=fill.fill_id, txid=fill.order_id, pair=contract.pair, side=Side(fill.side), price=fill.price, quantity=fill.size,
            cost=contract.value(fill.size, fill.price), fee=fill.fee, time_us=fill.time_us, maker=fill.fill_type == "maker",
        )  # fmt: skip


def instrument_of(contract: Contract) -> Instrument:
    """The trading rules of a contract; the venue names no minimum: it is one lot."""
    return Instrument(
        pair=contract.pair, base=contract.base, quote=QUOTE, tick=contract.tick, lot=contract.lot, order_min=contract.lot, cost_min=ZERO,
        quote_step=quantum(10),
    )  # fmt: skip


def request_of(intent: Intent, contract: Contract) -> FuturesRequest:
    """What sendorder would have said."""
    kinds = {OrderType.MARKET: MKT, OrderType.LIMIT: IOC if intent.immediate else LMT, OrderType.STOP_LOSS: STP}
    return FuturesRequest(
        symbol=contract.symbol, side=intent.side.value, order_type=kinds[intent.order_type], size=intent.quantity,
        limit_price=intent.limit_price if intent.order_type is OrderType.LIMIT else None,
        stop_price=intent.trigger_price if intent.order_type is OrderType.STOP_LOSS else None, reduce_only=intent.leg.reducing,
        cli_ord_id=intent.cl_ord_id,
    )  # fmt: skip
