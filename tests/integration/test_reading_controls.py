"""`trader pause` and the like: the row is written, the halt binds at once, the session's answer is waited for and told."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest
from ledger_kit import ACCOUNT
from status_kit import BARS, T0, lively

from trader.bootstrap.paths import Paths
from trader.bootstrap.reading import control, status_of
from trader.bootstrap.trading import stopped, trade
from trader.config import load
from trader.data.ledger import SqlLedger
from trader.domain.market import MINUTE
from trader.errors import RejectedError, StoppedError


def answering(state: Path, verdict: str, words: str) -> threading.Thread:
    """A session that answers the first control it finds."""

    def obey() -> None:
        ledger = SqlLedger(state / "ledger.sqlite", account=ACCOUNT)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            for pending in ledger.pending_controls():
                ledger.answer_control(pending.control_id, verdict, words, T0 + BARS * MINUTE)
                ledger.close()
                return
            time.sleep(0.05)

    thread = threading.Thread(target=obey)
    thread.start()
    return thread


def test_answer_of_the_session_is_told(tmp_path: Path) -> None:
    state = lively(tmp_path)
    session = answering(state, "DONE", "pause obeyed")
    assert control(state, "pause").endswith("pause obeyed")
    session.join()
    assert ("operator", "REDUCING") in [(halt["cause"], halt["level"]) for halt in status_of(state)["halts"]]


def test_refusal_is_an_error(tmp_path: Path) -> None:
    state = lively(tmp_path)
    session = answering(state, "REFUSED", "no such position")
    with pytest.raises(RejectedError, match="refused: no such position"):
        control(state, "exit", "SOL/EUR")
    session.join()


@pytest.mark.parametrize("end", [False, True], ids=["running", "ended"])
@pytest.mark.parametrize(
    ("verb", "argument", "said"),
    [
        ("exit", "DOGE/EUR", r"nothing is held under 'DOGE/EUR'; held are: SOL/EUR \(\S+\)"),
        ("resume", "nonsense:so", "no halt 'nonsense' is on; on are: DAILY_LOSS"),
    ],
)
def test_what_is_not_there_is_refused_at_once_and_not_stored(verb: str, argument: str, said: str, end: bool, tmp_path: Path) -> None:
    state = lively(tmp_path, end=end)
    with pytest.raises(RejectedError, match=said):
        control(state, verb, argument)
    assert not status_of(state)["controls"]


@pytest.mark.parametrize(("verb", "argument"), [("exit", "SOL/EUR"), ("resume", "DAILY_LOSS:so"), ("resume", "")])
def test_without_a_session_what_is_there_is_stored(verb: str, argument: str, tmp_path: Path) -> None:
    assert "no session runs now" in control(lively(tmp_path, end=True), verb, argument)


def test_silence_is_told_after_the_patience(tmp_path: Path) -> None:
    assert "no answer within 0.3 s" in control(lively(tmp_path), "pause", patience_s=0.3)


def test_without_a_session_the_order_is_kept_for_the_next(tmp_path: Path) -> None:
    state = lively(tmp_path, end=True)
    assert "no session runs now" in control(state, "flatten")
    (given,) = status_of(state)["controls"]
    assert (given["verb"], given["state"]) == ("flatten", "PENDING")
    assert ("operator", "HALTED") in [(halt["cause"], halt["level"]) for halt in status_of(state)["halts"]]


def test_without_a_ledger_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match="no ledger there"):
        control(tmp_path, "pause")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("verbs", "starts"),
    [
        (["stop"], False), (["stop", "pause"], False), (["stop", "resume"], True), (["stop", "resume", "stop"], False),
        (["stop", "resume DAILY_LOSS:so"], False), (["stop", "resume operator:so"], True), (["pause"], True), (["flatten"], True),
    ],
)  # fmt: skip
def test_after_a_stop_no_session_starts_whoever_asks_before_resume(verbs: list[str], starts: bool, tmp_path: Path) -> None:
    state = lively(tmp_path, end=True)
    for verb in verbs:
        control(state, *verb.split(" "), who="ada")
    assert stopped(Paths(state)) == ("" if starts else "stopped by ada; `trader resume` lets it start")
    if not starts:
        with pytest.raises(StoppedError, match="stopped by ada"):
            asyncio.run(trade(load({"state_dir": str(state)}, environ={}), seconds=1))
