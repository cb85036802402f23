"""The classifier is total, matches by text, and prefers caution."""

from __future__ import annotations

import ccxt.pro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trader.domain.orders import Ambiguous, Rejected
from trader.errors import AuthError, FatalError, RejectedError, RetryableError
from trader.kraken.outcomes import EXACT, PREFIXES, Class, answer_for, class_of, classify, error_for, known

NOW = 1_767_571_200_000_000


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("EOrder:Insufficient funds", Class.FUNDS),
        ("EOrder:Order minimum not met", Class.SIZE),
        ("EGeneral:Invalid arguments:volume", Class.SIZE),
        ("EGeneral:Invalid arguments:volume minimum not met", Class.SIZE),
        ("EOrder:Invalid price:Invalid price argument", Class.SIZE),
        ("EGeneral:Invalid arguments:ordertype", Class.BUG),
        ("EGeneral:Invalid arguments", Class.BUG),
        ("EFunding:No funding method", Class.BUG),
        ("EOrder:Reduce only:No position exists", Class.STYLE),
        ("EOrder:Post only order", Class.STYLE),
        ("EOrder:Orders limit exceeded", Class.LIMITS),
        ("EAPI:Rate limit exceeded", Class.LATER),
        ("EOrder:Rate limit exceeded", Class.LATER),
        ("EService: Throttled: 1767571210", Class.LATER),
        ("EGeneral:Temporary lockout", Class.LATER),
        ("EService:Market in cancel_only mode", Class.PAIR),
        ("EAccount:Invalid permissions:BTC/EUR trading restricted for XX.", Class.PAIR),
        ("EQuery:Unknown asset pair", Class.PAIR),
        ("EAPI:Invalid signature", Class.AUTH),
        ("EGeneral:Permission denied", Class.AUTH),
        ("EAPI:Invalid nonce", Class.NONCE),
        ("EOrder:Unknown order", Class.GONE),
        ("EService:Unavailable", Class.AMBIGUOUS),
        ("EService:Deadline elapsed", Class.AMBIGUOUS),
        ("EGeneral:Internal error[:1b2c]", Class.AMBIGUOUS),
        ("EDatabase: Internal error (to be deprecated)", Class.AMBIGUOUS),
        ("EOrder:Something new", Class.AMBIGUOUS),
        ("EGeneral:Invalid arguments:cl_ord_id is a duplicate", Class.AMBIGUOUS),
        ("EGeneral:Invalid arguments:order already exists", Class.AMBIGUOUS),
        ("WDatabase:No change", Class.WARN),
        ("insufficientAvailableFunds", Class.FUNDS),
        ("clientOrderIdAlreadyExist", Class.AMBIGUOUS),
    ],
)
def test_each_family_of_strings_has_its_class(text: str, kind: Class) -> None:
    assert class_of(text) is kind


@given(st.lists(st.text(), max_size=4), st.booleans())
def test_any_strings_get_an_answer_and_never_raise(strings: list[str], placing: bool) -> None:
    assert isinstance(answer_for(strings, placing=placing, now_us=NOW), Rejected | Ambiguous)
    assert isinstance(error_for(strings, now_us=NOW), RetryableError | RejectedError | FatalError)


@given(st.text(min_size=1).filter(lambda text: not known(text)))
def test_unknown_words_on_an_order_are_ambiguous(text: str) -> None:
    assert isinstance(answer_for([text], placing=True, now_us=NOW), Ambiguous)


def test_the_most_cautious_of_several_strings_wins() -> None:
    assert classify(["EOrder:Insufficient funds", "EAPI:Invalid nonce"], write=True) is Class.NONCE
    assert classify(["EOrder:Insufficient funds", "EService:Busy"], write=True) is Class.AMBIGUOUS
    assert classify(["EAPI:Invalid nonce", "EAPI:Invalid key"], write=True) is Class.AUTH


def test_unknown_order_is_gone_on_a_cancel_and_ambiguous_on_a_new_order() -> None:
    assert answer_for(["EOrder:Unknown order"], placing=False, now_us=NOW) == Rejected(kind="gone", message="EOrder:Unknown order")
    assert isinstance(answer_for(["EOrder:Unknown order"], placing=True, now_us=NOW), Ambiguous)


def test_an_error_beside_a_txid_is_ambiguous() -> None:
    assert isinstance(answer_for(["EOrder:Insufficient funds"], placing=True, now_us=NOW, has_result=True), Ambiguous)


def test_waiting_times_are_those_the_venue_named() -> None:
    answer = answer_for([f"EService: Throttled: {NOW // 1_000_000 + 7}"], placing=True, now_us=NOW)
    assert isinstance(answer, Rejected)
    assert (answer.kind, answer.retry_after_s) == ("later", 7.0)
    lockout = error_for(["EGeneral:Temporary lockout"], now_us=NOW)
    assert isinstance(lockout, RetryableError)
    assert lockout.retry_after_s == 900.0
    milliseconds = answer_for([f"EService: Throttled: {NOW // 1_000}"], placing=True, now_us=NOW)
    assert isinstance(milliseconds, Rejected)
    assert milliseconds.retry_after_s == 900.0


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("EService:Busy", RetryableError), ("EAPI:Rate limit exceeded", RetryableError), ("EAPI:Invalid nonce", RetryableError),
        ("ESession:Invalid session", RetryableError), ("never seen", RetryableError), ("EAPI:Invalid key", AuthError),
        ("EGeneral:Permission denied", AuthError), ("EQuery:Unknown asset pair", RejectedError),
        ("EGeneral:Unknown method", RejectedError),
    ],
)  # fmt: skip
def test_reads_are_repeated_refused_or_fatal(text: str, error: type[Exception]) -> None:
    assert type(error_for([text], now_us=NOW)) is error


def test_every_string_of_ccxts_pinned_tables_has_a_row() -> None:
    """Drift check: a new ccxt that knows a new string fails here."""
    tables = ccxt.pro.kraken().exceptions
    rest, broad = list(tables["exact"]), [f"EOrder{key.replace('IInsufficient', 'Insufficient')}" for key in tables["broad"]]
    broad = [
        text.replace("EOrder:Invalid arguments", "EGeneral:Invalid arguments").replace("EOrder:Invalid nonce", "EAPI:Invalid nonce")
        for text in broad
    ]
    stream = [*tables["ws"]["exact"], *tables["ws"]["broad"]]
    assert len(rest) + len(broad) + len(stream) > 60
    assert [text for text in (*rest, *broad, *stream) if not known(text)] == []


def test_prefix_rows_are_tried_longest_first() -> None:
    lengths = [len(prefix) for prefix, _ in PREFIXES]
    assert lengths == sorted(lengths, reverse=True)
    assert len(EXACT) > 90


# KRAKEN.md section 7 row by row, and what its text says of AddOrder
ON_ADD_ORDER = {
    "EOrder:Insufficient funds": "funds", "EOrder:Order minimum not met": "size", "EGeneral:Invalid arguments:volume": "size",
    "EGeneral:Invalid arguments:price": "size", "EOrder:Cost minimum not met": "size", "EOrder:Tick size check failed": "size",
    "EOrder:Invalid price": "size", "EOrder:Post only order": "style", "EOrder:Reduce only:No position exists": "style",
    "EOrder:Margin allowance exceeded": "limits", "EOrder:Orders limit exceeded": "limits", "EOrder:Positions limit exceeded": "limits",
    "EOrder:Scheduled orders limit exceeded": "limits", "EOrder:Trading agreement required": "limits",
    "EOrder:Cannot open position": "limits",
    "EOrder:Unknown order": None, "EAPI:Invalid nonce": "nonce", "EAPI:Invalid key": "auth", "EAPI:Invalid signature": "auth",
    "EGeneral:Permission denied": "auth", "EAPI:Rate limit exceeded": "later", "EOrder:Rate limit exceeded": "later",
    "EGeneral:Temporary lockout": "later", "EService: Throttled: 1767571210": "later", "EOrder:Domain rate limit exceeded": "later",
    "EService:Market in cancel_only mode": "pair", "EService:Market in post_only mode": "pair",
    "EService:Market in limit_only mode": "pair",
    "EService:Deadline elapsed": None, "EService:Unavailable": None, "EService:Busy": None, "EGeneral:Internal error": None,
    "EQuery:Unknown asset pair": "pair", "EQuery:Invalid asset pair": "pair", "EGeneral:Unknown method": "bug",
    "EAuth:Rate limit exceeded": "later", "EAccount:Invalid permissions:BTC/EUR trading restricted": "pair",
    "EBM:limit exceeded:CAL": "pair",
    "EAuth:Account temporary disabled": "auth", "EAuth:Account unconfirmed": "auth", "ETrade:User Locked": "auth",
    "insufficientAvailableFunds": "funds", "INSUFFICIENT_MARGIN": "funds", "postWouldExecute": "style", "wouldNotReducePosition": "style",
    "iocWouldNotExecute": "style", "marketSuspended": "pair", "marketInactive": "pair", "contractNotFound": "pair", "invalidSize": "size",
    "outsidePriceCollar": "size", "tooManySmallOrders": "limits", "maxPositionViolation": "limits", "apiLimitExceeded": "later",
    "nonceBelowThreshold": "nonce", "authenticationError": "auth", "requiredArgumentMissing": "bug", "clientOrderIdTooLong": "bug",
    "clientOrderIdAlreadyExist": None, "selfFill": None, "unknownError": None, "Server Error": None, "unavailable": None,
}  # fmt: skip


@pytest.mark.parametrize(("text", "kind"), ON_ADD_ORDER.items())
def test_every_string_of_the_reference_gets_its_answer_on_a_new_order(text: str, kind: str | None) -> None:
    answer = answer_for([text], placing=True, now_us=NOW)
    assert known(text)
    assert (answer.kind if isinstance(answer, Rejected) else None) == kind
