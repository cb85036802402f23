"""History of the futures API: our order, trigger, execution and position events, the account log, and the market's public events.

Times are milliseconds. Pages are newest first unless `sort=asc`; `continuationToken` leads to the next one.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from trader.domain.money import ZERO, plain
from trader.ports import Clock
from trader.simulation.futures.contracts import CASH
from trader.simulation.futures.engine import FuturesExchange
from trader.simulation.futures.orders import Fill, Happening, LogLine
from trader.simulation.kraken_server.futures import form
from trader.simulation.kraken_server.futures.call import FuturesCall
from trader.simulation.kraken_server.futures.render import currency, history_order, iso_ms, number
from trader.simulation.kraken_server.wire.replies import Reply

PAGE, MOST = 500, 1_000
LOG_MOST = 100_000
Element = dict[str, Any]


class FuturesHistory:
    """Handlers of private history by endpoint."""

    def __init__(self, exchange: FuturesExchange, clock: Clock, uid: str) -> None:
        self._exchange, self._clock, self._uid = exchange, clock, uid
        self.handlers: Mapping[str, Callable[[FuturesCall], Any]] = {
            "orders": lambda call: self._page(call, [*self._order_events()]),
            "triggers": lambda call: self._page(call, [*self._trigger_events()]),
            "executions": lambda call: self._page(call, [self._execution(item) for item in self._of("fill")]),
            "positions": lambda call: self._page(call, [*self._position_events(call.fields)]),
            "account-log": self._log,
            "accountlogcsv": self._log_csv,
        }

    def _page(self, call: FuturesCall, elements: Sequence[Element]) -> dict[str, Any]:
        return page(call.fields, elements) | {"accountUid": self._uid, "serverTime": iso_ms(self._clock.now_us())}

    # --- orders and triggers ---------------------------------------------------------------------------------------
    def _of(self, *kinds: str) -> Iterator[Happening]:
        return (item for item in self._exchange.state.happenings if item.kind in kinds)

    def _order_events(self) -> Iterator[Element]:
        """Events of orders in the book. What fills when it is placed is one event, as Kraken tells it."""
        taken: dict[tuple[str, int], Happening] = {}  # (order, time) -> its last fill as a taker
        for item in self._of("fill"):
            if item.fill is not None and item.fill.fill_type != "maker":
                taken[item.order.order_id, item.time_us] = item
        for item in self._exchange.state.happenings:
            if item.order.waiting:
                continue
            at_once = taken.get((item.order.order_id, item.time_us))
            if item.kind in ("placed", "triggered"):
                order = item.order if at_once is None else at_once.order
                yield self._event(item, "OrderPlaced", self._named(order, item.reason or ""), tradeable=order.symbol)
            elif (item.kind == "edited" and item.before is not None) or (item.kind == "fill" and at_once is not item):
                yield self._event(item, "OrderUpdated", self._updated(item))
            elif item.kind == "cancelled":
                yield self._event(item, "OrderCancelled", self._named(item.order, item.reason or ""))
            elif item.kind == "rejected":
                body = self._named(item.order, item.reason or "")
                yield self._event(item, "OrderRejected", body | {"orderError": item.reason or ""})

    def _trigger_events(self) -> Iterator[Element]:
        names = {"placed": "OrderTriggerPlaced", "triggered": "OrderTriggerActivated", "cancelled": "OrderTriggerCancelled"}
        for item in self._of("placed", "triggered", "cancelled", "edited"):
            if not item.order.waiting and item.kind != "triggered":
                continue
            name = names.get(item.kind, "OrderTriggerUpdated")
            yield self._event(item, name, self._named(item.order, item.reason or ""))

    def _named(self, order: Any, reason: str) -> dict[str, Any]:
        return {"order": history_order(order, self._uid), "reason": reason, "reducedQuantity": "", "algoId": ""}

    def _updated(self, item: Happening) -> dict[str, Any]:
        before = {} if item.before is None else {"oldOrder": history_order(item.before, self._uid)}
        return {**before, "newOrder": history_order(item.order, self._uid), "reason": item.reason or "", "reducedQuantity": ""}

    @staticmethod
    def _event(item: Happening, name: str, body: dict[str, Any], tradeable: str | None = None) -> Element:
        return {"uid": item.uid, "timestamp": item.time_us // 1000, "event": {name: body}, "tradeable": tradeable or item.order.symbol}

    # --- executions and positions ----------------------------------------------------------------------------------
    def _execution(self, item: Happening) -> Element:
        """Our side of a trade is whole, the other one is nobody's."""
        fill = item.fill
        assert fill is not None
        own, maker = history_order(item.order, self._uid), fill.fill_type == "maker"
        other = own | {
            "uid": f"{fill.fill_id[:-4]}0000",
            "direction": "Sell" if fill.side == "buy" else "Buy",
            "accountUid": "",
            "clientId": "",
        }
        data, none = {"fee": plain(fill.fee), "positionSize": plain(fill.new_size)}, {"fee": "0", "positionSize": ""}
        execution = {
            "uid": fill.fill_id,
            "makerOrder": own if maker else other,
            "takerOrder": other if maker else own,
            "makerOrderData": data if maker else none,
            "takerOrderData": none if maker else data,
            **_trade_fields(fill, usd=plain(fill.size if self._exchange.contracts[fill.symbol].inverse else fill.size * fill.price)),
            "limitFilled": fill.remaining == ZERO,
        }
        return self._event(item, "Execution", {"execution": execution, "takerReducedQuantity": ""})

    def _position_events(self, fields: Mapping[str, str]) -> Iterator[Element]:
        """Changes of positions; `closed`, `opened`, `increased`, `decreased`, `reversed` = true choose among them."""
        words = {"closed": "close", "opened": "open", "increased": "increase", "decreased": "decrease", "reversed": "reverse"}
        wanted = [change for name, change in words.items() if form.flag(fields, name)]
        for item in self._of("fill"):
            fill = item.fill
            if fill is None or (wanted and _change(fill) not in wanted):
                continue
            update = {
                "accountUid": self._uid,
                "tradeable": fill.symbol,
                "oldPosition": plain(fill.old_size),
                "oldAverageEntryPrice": plain(fill.old_entry),
                "newPosition": plain(fill.new_size),
                "newAverageEntryPrice": plain(fill.new_entry),
                "fillTime": fill.time_us // 1000,
                "fee": plain(fill.fee),
                "feeCurrency": currency(fill.currency),
                "realizedPnL": plain(fill.realized_pnl),
                "positionChange": _change(fill),
                "executionUid": fill.fill_id,
                "executionPrice": plain(fill.price),
                "executionSize": plain(fill.size),
                "tradeType": "liquidation" if fill.fill_type == "liquidation" else "userExecution",
                "fundingRealizationTime": fill.time_us // 1000,
                "realizedFunding": plain(fill.realized_funding),
                "timestamp": fill.time_us // 1000,
                "updateReason": "trade",
            }
            yield self._event(item, "PositionUpdate", update)

    # --- account log -----------------------------------------------------------------------------------------------
    def _log(self, call: FuturesCall) -> dict[str, Any]:
        """Newest first; `from` and `to` are ids, `since` and `before` milliseconds, `info` the kind of entry."""
        fields = call.fields
        first, last = form.whole(fields, "from", 0), form.whole(fields, "to", 1 << 62)
        since, before = form.whole(fields, "since", 0), form.whole(fields, "before", 1 << 62)
        rows = [
            row
            for line in self._exchange.state.logs
            if since <= line.time_us // 1000 < before and (not fields.get("info") or line.info == fields["info"])
            for row in self.log_rows(line)
            if first <= row["id"] <= last
        ]
        rows = rows if fields.get("sort") == "asc" else rows[::-1]
        return {"accountUid": self._uid, "logs": rows[: form.whole(fields, "count", PAGE, LOG_MOST)]}

    def log_rows(self, line: LogLine) -> list[dict[str, Any]]:
        """A movement of money; that of a trade is followed by its movement of the position."""
        row = {
            "id": 2 * line.number - 1,
            "date": iso_ms(line.time_us),
            "asset": line.asset,
            "info": line.info,
            "booking_uid": line.uid,
            "margin_account": line.account if line.account != CASH else "cash",
            "contract": line.contract.lower() if line.contract else None,
            "old_balance": number(line.old_balance),
            "new_balance": number(line.new_balance),
            "fee": number(line.fee),
            "liquidation_fee": number(line.liquidation_fee),
            "realized_pnl": number(line.realized_pnl),
            "realized_funding": number(line.realized_funding),
            "funding_rate": number(line.funding_rate),
            "mark_price": number(line.mark_price),
            "trade_price": number(line.trade_price),
            "execution": line.execution,
            "old_average_entry_price": None,
            "new_average_entry_price": None,
            "collateral": None,
            "position_uid": None,
            "conversion_spread_percentage": None,
        }
        if line.execution is None:
            return [row]
        fill = self._exchange.state.fills[line.execution]
        leg = row | {
            "id": 2 * line.number,
            "asset": row["contract"],
            "old_balance": number(fill.old_size),
            "new_balance": number(fill.new_size),
            "old_average_entry_price": number(fill.old_entry),
            "new_average_entry_price": number(fill.new_entry),
        }
        return [row, leg | dict.fromkeys(("fee", "liquidation_fee", "realized_pnl", "realized_funding"))]

    def _log_csv(self, _: FuturesCall) -> Reply:
        """The whole log as a table."""
        rows = [row for line in self._exchange.state.logs for row in self.log_rows(line)]
        text = io.StringIO()
        writer = csv.DictWriter(text, ["booking_uid", "date", "asset", "info", "old_balance", "new_balance", "fee"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
        return Reply(text=text.getvalue(), content_type="text/csv")


def page(fields: Mapping[str, str], elements: Sequence[Element]) -> dict[str, Any]:
    """One page of elements given oldest first. `since` and `before` in milliseconds, `tradeable`, `count`, `sort`, `continuation_token`."""
    rising = fields.get("sort", "desc").lower() == "asc"
    since, before = form.whole(fields, "since", 0), form.whole(fields, "before", 1 << 62)
    tradeable, count = fields.get("tradeable", "").upper(), form.whole(fields, "count", PAGE, MOST)
    found = [
        element for element in elements if since <= element["timestamp"] < before and (not tradeable or element["tradeable"] == tradeable)
    ]
    found = found if rising else found[::-1]
    start = _place(fields["continuation_token"], found) if fields.get("continuation_token") else 0
    shown = found[start : start + count]
    body: dict[str, Any] = {
        "elements": [{name: element[name] for name in ("uid", "timestamp", "event")} for element in shown],
        "len": len(shown),
    }
    if start + count < len(found) and shown:
        body["continuationToken"] = base64.urlsafe_b64encode(shown[-1]["uid"].encode()).decode()
    return body


def _place(token: str, elements: Sequence[Element]) -> int:
    """Where the page after the one that ended with the token's element begins."""
    try:
        uid = base64.urlsafe_b64decode(token.encode()).decode()
    except (binascii.Error, ValueError) as error:
        raise form.invalid("continuation_token") from error
    for place, element in enumerate(elements):
        if element["uid"] == uid:
            return place + 1
    raise form.invalid("continuation_token")


def _trade_fields(fill: Fill, usd: str) -> dict[str, Any]:
    return {
        "timestamp": fill.time_us // 1000,
        "quantity": plain(fill.size),
        "price": plain(fill.price),
        "markPrice": plain(fill.mark_price),
        "usdValue": usd,
    }


def _change(fill: Fill) -> str:
    """What a trade did to the position, in Kraken's word."""
    if not fill.old_size:
        return "open"
    if not fill.new_size:
        return "close"
    if (fill.old_size > 0) != (fill.new_size > 0):
        return "reverse"
    return "increase" if abs(fill.new_size) > abs(fill.old_size) else "decrease"
