"""Kraken futures as `ports.Exchange`: perpetuals, raw endpoints, exact Decimals, each order's bytes leave at most once.

What differs from spot:
- An intent with leg ENTRY opens or grows a position, and a SELL entry is a short. Every other leg is sent reduce-only, so it
  never opens the other side: the venue cuts it to the position, or refuses it (kind `style`).
- No stop rides on an entry: `close_trigger` is refused (kind `bug`); the stop is an order of its own after the fill. Stops watch
  the mark price unless `trigger_signal` says otherwise, and become market orders with the venue's 1 % price protection.
- Nothing is bought: coins do not appear in `balances`, positions do in `positions`. `USD` is the multi-collateral account, with
  `total` the cash and `held` the initial margin of open positions; profit that is not realised is in neither. Money of a
  single-collateral or cash account is named with it: `BTC@fi_xbtusd`, `USD@cash`.
- Linear contracts (`BTC/USD:USD`) count base coins and USD; inverse ones (`BTC/USD:BTC`) count USD contracts, and cost and fee
  of their fills are base coins.
- Fees: no futures endpoint tells the account's rates (the schedules there are stale since 2026-06-22), so `fee_rates` answers
  only from the source it was given. The fees of fills are the venue's own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from trader.domain.futures import FundingPayment
from trader.domain.market import Instrument
from trader.domain.money import plain
from trader.domain.orders import Acked, Ambiguous, Answer, Balance, Fill, Intent, OrderType, Rejected, RemoteOrder
from trader.errors import RejectedError, RetryableError
from trader.kraken import futures_rest as rest
from trader.kraken import futures_translate, translate
from trader.kraken.futures_history import FuturesHistory
from trader.kraken.futures_rest import FuturesLimiter, FuturesRest
from trader.kraken.futures_translate import FundingRate, FuturesPosition
from trader.kraken.futures_transport import Endpoint, FuturesTransport
from trader.kraken.instruments import refusal_of
from trader.kraken.outcomes import Class
from trader.kraken.sending import CANCEL_PATIENCE_S, amend_refused, left_s, must_be_timely, named, not_on_rules, unknown_rules
from trader.kraken.venue_clock import VenueClock
from trader.ports import Clock, Rng

FeeSource = Callable[[], Awaitable[tuple[Decimal, Decimal]]]
FILLS_PAGE = 100
MILLI = 1000  # microseconds: what futures stamps are exact to
MOST_PAGES = 400  # 40,000 fills: more means the paging does not end
SIGNALS = ("mark", "index", "last")
_DONE = {rest.SEND: ("sendStatus", "placed"), rest.EDIT: ("editStatus", "edited"), rest.CANCEL: ("cancelStatus", "cancelled")}


class KrakenFuturesExchange:
    """The order side of one futures account. Give market data the same `limiter`.

    `fees` answers (taker, maker) of the account, e.g. from the spot side's TradeVolume; `trigger_signal`: mark, index or last.
    """

    def __init__(
        self, client: FuturesTransport, clock: Clock, *, rng: Rng | None = None, limiter: FuturesLimiter | None = None,
        fees: FeeSource | None = None, trigger_signal: str = "mark",
    ) -> None:  # fmt: skip
        if trigger_signal not in SIGNALS:
            raise ValueError(f"trigger_signal {trigger_signal!r} must be one of {', '.join(SIGNALS)}")
        self._rest, self._fees, self._signal = FuturesRest(client, clock, rng=rng, limiter=limiter), fees, trigger_signal
        self._history, self._venue_clock = FuturesHistory(self._rest), VenueClock(clock)

    # --- the venue ------------------------------------------------------------------------------------------------------
    async def instruments(self) -> Mapping[str, Instrument]:
        """Perpetuals only, by pair."""
        return (await self._rest.load()).instruments

    async def server_time(self) -> int:
        """Microseconds, from the stamp of an answer (milliseconds). Deadlines count by it from now on."""
        asking = self._rest.read(rest.TICKERS, read=lambda body: translate.stamp_us(body["serverTime"], "serverTime"))
        return await self._venue_clock.told(asking, exact_us=MILLI)

    async def system_status(self) -> str:
        """online while any perpetual is tradeable, else maintenance; futures have no status endpoint of their own."""
        rules = (await self._rest.load()).instruments.values()
        return "online" if any(rule.status != "maintenance" for rule in rules) else "maintenance"

    async def fee_rates(self) -> tuple[Decimal, Decimal]:
        """From the source given. Raises RejectedError without one: no futures endpoint knows the account's rates."""
        if self._fees is None:
            raise RejectedError("Kraken futures do not tell the account's fee rates; give the adapter a source (spot TradeVolume)")
        return await self._fees()

    # --- orders ---------------------------------------------------------------------------------------------------------
    async def submit(self, intent: Intent) -> Answer:
        """sendorder, once. Rules are checked before a byte leaves; anything but `placed` or a known refusal is Ambiguous."""
        symbol = await named(self._rest.symbol(intent.pair))
        if isinstance(symbol, Rejected):
            return symbol
        refusal = await self._rest.refused(intent.pair, lambda rules: _refusal(intent, rules), reducing=intent.leg.reducing)
        if refusal is not None:
            return refusal
        answer = await self._order(
            rest.SEND, lambda: send_order(intent, symbol, self._deadline(intent.deadline_us), self._signal),
            reducing=intent.leg.reducing, patience_s=self._left_s(intent.deadline_us),
        )  # fmt: skip
        return await self._venue_clock.heed(answer, self.server_time)

    async def amend(self, txid: str, *, pair: str, quantity: Decimal | None, trigger_price: Decimal | None, deadline_us: int) -> Answer:
        """editorder in place: same id; values are absolute, so repeating it is harmless."""
        refusal = await self._rest.refused(pair, lambda rules: amend_refused(rules, quantity, trigger_price), reducing=True)
        if refusal is not None:
            return refusal

        def build() -> dict[str, str]:
            fields = {"orderId": txid, "processBefore": self._deadline(deadline_us)}
            if quantity is not None:
                fields["size"] = plain(quantity)
            if trigger_price is not None:
                fields["stopPrice"] = plain(trigger_price)
            return fields

        answer = await self._order(rest.EDIT, build, reducing=True, patience_s=self._left_s(deadline_us), txid=txid)
        return await self._venue_clock.heed(answer, self.server_time)

    async def cancel(self, txid: str) -> Answer:
        """cancelorder. `gone`: look in closed orders and fills before concluding anything."""
        return await self._order(rest.CANCEL, lambda: {"order_id": txid}, reducing=True, patience_s=CANCEL_PATIENCE_S, txid=txid)

    # --- reads ----------------------------------------------------------------------------------------------------------
    async def open_orders(self) -> Sequence[RemoteOrder]:
        names = await self._rest.named()

        def read(body: Any) -> list[RemoteOrder]:
            return [futures_translate.open_order(row, names.pair) for row in body["openOrders"]]

        return sorted(await self._rest.read(rest.OPEN_ORDERS, read=read), key=lambda order: (order.opened_us, order.txid))

    async def closed_orders(self, since_us: int) -> Sequence[RemoteOrder]:
        """Orders that ended, from the event history; one that was refused never was an order."""
        return await self._history.closed(since_us)

    async def orders(self, txids: Sequence[str]) -> Sequence[RemoteOrder]:
        """Orders by id; ids Kraken does not know are absent from the answer."""
        return await self._history.orders(txids)

    async def fills(self, since_us: int) -> Sequence[Fill]:
        """All pages, oldest first. A page ends at a time, so the next one begins a millisecond later and repeats its edge."""
        names = await self._rest.named()
        rows: dict[str, Fill] = {}
        endpoint, params = rest.FILLS, dict[str, str]()
        for _ in range(MOST_PAGES):
            page = await self._rest.read(
                endpoint, params, read=lambda body: [futures_translate.fill(row, names.pair) for row in body["fills"]]
            )
            fresh = [fill for fill in page if fill.trade_id not in rows]
            rows |= {fill.trade_id: fill for fill in fresh}
            if not fresh and len(page) >= FILLS_PAGE:
                raise RetryableError(f"fills: more than a page of {FILLS_PAGE} in one millisecond; older ones cannot be reached")
            if not fresh or min(fill.time_us for fill in page) <= since_us:
                break
            endpoint, params = rest.FILLS_SINCE, {"lastFillTime": translate.rfc3339(min(fill.time_us for fill in page) + 1000)}
        else:
            raise RetryableError(f"fills: still more rows after {MOST_PAGES} pages")
        return sorted((fill for fill in rows.values() if fill.time_us > since_us), key=lambda fill: (fill.time_us, fill.trade_id))

    async def balances(self) -> Mapping[str, Balance]:
        """By asset; the module's text says what they mean."""
        return await self._rest.read(rest.ACCOUNTS, read=lambda body: futures_translate.balances(body["accounts"]))

    async def positions(self) -> Sequence[FuturesPosition]:
        """Open positions by pair."""
        names = await self._rest.named()

        def read(body: Any) -> list[FuturesPosition]:
            return [futures_translate.position(row, names.pair) for row in body["openPositions"]]

        return sorted(await self._rest.read(rest.POSITIONS, read=read), key=lambda position: position.pair)

    async def leverages(self) -> Mapping[str, Decimal]:
        """Pairs with a leverage preference, hence isolated margin; all others share the account's (cross)."""
        names = await self._rest.named()

        def read(body: Any) -> dict[str, Decimal]:
            return {names.pair(row["symbol"]): translate.decimal(row["maxLeverage"], "maxLeverage") for row in body["leveragePreferences"]}

        return await self._rest.read(rest.LEVERAGE, read=read)

    async def set_leverage(self, pair: str, leverage: Decimal | None) -> None:
        """Set the most leverage of a pair (isolated margin), None for cross margin; repeating it is harmless."""
        params = {"symbol": await self._rest.symbol(pair)}
        if leverage is not None:
            params["maxLeverage"] = plain(leverage)
        await self._rest.read(rest.SET_LEVERAGE, params, read=lambda _: None)

    async def funding_rates(self, pair: str) -> Sequence[FundingRate]:
        """Hourly funding rates the venue remembers, oldest first."""
        symbol = await self._rest.symbol(pair)

        def read(body: Any) -> list[FundingRate]:
            return [futures_translate.funding_rate(row, pair) for row in body["rates"]]

        return sorted(await self._rest.read(rest.FUNDING, {"symbol": symbol}, read=read), key=lambda rate: rate.time_us)

    async def funding(self, since_us: int) -> Sequence[FundingPayment]:
        """What positions paid or received, oldest first; times are the venue's milliseconds."""
        return await self._history.funding(since_us)

    async def close(self) -> None:
        await self._rest.transport.close()

    # --- helpers --------------------------------------------------------------------------------------------------------
    async def _order(
        self, endpoint: Endpoint, build: Callable[[], Mapping[str, Any]], *, reducing: bool, patience_s: float, txid: str | None = None
    ) -> Answer:
        body = await self._rest.order(endpoint, build, reducing=reducing, patience_s=patience_s)
        if isinstance(body, Rejected | Ambiguous):
            return body
        part, done = _DONE[endpoint]
        try:
            status = translate.mapping(body.get(part), part)
            word = translate.text(status.get("status"), f"{part}.status")
            if word == done:
                return Acked(txid=txid or translate.text(status.get("order_id"), "order_id"))
        except ValueError as error:
            return Ambiguous(message=f"malformed answer: {error}")
        return self._rest.refusal(endpoint, (word,))  # a word nobody knows proves nothing

    def _left_s(self, deadline_us: int) -> float:
        return left_s(deadline_us, self._rest.clock.now_us())

    def _deadline(self, deadline_us: int) -> str:
        """`processBefore`, in the venue's time. Raises NotSent for a deadline that has as good as passed."""
        must_be_timely(deadline_us, self._rest.clock.now_us())
        return translate.rfc3339(deadline_us + self._venue_clock.offset_us)


def send_order(intent: Intent, symbol: str, deadline: str, signal: str) -> dict[str, str]:
    """The fields of sendorder; every number as a plain decimal string."""
    kinds = {OrderType.MARKET: "mkt", OrderType.LIMIT: "ioc" if intent.immediate else "lmt", OrderType.STOP_LOSS: "stp"}
    fields = {
        "symbol": symbol, "side": intent.side.value, "orderType": kinds[intent.order_type], "size": plain(intent.quantity),
        "cliOrdId": intent.cl_ord_id, "processBefore": deadline,
    }  # fmt: skip
    if intent.order_type is OrderType.LIMIT and intent.limit_price is not None:
        fields["limitPrice"] = plain(intent.limit_price)
    if intent.order_type is OrderType.STOP_LOSS and intent.trigger_price is not None:
        fields |= {"stopPrice": plain(intent.trigger_price), "triggerSignal": signal}
    if intent.leg.reducing:
        fields["reduceOnly"] = "true"
    return fields


def _refusal(intent: Intent, rules: Instrument | None) -> Rejected | None:
    """Our own last check: what futures cannot do, shape, lot and tick."""
    if intent.misshapen is not None:
        return Rejected(kind=Class.BUG, message=f"not sent: {intent.misshapen}")
    if intent.close_trigger is not None:
        return Rejected(kind=Class.BUG, message="not sent: no stop rides on a futures order; place it after the fill")
    if rules is None:
        return unknown_rules(intent.pair)
    price = intent.limit_price if intent.order_type is OrderType.LIMIT else intent.trigger_price
    message = refusal_of(rules, intent.quantity, None if intent.order_type is OrderType.MARKET else price)
    return None if message is None else not_on_rules(message)
