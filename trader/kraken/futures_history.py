"""Futures orders by id, and those that ended: out of the event history, whose newest event of an order says how it ended.

The venue forgets the status of an ended order after seconds; what it does not tell by status is looked up in the history.
Kraken keeps two lists, orders and triggers; an order whose trigger fired appears in both under one id. Both are read from the
newest event backwards, page by page, so that an event that appears meanwhile moves nothing onto a page already read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from trader.domain.futures import FundingPayment
from trader.domain.orders import ExchangeStatus, RemoteOrder
from trader.errors import RejectedError, RetryableError
from trader.kraken import futures_translate
from trader.kraken.futures_rest import ACCOUNT_LOG, ORDER_EVENTS, STATUS_GET, STATUS_POST, TRIGGER_EVENTS, FuturesRest
from trader.kraken.futures_transport import Endpoint, WrongMethod
from trader.kraken.translate import mapping

IDS_PER_CALL = 20
LOG_PAGE = 500
MOST_PAGES = 90  # of both lists together: a search must fit into the 100 history tokens of ten minutes
OPENED, ENDED = ("OrderPlaced", "OrderUpdated", "OrderEdited"), ("OrderCancelled", "OrderTriggerCancelled")


class FuturesHistory:
    """Reads the event history of one account."""

    def __init__(self, rest: FuturesRest) -> None:
        self._rest = rest
        self._status_by = STATUS_POST

    async def closed(self, since_us: int) -> Sequence[RemoteOrder]:
        """Orders that ended after `since_us`, oldest ending first. Raises RetryableError where the pages do not end."""
        found = await self._newest(since_us, wanted=None)
        closed = [order for order in found.values() if order is not None and not order.status.live]
        return sorted(closed, key=lambda order: (order.closed_us or order.opened_us, order.txid))

    async def orders(self, txids: Sequence[str]) -> Sequence[RemoteOrder]:
        """Orders by id, in the order asked for; unknown ones are absent."""
        wanted = list(dict.fromkeys(txids))
        found: dict[str, RemoteOrder] = {}
        for start in range(0, len(wanted), IDS_PER_CALL):
            found |= await self._statuses(wanted[start : start + IDS_PER_CALL])
        missing = [txid for txid in wanted if txid not in found]
        past = await self._newest(0, wanted=missing) if missing else {}
        found |= {txid: order for txid in missing if (order := past.get(txid)) is not None and not order.status.live}
        return [found[txid] for txid in wanted if txid in found]

    async def funding(self, since_us: int) -> Sequence[FundingPayment]:
        """What positions paid or received after `since_us`, oldest first, from the account log: on the hour, or with a trade."""
        pair = (await self._rest.named()).pair
        found: list[FundingPayment] = []
        first = 0
        for _ in range(MOST_PAGES):
            params = {"sort": "asc", "count": str(LOG_PAGE), "since": str(since_us // 1000), "from": str(first)}
            rows: Sequence[Any] = await self._rest.read(ACCOUNT_LOG, params, read=lambda body: list(body["logs"]))
            made = [futures_translate.funding_payment(row, pair) for row in rows]
            found.extend(payment for payment in made if payment is not None and payment.time_us > since_us)
            if len(rows) < LOG_PAGE:
                return found
            first = int(mapping(rows[-1], "logs")["id"]) + 1
        raise RetryableError(f"account log: still more rows after {MOST_PAGES} pages")

    async def _statuses(self, txids: Sequence[str]) -> dict[str, RemoteOrder]:
        """orders/status by the method the documentation names, or by the one ccxt knows where that is not served."""
        pair = (await self._rest.named()).pair

        def read(body: Any) -> dict[str, RemoteOrder]:
            orders = [futures_translate.status_order(row, pair) for row in body["orders"]]
            return {order.txid: order for order in orders if order is not None}

        try:
            return await self._rest.read(self._status_by, {"orderIds": list(txids)}, read=read)
        except RejectedError as error:
            if not isinstance(error.__cause__, WrongMethod):
                raise
        self._status_by = STATUS_GET if self._status_by is STATUS_POST else STATUS_POST
        return await self._rest.read(self._status_by, {"orderIds": list(txids)}, read=read)

    async def _newest(self, since_us: int, *, wanted: Collection[str] | None) -> dict[str, RemoteOrder | None]:
        """Every order as its newest event leaves it; None for one that was refused. Orders go before triggers."""
        pair = (await self._rest.named()).pair
        found: dict[str, RemoteOrder | None] = {}
        pages = 0
        for endpoint in (ORDER_EVENTS, TRIGGER_EVENTS):
            seen: dict[str, RemoteOrder | None] = {}
            token: str | None = None
            while pages < MOST_PAGES:
                pages += 1
                rows, token = await self._page(endpoint, since_us, token)
                for row in rows:
                    read_event(row, pair, seen)
                if not token or not rows or (wanted is not None and all(txid in seen or txid in found for txid in wanted)):
                    break
            else:
                raise RetryableError(f"history {endpoint.path}: still more events after {MOST_PAGES} pages")
            found = seen | found
        return found

    async def _page(self, endpoint: Endpoint, since_us: int, token: str | None) -> tuple[Sequence[Any], str | None]:
        params: dict[str, Any] = {"sort": "desc"}
        if since_us > 0:
            params["since"] = str(since_us // 1000)
        if token:
            params["continuation_token"] = token

        def read(body: Any) -> tuple[Sequence[Any], str | None]:
            rows = body["elements"]
            if not isinstance(rows, list):
                raise ValueError(f"elements: {rows!r:.80} is not a list")
            return rows, body.get("continuationToken") or None

        return await self._rest.read(endpoint, params, read=read)


def read_event(raw: Any, pair: futures_translate.PairName, seen: dict[str, RemoteOrder | None]) -> None:
    """Add what one event (newest first) tells of an order that no later event spoke of. Raises ValueError for a malformed one."""
    for kind, value in mapping(mapping(raw, "elements").get("event"), "event").items():
        body: Mapping[str, Any] = mapping(value, kind)
        order = body.get("newOrder") or body.get("order") or body.get("newOrderTrigger") or body.get("orderTrigger")
        if order is None:
            continue
        reason = body.get("reason") or None
        status = ExchangeStatus.CANCELED if kind in ENDED else ExchangeStatus.OPEN
        made = futures_translate.history_order(order, pair, status, reason)
        if kind in OPENED and made.filled > 0 and made.filled == made.quantity:
            made = futures_translate.history_order(order, pair, ExchangeStatus.CLOSED, reason)
        seen.setdefault(made.txid, None if kind in ("OrderRejected", "OrderNotFound") else made)
