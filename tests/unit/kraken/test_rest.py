"""Reads are repeated with pauses; order calls leave once and return what is proved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest

from trader.domain.orders import Acked, Ambiguous, Intent, Leg, OrderType, Rejected, Side
from trader.errors import FatalError, RejectedError, RetryableError
from trader.kraken.exchange import KrakenExchange
from trader.kraken.limits import Limiter
from trader.kraken.rest import Rest
from trader.kraken.transport import NotSent, Refused, Unanswered
from trader.kraken.venue_rest import retrying
from trader.simulation.clock import LoopClock
from trader.simulation.loops import run_stepped

NOW = 1_767_571_200_000_000
PAIR = {
    "altname": "XBTEUR", "wsname": "XBT/EUR", "aclass_base": "currency", "pair_decimals": 1, "lot_decimals": 8, "cost_decimals": 5,
    "ordermin": "0.00005", "costmin": "0.5", "tick_size": "0.1", "status": "online",
}  # fmt: skip


class Wire:
    """A transport that answers from a script: values are results, exceptions are raised."""

    has_key = True

    def __init__(self, **answers: Any) -> None:
        self.answers = {"Assets": {"XXBT": {"altname": "XBT"}}, "AssetPairs": {"XXBTZEUR": PAIR}} | answers
        self.calls: list[tuple[str, Mapping[str, Any]]] = []
        self.raised_nonces = 0

    async def public(self, path: str, params: Mapping[str, str]) -> Any:
        self.calls.append((path, params))
        return self._answer(path)

    async def private(self, path: str, build: Callable[[], Mapping[str, Any]], *, urgent: bool) -> Any:
        self.calls.append((path, build()))
        return self._answer(path)

    def _answer(self, path: str) -> Any:
        answer = self.answers[path]
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def raise_nonce(self) -> None:
        self.raised_nonces += 1

    def parse(self, text: str) -> Any:
        raise NotImplementedError

    async def socket(self, *, private: bool, events: Any) -> Any:
        raise NotImplementedError

    async def close(self) -> None:
        return None

    def sent(self, path: str) -> list[Mapping[str, Any]]:
        return [params for name, params in self.calls if name == path]


def exchange(wire: Wire) -> KrakenExchange:
    clock = LoopClock(NOW)
    return KrakenExchange(wire, clock, limiter=Limiter(clock, public_per_s=None))


def intent(**changes: Any) -> Intent:
    fields: dict[str, Any] = {
        "cl_ord_id": "tabcdefghijklmnopq", "key": "k", "leg": Leg.ENTRY, "attempt": 1, "position_id": "p", "pair": "BTC/EUR",
        "side": Side.BUY,
        "order_type": OrderType.LIMIT, "quantity": Decimal("0.00100000"), "limit_price": Decimal("6E+4"),
        "close_trigger": Decimal("50000.10"),
        "immediate": True, "deadline_us": NOW + 5_000_000, "created_us": NOW,
    }  # fmt: skip
    return Intent(**(fields | changes))


def submit(wire: Wire, order: Intent) -> Any:
    return run_stepped(lambda: exchange(wire).submit(order))


# --- reads ---------------------------------------------------------------------------------------------------------------
class Fixed:
    def random(self) -> float:
        return 0.5


def test_a_read_is_tried_five_times_with_growing_pauses() -> None:
    async def run() -> tuple[int, float]:
        tries = 0

        async def call() -> None:
            nonlocal tries
            tries += 1
            raise RetryableError("down")

        started = asyncio.get_running_loop().time()
        with pytest.raises(RetryableError):
            await retrying(call, Fixed())
        return tries, asyncio.get_running_loop().time() - started

    tries, took = run_stepped(run)
    assert tries == 5
    assert took == pytest.approx(1 + 1.618034 + 2.618034 + 4.236068, abs=1e-3)


def test_a_read_that_must_wait_for_long_is_given_back_at_once() -> None:
    async def run() -> float:
        async def call() -> None:
            raise RetryableError("lockout", retry_after_s=900.0)

        with pytest.raises(RetryableError):
            await retrying(call, Fixed())
        return asyncio.get_running_loop().time()

    assert run_stepped(run) == 0.0


def test_a_malformed_answer_is_repeated_and_never_read_as_nothing() -> None:
    wire = Wire(OpenOrders=[{"open": {"O1": {"status": "open"}}}, {"wrong": {}}, {"open": {}}])
    assert run_stepped(lambda: exchange(wire).open_orders()) == []
    assert len(wire.sent("OpenOrders")) == 3


def test_a_third_refused_nonce_in_a_row_means_another_user_of_the_key() -> None:
    wire = Wire(OpenOrders=Refused(("EAPI:Invalid nonce",)))
    with pytest.raises(FatalError, match="another program"):
        run_stepped(lambda: exchange(wire).open_orders())
    assert (len(wire.sent("OpenOrders")), wire.raised_nonces) == (3, 3)


@pytest.mark.parametrize(("text", "error"), [("EAPI:Invalid key", FatalError), ("EGeneral:Unknown method", RejectedError)])
def test_reads_that_cannot_succeed_are_not_repeated(text: str, error: type[Exception]) -> None:
    wire = Wire(BalanceEx=Refused((text,)))
    with pytest.raises(error):
        run_stepped(lambda: exchange(wire).balances())
    assert len(wire.sent("BalanceEx")) == 1


def test_all_pages_are_read_and_rows_that_move_between_pages_count_once() -> None:
    def trade(number: int) -> dict[str, Any]:
        return {
            "ordertxid": "O1", "pair": "XBTEUR", "time": number, "type": "buy", "price": "1.5", "cost": "3", "fee": "0.1", "vol": "2",
        }  # fmt: skip

    pages = [
        {"trades": {f"T{n}": trade(n) for n in (9, 8, 7)}, "count": 5},
        {"trades": {f"T{n}": trade(n) for n in (7, 6)}, "count": 6},  # a new trade pushed T7 to the second page
        {"trades": {f"T{n}": trade(n) for n in (5,)}, "count": 6},
    ]
    wire = Wire(TradesHistory=pages)
    fills = run_stepped(lambda: exchange(wire).fills(2_500_000))
    assert [fill.trade_id for fill in fills] == ["T5", "T6", "T7", "T8", "T9"]
    assert [params["ofs"] for params in wire.sent("TradesHistory")] == ["0", "3", "5"]
    assert wire.sent("TradesHistory")[0]["start"] == "2.5"
    assert fills[0].pair == "BTC/EUR"


def test_an_unknown_order_id_does_not_hide_the_known_ones() -> None:
    row = {
        "descr": {"pair": "XBTEUR", "type": "sell", "ordertype": "market"},
        "status": "closed",
        "vol": "1",
        "vol_exec": "1",
        "opentm": 5,
        "closetm": 6,
    }
    unknown = Refused(("EOrder:Unknown order",))
    wire = Wire(QueryOrders=[unknown, {"O1": row}, unknown])
    assert [order.txid for order in run_stepped(lambda: exchange(wire).orders(["O1", "O2"]))] == ["O1"]


# --- orders --------------------------------------------------------------------------------------------------------------
def test_an_entry_carries_every_field_as_a_plain_decimal() -> None:
    wire = Wire(AddOrder={"txid": ["OL7LNO-R4SAD-6UINEU"], "descr": {"order": "..."}})
    assert submit(wire, intent()) == Acked(txid="OL7LNO-R4SAD-6UINEU")
    assert wire.sent("AddOrder") == [
        {
            "pair": "XXBTZEUR", "type": "buy", "ordertype": "limit", "volume": "0.001", "price": "60000", "timeinforce": "IOC",
            "cl_ord_id": "tabcdefghijklmnopq", "oflags": "fciq", "deadline": "2026-01-05T00:00:05.000000Z",
            "close": {"ordertype": "stop-loss", "price": "50000.1"},
        }
    ]  # fmt: skip


def test_a_stop_carries_its_trigger_as_price_and_a_market_order_none() -> None:
    wire = Wire(AddOrder={"txid": ["O1"]})
    plain = {"close_trigger": None, "immediate": False, "limit_price": None, "side": Side.SELL}
    submit(wire, intent(leg=Leg.STOP, order_type=OrderType.STOP_LOSS, trigger_price=Decimal("55000.5"), **plain))
    submit(wire, intent(leg=Leg.EXIT, order_type=OrderType.MARKET, **plain))
    stop, market = wire.sent("AddOrder")
    assert (stop["ordertype"], stop["price"]) == ("stop-loss", "55000.5")
    assert "price" not in market
    assert "close" not in stop


@pytest.mark.parametrize(
    ("deadline_s", "sent"),
    [(1.5, "2026-01-05T00:00:02.000000Z"), (5.0, "2026-01-05T00:00:05.000000Z"), (600.0, "2026-01-05T00:01:00.000000Z")],
)
def test_deadlines_stay_in_the_range_rest_accepts(deadline_s: float, sent: str) -> None:
    wire = Wire(AddOrder={"txid": ["O1"]})
    submit(wire, intent(deadline_us=NOW + int(deadline_s * 1e6)))
    assert wire.sent("AddOrder")[0]["deadline"] == sent


def test_a_passed_deadline_sends_nothing() -> None:
    wire = Wire(AddOrder={"txid": ["O1"]})
    answer = submit(wire, intent(deadline_us=NOW))
    assert isinstance(answer, Rejected)
    assert answer.kind == "later"
    assert wire.sent("AddOrder") == []


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity": Decimal("0.00001")},
        {"quantity": Decimal("0.001000001")},
        {"limit_price": Decimal("60000.05")},
        {"close_trigger": Decimal("50000.05")},
        {"limit_price": Decimal("100")},
    ],
)
def test_an_order_off_the_rules_sends_nothing(changes: dict[str, Decimal]) -> None:
    wire = Wire(AddOrder={"txid": ["O1"]})
    answer = submit(wire, intent(**changes))
    assert isinstance(answer, Rejected)
    assert answer.kind == "size"
    assert wire.sent("AddOrder") == []


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Unanswered("reset"), None), ({"descr": {}}, None), ({"txid": []}, None), ({"txid": ["O1", "O2"]}, None),
        ({"txid": [""]}, None), ([[]], None),
        (Refused(("EService:Busy",)), None), (Refused(("EOrder:Insufficient funds",), has_result=True), None),
        (Refused(("EWhat:Ever",)), None),
        (Refused(("EOrder:Insufficient funds",)), "funds"), (Refused(("EService:Market in post_only mode",)), "pair"),
        (Refused(("EAPI:Invalid nonce",)), "nonce"), (Refused(("EOrder:Rate limit exceeded",)), "later"), (NotSent("too late"), "later"),
        (FatalError("no key"), "auth"),
    ],
)  # fmt: skip
def test_only_proved_refusals_are_rejections_and_nothing_is_sent_twice(reply: Any, kind: str | None) -> None:
    wire = Wire(AddOrder=reply)
    answer = submit(wire, intent())
    if kind is None:
        assert isinstance(answer, Ambiguous)
    else:
        assert isinstance(answer, Rejected)
        assert answer.kind == kind
    assert len(wire.sent("AddOrder")) == 1


def test_amend_and_cancel_read_their_own_proofs() -> None:
    async def run(wire: Wire) -> list[Any]:
        venue = exchange(wire)
        amend = {"pair": "BTC/EUR", "deadline_us": NOW + 3_000_000}
        return [
            await venue.amend("O1", quantity=None, trigger_price=Decimal("55000.50"), **amend),
            await venue.amend("O1", quantity=Decimal("0.5"), trigger_price=None, **amend),
            await venue.cancel("O1"), await venue.cancel("O1"), await venue.cancel("O1"),
        ]  # fmt: skip

    wire = Wire(AmendOrder=[{"amend_id": "TAMEND"}, {}], CancelOrder=[{"count": 1}, {"count": 0}, Refused(("EOrder:Unknown order",))])
    changed, unproved, cancelled, nothing, gone = run_stepped(lambda: run(wire))
    assert changed == cancelled == Acked(txid="O1")
    assert isinstance(unproved, Ambiguous)
    assert isinstance(nothing, Ambiguous)
    assert isinstance(gone, Rejected)
    assert gone.kind == "gone"
    assert wire.sent("AmendOrder")[0] == {"txid": "O1", "deadline": "2026-01-05T00:00:03.000000Z", "trigger_price": "55000.5"}


def test_our_own_limit_refuses_an_entry_that_would_miss_its_deadline() -> None:
    async def run() -> Any:
        wire = Wire(AddOrder={"txid": ["O1"]})
        clock = LoopClock(NOW)
        limiter = Limiter(clock, public_per_s=None)
        limiter.refused("BTC/EUR", None, engine=True)
        answer = await KrakenExchange(wire, clock, limiter=limiter).submit(intent())
        return answer, wire.sent("AddOrder")

    answer, sent = run_stepped(run)
    assert isinstance(answer, Rejected)
    assert answer.kind == "later"
    assert answer.retry_after_s is not None
    assert sent == []


def test_rest_shares_names_between_calls() -> None:
    async def run() -> int:
        wire = Wire()
        rest = Rest(wire, LoopClock(NOW), limiter=Limiter(LoopClock(NOW), public_per_s=None))
        await asyncio.gather(rest.named(), rest.named())
        return len(wire.sent("AssetPairs"))

    assert run_stepped(run) == 1
