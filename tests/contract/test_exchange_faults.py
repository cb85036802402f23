"""Contract of `ports.Exchange` over a wire that fails: nothing unproved is called a refusal, and no order is sent twice."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from venue_kit import CASH, KINDS, Bench, Kind, on_venue

from trader.domain.orders import Acked, Ambiguous, Rejected
from trader.errors import FatalError
from trader.kraken.outcomes import class_of
from trader.simulation import exchange_orders
from trader.simulation.faults import Fault
from trader.simulation.refusals import rejected

WIRED = tuple(kind for kind in KINDS if kind.over_the_wire)


@dataclass(frozen=True, kw_only=True)
class Words:
    """Names of the endpoints of a venue, and its words for some refusals."""

    place: str
    money: str
    kinds: dict[str, str]  # words -> kind of Rejected, "" for Ambiguous
    passing: tuple[str, ...]  # refusals of a read that pass
    bad_key: str


WORDS = {
    "spot": Words(
        place="AddOrder", money="BalanceEx",
        kinds={
            "EOrder:Insufficient funds": "funds", "EOrder:Order minimum not met": "size", "EOrder:Post only order": "style",
            "EOrder:Orders limit exceeded": "limits", "EGeneral:Invalid arguments": "bug", "EOrder:Rate limit exceeded": "later",
            "EService:Market in cancel_only mode": "pair", "EGeneral:Permission denied": "auth", "EAPI:Invalid nonce": "nonce",
            "EService:Unavailable": "", "EService:Deadline elapsed": "", "EOrder:Never heard of": "",
        },
        passing=("EService:Busy", "EAPI:Invalid nonce"), bad_key="EAPI:Invalid key",
    ),
    "futures": Words(
        place="futures:sendorder", money="futures:accounts",
        kinds={
            "insufficientFunds": "funds", "INSUFFICIENT_MARGIN": "funds", "invalidArgument: size": "bug", "requiredArgumentMissing": "bug",
            "apiLimitExceeded": "later", "contractNotFound": "pair", "marketUnavailable": "pair", "authenticationError": "auth",
            "nonceBelowThreshold": "nonce", "unavailable": "", "Server Error": "", "neverHeardOf": "",
        },
        passing=("unavailable", "apiLimitExceeded"), bad_key="authenticationError",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", WIRED, ids=lambda kind: kind.name)
@pytest.mark.parametrize("action", ["lost_response", "http", "cut_json", "html", "hang"])
def test_an_answer_that_proves_nothing_is_ambiguous_and_the_order_is_found_by_its_id(action: str, kind: Kind) -> None:
    place = WORDS[kind.name].place
    fault = Fault(where=place, action=action, nth=(1,), arg=502 if action == "http" else None, after=action in ("http", "html"))

    async def test(b: Bench) -> None:
        intent = await b.entry()
        answer = await b.exchange.submit(intent)
        assert isinstance(answer, Ambiguous), answer
        orders = [*await b.exchange.open_orders(), *await b.exchange.closed_orders(intent.created_us - 60_000_000)]
        found = [order for order in orders if order.cl_ord_id == intent.cl_ord_id]
        assert len(found) == (0 if action == "hang" else 1)
        assert b.calls[place] == 1  # the bytes left once

    on_venue(kind, test, fault)


@pytest.mark.parametrize("kind", WIRED, ids=lambda kind: kind.name)
def test_a_request_lost_on_the_way_is_ambiguous_and_absent(kind: Kind) -> None:
    async def test(b: Bench) -> None:
        intent = await b.entry()
        assert isinstance(await b.exchange.submit(intent), Ambiguous)
        assert [*await b.exchange.open_orders(), *await b.exchange.closed_orders(0)] == []
        assert isinstance(await b.exchange.submit(intent), Acked)

    on_venue(kind, test, Fault(where=WORDS[kind.name].place, action="lost_request", nth=(1,)))


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [pytest.param(kind, *row, id=f"{kind.name}-{row[0]}") for kind in WIRED for row in WORDS[kind.name].kinds.items()],
)
def test_refusals_keep_their_kind(kind: Kind, text: str, expected: str) -> None:
    place = WORDS[kind.name].place

    async def test(b: Bench) -> None:
        answer = await b.exchange.submit(await b.entry())
        if expected:
            assert isinstance(answer, Rejected)
            assert (answer.kind, answer.message) == (expected, text)
        else:
            assert isinstance(answer, Ambiguous)
        assert b.calls[place] == 1

    on_venue(kind, test, Fault(where=place, action="error", nth=(1,), arg=text))


@pytest.mark.parametrize("kind", WIRED, ids=lambda kind: kind.name)
def test_reads_survive_passing_trouble(kind: Kind) -> None:
    words = WORDS[kind.name]
    faults = [Fault(where=words.money, action="error", nth=(nth,), arg=text) for nth, text in enumerate(words.passing, start=1)]
    faults += [Fault(where=words.money, action="http", nth=(3,), arg=520), Fault(where=words.money, action="html", nth=(4,))]

    async def test(b: Bench) -> None:
        assert (await b.exchange.balances())[b.kind.quote].total == CASH
        assert b.calls[words.money] == 5

    on_venue(kind, test, *faults)


@pytest.mark.parametrize("kind", WIRED, ids=lambda kind: kind.name)
def test_a_refused_key_is_fatal_for_reads(kind: Kind) -> None:
    async def test(b: Bench) -> None:
        with pytest.raises(FatalError):
            await b.exchange.balances()

    on_venue(kind, test, Fault(where=WORDS[kind.name].money, action="error", arg=WORDS[kind.name].bad_key))


def test_the_engines_own_refusals_have_the_kind_the_adapter_gives_their_words() -> None:
    words = [value for name, value in vars(exchange_orders).items() if name.isupper() and isinstance(value, str) and value.startswith("E")]
    words += [f"EGeneral:Invalid arguments:{field}" for field in ("volume", "price", "ordertype", "timeinforce", "cl_ord_id")]
    words += ["EService:Market in post_only mode", "EOrder:Invalid price:XBTEUR price can only be specified up to 1 decimals."]
    compared = {text: (rejected(text).kind, class_of(text).value) for text in words}
    differing = {text: pair for text, pair in compared.items() if pair[0] != pair[1] and pair[1] != "ambiguous"}
    assert differing == {}
    assert len(compared) >= 17
