"""Verdicts, snapshots and a book of one key, for tests of desk and book."""

from __future__ import annotations

import dataclasses

from trader.domain.market import SECOND
from trader.domain.orders import Side
from trader.domain.verdicts import AskOutcome, Question, Verdict, VerdictKey
from trader.execution.confirmation import Snapshot
from trader.execution.verdict_book import VerdictBook

KEY = VerdictKey(pair="ABC/EUR", side=Side.BUY, strategy="viable/mitraillette/AGGRESSIVE")
NOW = 1_767_571_200_000_000


def verdict(p: float | None = 0.1, *, asked: int = NOW, key: VerdictKey = KEY, outcome: AskOutcome = AskOutcome.OK) -> Verdict:
    return Verdict(
        key=key, outcome=outcome, asked_us=asked, expires_us=asked + 300 * SECOND, band_lo=99.0, band_hi=101.0, p_loss=p, verdict_id="v1"
    )


def snapshot(price: float = 100.0, *, key: VerdictKey = KEY, atr: float = 0.01) -> Snapshot:
    return Snapshot(key=key, price=price, atr_fraction=atr, stop=0.0247, target=0.04, costs=0.009, features={"rsi": 30.0})


def book_with(*verdicts: Verdict, tau: float = 0.4) -> VerdictBook:
    book = VerdictBook()
    book.link_state = "ok"
    book.set_tau(KEY, tau)
    for one in verdicts:
        book.put(one)
    return book


def answer(question: Question, p: float | None = 0.1, outcome: AskOutcome = AskOutcome.OK) -> Verdict:
    return dataclasses.replace(
        verdict(p, asked=question.asked_us, key=question.key, outcome=outcome), band_lo=question.band_lo, band_hi=question.band_hi
    )
