"""Futures order calls: each intent's exact fields, every word of the venue's answer in its class, nothing sent twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from futures_wire import NOW, FuturesWire, exchange, intent, stop

from trader.domain.orders import Acked, Ambiguous, Answer, Intent, Leg, OrderType, Rejected, Side
from trader.errors import FatalError
from trader.kraken.futures import KrakenFuturesExchange
from trader.kraken.transport import Refused, Unanswered
from trader.simulation.loops import run_stepped

PLACED = {"result": "success", "sendStatus": {"order_id": "id-1", "status": "placed", "orderEvents": []}}
Write = Callable[[KrakenFuturesExchange], Awaitable[Answer]]


async def place(venue: KrakenFuturesExchange) -> Answer:
    return await venue.submit(intent())


async def amend(venue: KrakenFuturesExchange) -> Answer:
    deadline_us = NOW + 5_000_000
    return await venue.amend("id-1", pair="BTC/USD:USD", quantity=Decimal("0.02"), trigger_price=Decimal(56_000), deadline_us=deadline_us)


async def cancel(venue: KrakenFuturesExchange) -> Answer:
    return await venue.cancel("id-1")


WRITES: dict[str, tuple[Write, str]] = {
    "sendorder": (place, "sendStatus"), "editorder": (amend, "editStatus"), "cancelorder": (cancel, "cancelStatus"),
}  # fmt: skip
# word -> kind on (sendorder, editorder, cancelorder); "" is Ambiguous
STATUSES: dict[str, tuple[str, str, str]] = {
    "invalidOrderType": ("bug",) * 3, "invalidSide": ("bug",) * 3, "invalidSize": ("size",) * 3, "invalidPrice": ("size",) * 3,
    "insufficientAvailableFunds": ("funds",) * 3, "selfFill": ("",) * 3, "tooManySmallOrders": ("limits",) * 3,
    "maxPositionViolation": ("limits",) * 3, "marketSuspended": ("pair",) * 3, "marketInactive": ("pair",) * 3,
    "clientOrderIdAlreadyExist": ("",) * 3, "clientOrderIdTooLong": ("bug",) * 3, "outsidePriceCollar": ("size",) * 3,
    "postWouldExecute": ("style",) * 3, "iocWouldNotExecute": ("style",) * 3, "wouldNotReducePosition": ("style",) * 3,
    "orderForEditNotFound": ("", "gone", "gone"), "orderForEditNotAStop": ("bug",) * 3, "filled": ("", "gone", "gone"),
    "notFound": ("", "gone", "gone"), "neverHeardOf": ("",) * 3,
}  # fmt: skip
ERRORS: dict[str, tuple[str, str, str]] = {
    "apiLimitExceeded": ("later",) * 3, "marketUnavailable": ("pair",) * 3, "requiredArgumentMissing": ("bug",) * 3,
    "unavailable": ("",) * 3, "Unavailable": ("",) * 3, "authenticationError": ("auth",) * 3, "accountInactive": ("auth",) * 3,
    "invalidAccount": ("auth",) * 3, "invalidAmount": ("bug",) * 3, "insufficientFunds": ("funds",) * 3,
    "INSUFFICIENT_MARGIN": ("funds",) * 3, "Bad Request": ("bug",) * 3, "invalidUnit": ("bug",) * 3, "Json Parse Error": ("bug",) * 3,
    "nonceBelowThreshold": ("nonce",) * 3, "nonceDuplicate": ("nonce",) * 3, "notFound": ("", "gone", "gone"), "Server Error": ("",) * 3,
    "unknownError": ("",) * 3, "contractNotFound": ("pair",) * 3, "invalidArgument: size": ("bug",) * 3, "neverHeardOf": ("",) * 3,
}  # fmt: skip
CASES = [
    pytest.param(path, word, kinds[number], id=f"{path}-{word}")
    for table in (STATUSES, ERRORS)
    for word, kinds in table.items()
    for number, path in enumerate(WRITES)
]


def judged(answer: Answer) -> tuple[str, str]:
    if isinstance(answer, Acked):
        return "acked", answer.txid
    return (answer.kind if isinstance(answer, Rejected) else ""), answer.message


@pytest.mark.parametrize(("path", "word", "kind"), [case for case in CASES if case.values[1] in STATUSES])
def test_a_status_has_its_class_and_the_bytes_left_once(path: str, word: str, kind: str) -> None:
    write, part = WRITES[path]
    wire = FuturesWire(**{path: {"result": "success", part: {"status": word}}})
    answer = run_stepped(lambda: write(exchange(wire)))
    assert judged(answer) == (kind, word)
    assert len(wire.sent(path)) == 1


@pytest.mark.parametrize(("path", "word", "kind"), [case for case in CASES if case.values[1] in ERRORS])
def test_an_error_has_its_class_and_the_bytes_left_once(path: str, word: str, kind: str) -> None:
    write, _ = WRITES[path]
    wire = FuturesWire(**{path: Refused((word,))})
    answer = run_stepped(lambda: write(exchange(wire)))
    assert judged(answer) == (kind, word)
    assert len(wire.sent(path)) == 1


@pytest.mark.parametrize("path", WRITES)
@pytest.mark.parametrize(
    "body",
    [
        {"result": "success"}, {"result": "success", "sendStatus": {}}, {"result": "success", "sendStatus": {"status": "placed"}},
        {"result": "success", "editStatus": None, "cancelStatus": []}, Unanswered("HTTP 502"),
    ],
    ids=["no status", "empty status", "no order id", "wrong shape", "no answer"],
)  # fmt: skip
def test_an_answer_without_proof_is_ambiguous(path: str, body: Any) -> None:
    wire = FuturesWire(**{path: body})
    assert isinstance(run_stepped(lambda: WRITES[path][0](exchange(wire))), Ambiguous)
    assert len(wire.sent(path)) == 1


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (intent(), {"side": "buy", "orderType": "ioc", "limitPrice": "60000"}),
        (intent(immediate=False), {"side": "buy", "orderType": "lmt", "limitPrice": "60000"}),
        (intent(side=Side.SELL), {"side": "sell", "orderType": "ioc", "limitPrice": "60000"}),
        (intent(order_type=OrderType.MARKET, limit_price=None, immediate=False), {"side": "buy", "orderType": "mkt"}),
        (stop(), {"side": "sell", "orderType": "stp", "stopPrice": "55000", "triggerSignal": "mark", "reduceOnly": "true"}),
        (intent(leg=Leg.TARGET, side=Side.SELL, immediate=False), {
            "side": "sell", "orderType": "lmt", "limitPrice": "60000", "reduceOnly": "true"}),
        (intent(leg=Leg.EXIT, side=Side.SELL, order_type=OrderType.MARKET, limit_price=None, immediate=False), {
            "side": "sell", "orderType": "mkt", "reduceOnly": "true"}),
    ],
    ids=["ioc", "resting", "short", "market", "stop", "target", "exit"],
)  # fmt: skip
def test_each_intent_has_its_exact_fields(order: Intent, expected: dict[str, str]) -> None:
    wire = FuturesWire(sendorder=PLACED)
    assert run_stepped(lambda: exchange(wire).submit(order)) == Acked(txid="id-1")
    always = {"symbol": "PF_XBTUSD", "size": "0.01", "cliOrdId": order.cl_ord_id, "processBefore": "2026-01-05T00:00:05.000000Z"}
    assert wire.sent("sendorder") == [always | expected]


@pytest.mark.parametrize(
    ("order", "kind"),
    [
        (intent(close_trigger=Decimal(55_000)), "bug"), (intent(limit_price=None), "bug"), (stop(trigger_price=None), "bug"),
        (stop(immediate=True), "bug"), (intent(quantity=Decimal("0.00005")), "size"), (intent(limit_price=Decimal("60000.5")), "size"),
        (intent(pair="PEPE/USD:USD", quantity=Decimal(1500), limit_price=Decimal("0.00001")), "size"), (intent(pair="NIX/USD:USD"), "pair"),
        (intent(deadline_us=NOW + 500_000), "later"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_refused_before_a_byte_leaves(order: Intent, kind: str) -> None:
    wire = FuturesWire(sendorder=PLACED)
    answer = run_stepped(lambda: exchange(wire).submit(order))
    assert isinstance(answer, Rejected)
    assert answer.kind == kind
    assert wire.sent("sendorder") == []


def test_amend_and_cancel_name_the_order_and_absolute_values() -> None:
    wire = FuturesWire(editorder={"editStatus": {"status": "edited"}}, cancelorder={"cancelStatus": {"status": "cancelled"}})

    async def test() -> tuple[Answer, Answer]:
        venue = exchange(wire)
        return await amend(venue), await cancel(venue)

    assert run_stepped(test) == (Acked(txid="id-1"), Acked(txid="id-1"))
    fields = {"orderId": "id-1", "processBefore": "2026-01-05T00:00:05.000000Z", "size": "0.02", "stopPrice": "56000"}
    assert wire.sent("editorder") == [fields]
    assert wire.sent("cancelorder") == [{"order_id": "id-1"}]


def test_a_missing_key_is_a_rejection_of_orders() -> None:
    wire = FuturesWire(sendorder=FatalError("no key"))
    answer = run_stepped(lambda: exchange(wire).submit(intent()))
    assert isinstance(answer, Rejected)
    assert answer.kind == "auth"


def test_entries_leave_a_quarter_of_the_units_to_exits() -> None:
    wire = FuturesWire(sendorder=PLACED)

    async def test() -> tuple[list[str], Answer]:
        venue = exchange(wire)
        kinds = []
        for _ in range(40):
            answer = await venue.submit(intent(deadline_us=NOW + 3_000_000))
            kinds.append("acked" if isinstance(answer, Acked) else answer.kind if isinstance(answer, Rejected) else "ambiguous")
        return kinds, await venue.submit(stop(deadline_us=NOW + 3_000_000))

    kinds, exit_answer = run_stepped(test)
    assert kinds == ["acked"] * 37 + ["later"] * 3  # 37 x 10 fits under 375 of 500
    assert exit_answer == Acked(txid="id-1")
