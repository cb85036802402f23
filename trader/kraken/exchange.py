"""Kraken spot as `ports.Exchange`: raw endpoints, exact Decimals, each order's bytes leave at most once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from trader.domain.futures import FundingPayment
from trader.domain.market import SECOND, Instrument
from trader.domain.money import plain
from trader.domain.orders import Acked, Ambiguous, Answer, Balance, Fill, Intent, OrderType, Rejected, RemoteOrder
from trader.kraken import translate
from trader.kraken.api import AccountApi
from trader.kraken.instruments import refusal_of
from trader.kraken.limits import Limiter
from trader.kraken.outcomes import Class
from trader.kraken.pages import orders_of, pages, read_fills, read_orders
from trader.kraken.rest import Rest
from trader.kraken.sending import CANCEL_PATIENCE_S, amend_refused, left_s, must_be_timely, named, not_on_rules, unknown_rules
from trader.kraken.tariff import Kind
from trader.kraken.transport import Transport
from trader.kraken.venue_clock import VenueClock
from trader.ports import Clock, Rng

NEAREST_US, FARTHEST_US = 2 * SECOND, 60 * SECOND  # deadlines REST accepts, from now


class KrakenExchange:
    """The order side of one account. Give market data the same `limiter`: the venue counts both together.

    `rng` jitters the pauses of repeated reads; `fee_pair` names the pair whose fee tier is asked, None: the first one listed.
    """

    def __init__(
        self, client: Transport, clock: Clock, *, rng: Rng | None = None, limiter: Limiter | None = None, fee_pair: str | None = None
    ) -> None:
        self._rest = Rest(client, clock, rng=rng, limiter=limiter)
        self._fee_pair, self._venue_clock = fee_pair, VenueClock(clock)
        self.account = AccountApi(self._rest)

    # --- the venue ------------------------------------------------------------------------------------------------------
    async def instruments(self) -> Mapping[str, Instrument]:
        return await self._rest.load()

    async def server_time(self) -> int:
        """Microseconds; Kraken names whole seconds, so this is the middle of the one it named. Deadlines count by it from now on."""
        asking = self._rest.public("Time", read=lambda result: translate.seconds_us(result["unixtime"], "unixtime") + SECOND // 2)
        return await self._venue_clock.told(asking, exact_us=SECOND // 2)

    async def system_status(self) -> str:
        """online, maintenance, cancel_only or post_only."""
        return await self._rest.public("SystemStatus", read=lambda result: translate.text(result["status"], "status"))

    async def fee_rates(self) -> tuple[Decimal, Decimal]:
        names = await self._rest.named()
        tier = await self.account.fee_tier(self._fee_pair or min(names.ids))
        return tier.taker, tier.maker

    # --- orders ---------------------------------------------------------------------------------------------------------
    async def submit(self, intent: Intent) -> Answer:
        """AddOrder, once. Rules are checked before a byte leaves; anything not proved is Ambiguous."""
        reducing = intent.leg.reducing
        pair_id = await named(self._rest.pair_id(intent.pair))
        if isinstance(pair_id, Rejected):
            return pair_id
        refusal = await self._rest.refused(intent.pair, lambda rules: _refusal(intent, rules), reducing=reducing)
        if refusal is not None:
            return refusal
        result = await self._rest.order(
            "AddOrder", lambda: add_order(intent, pair_id, self._deadline(intent.deadline_us)), kind=Kind.ADD, pair=intent.pair,
            reducing=reducing, patience_s=self._left_s(intent.deadline_us),
        )  # fmt: skip
        answer = _read_answer(result, lambda found: str(_only_id(found)))
        if isinstance(answer, Acked):
            self._rest.limiter.saw_order(answer.txid, intent.pair, self._rest.clock.now_us())
        return await self._venue_clock.heed(answer, self.server_time)

    async def amend(self, txid: str, *, pair: str, quantity: Decimal | None, trigger_price: Decimal | None, deadline_us: int) -> Answer:
        """AmendOrder in place: same ids; values are absolute, so repeating it is harmless."""
        refusal = await self._rest.refused(pair, lambda rules: amend_refused(rules, quantity, trigger_price), reducing=True)
        if refusal is not None:
            return refusal

        def build() -> dict[str, str]:
            fields = {"txid": txid, "deadline": self._deadline(deadline_us)}
            if quantity is not None:
                fields["order_qty"] = plain(quantity)
            if trigger_price is not None:
                fields["trigger_price"] = plain(trigger_price)
            return fields

        result = await self._rest.order(
            "AmendOrder", build, kind=Kind.AMEND, pair=pair, txid=txid, reducing=True, patience_s=self._left_s(deadline_us)
        )
        answer = _read_answer(result, lambda found: txid if translate.text(found.get("amend_id"), "amend_id") else "")
        return await self._venue_clock.heed(answer, self.server_time)

    async def cancel(self, txid: str) -> Answer:
        """CancelOrder. `gone`: look in closed orders and trades before concluding anything."""
        result = await self._rest.order(
            "CancelOrder", lambda: {"txid": txid}, kind=Kind.CANCEL, pair=None, txid=txid, reducing=True, patience_s=CANCEL_PATIENCE_S
        )
        return _read_answer(result, lambda found: txid if int(found["count"]) >= 1 else "")

    # --- reads ----------------------------------------------------------------------------------------------------------
    async def open_orders(self) -> Sequence[RemoteOrder]:
        names = await self._rest.named()
        orders = await self._rest.private("OpenOrders", read=lambda result: orders_of(result["open"], names.pair))
        for order in orders:
            self._rest.limiter.saw_order(order.txid, order.pair, order.opened_us)
        return orders

    async def closed_orders(self, since_us: int) -> Sequence[RemoteOrder]:
        names = await self._rest.named()
        rows = await pages(self._rest, "ClosedOrders", "closed", since_us, lambda txid, row: translate.order(txid, row, names.pair))
        return sorted(rows, key=lambda order: (order.closed_us or order.opened_us, order.txid))

    async def orders(self, txids: Sequence[str]) -> Sequence[RemoteOrder]:
        """Orders by id; ids Kraken does not know are absent from the answer."""
        return await read_orders(self._rest, txids)

    async def fills(self, since_us: int) -> Sequence[Fill]:
        return await read_fills(self._rest, since_us)

    async def balances(self) -> Mapping[str, Balance]:
        """By our asset names; `.F`, `.M` and other suffixes are assets of their own."""
        names = await self._rest.named()

        def read(result: Any) -> dict[str, Balance]:
            rows = translate.mapping(result, "BalanceEx")
            return {names.asset(key): translate.balance(names.asset(key), row) for key, row in rows.items()}

        return await self._rest.private("BalanceEx", read=read)

    async def funding(self, since_us: int) -> Sequence[FundingPayment]:
        """Nothing: funding is of futures positions."""
        return ()

    async def close(self) -> None:
        await self._rest.transport.close()

    # --- helpers --------------------------------------------------------------------------------------------------------
    def _left_s(self, deadline_us: int) -> float:
        return left_s(deadline_us, self._rest.clock.now_us())

    def _deadline(self, deadline_us: int) -> str:
        """RFC 3339 of the venue's time, inside the range REST accepts. Raises NotSent for a deadline that has as good as passed."""
        now = self._rest.clock.now_us()
        must_be_timely(deadline_us, now)
        return translate.rfc3339(min(max(deadline_us, now + NEAREST_US), now + FARTHEST_US) + self._venue_clock.offset_us)


def add_order(intent: Intent, pair_id: str, deadline: str) -> dict[str, Any]:
    """The fields of AddOrder; every number as a plain decimal string."""
    price = intent.trigger_price if intent.order_type is OrderType.STOP_LOSS else intent.limit_price
    fields: dict[str, Any] = {
        "pair": pair_id, "type": intent.side.value, "ordertype": intent.order_type.value, "volume": plain(intent.quantity),
        "cl_ord_id": intent.cl_ord_id, "oflags": "fciq", "deadline": deadline,
    }  # fmt: skip
    if intent.order_type is not OrderType.MARKET and price is not None:
        fields["price"] = plain(price)
    if intent.immediate:
        fields["timeinforce"] = "IOC"
    if intent.close_trigger is not None:
        fields["close"] = {"ordertype": OrderType.STOP_LOSS.value, "price": plain(intent.close_trigger)}
    return fields


def _refusal(intent: Intent, rules: Instrument | None) -> Rejected | None:
    """Our own last check of shape, lot, tick and minimums."""
    if intent.misshapen is not None:
        return Rejected(kind=Class.BUG, message=f"not sent: {intent.misshapen}")
    if rules is None:
        return unknown_rules(intent.pair)
    price = {OrderType.LIMIT: intent.limit_price, OrderType.STOP_LOSS: intent.trigger_price, OrderType.MARKET: None}[intent.order_type]
    message = refusal_of(rules, intent.quantity, price)
    if message is None and intent.close_trigger is not None and (intent.close_trigger <= 0 or intent.close_trigger % rules.tick != 0):
        message = f"{rules.pair}: close trigger {intent.close_trigger} is not a positive multiple of the tick {rules.tick}"
    return None if message is None else not_on_rules(message)


def _read_answer(result: Any | Rejected | Ambiguous, read: Callable[[Any], str]) -> Answer:
    """Acked only with a well-formed result; whatever else came is kept as it is or becomes Ambiguous."""
    if isinstance(result, Rejected | Ambiguous):
        return result
    try:
        txid = read(result)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        return Ambiguous(message=f"malformed result: {type(error).__name__}: {error}")
    return Acked(txid=txid) if txid else Ambiguous(message=f"the result proves nothing: {result!r:.120}")


def _only_id(result: Any) -> str:
    txids = result["txid"]
    if not isinstance(txids, list) or len(txids) != 1:
        raise ValueError(f"txid: {txids!r:.80} is not one id")
    return translate.text(txids[0], "txid")
