"""The `Advisor` port: the Decisions API on its twin, on the stepped clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from verdict_kit import EPOCH, question

from trader.data.verdicts import SqliteVerdictStore
from trader.domain.verdicts import AskOutcome, Question, Verdict
from trader.gemini.client import make_client
from trader.gemini.decisions import PROVIDER, GeminiDecisions
from trader.gemini.worker import STORE
from trader.simulation.clock import LoopClock
from trader.simulation.gemini_faults import gemini_plan
from trader.simulation.gemini_server import GeminiTwin
from trader.simulation.loops import run_stepped


def ask_twin(path: Path, plan: str, use: Callable[[GeminiDecisions, GeminiTwin], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        clock = LoopClock(EPOCH)
        twin = GeminiTwin(clock, 7, gemini_plan(plan))
        await twin.start(port=8702)
        store = SqliteVerdictStore(path)
        advisor = GeminiDecisions(make_client("canary-key-4711", twin.url), clock, store=store)
        try:
            return await use(advisor, twin)
        finally:
            await advisor.close()
            store.close()
            await twin.close()

    return run_stepped(main)


def test_the_advisor_answers_each_question_in_order_and_writes_every_call_down(tmp_path: Path) -> None:
    async def use(advisor: GeminiDecisions, _: GeminiTwin) -> list[Verdict]:
        asked = [question(f"P{i}/EUR", rsi=20.0 + i, priority=i == 3) for i in range(40)]
        asked[7] = Question(key=asked[7].key, asked_us=EPOCH, asked_price=100.0, band_lo=99.0, band_hi=101.0, features={"x": "y"})
        verdicts = list(await advisor.ask(asked))
        assert list(await advisor.ask([])) == []
        return verdicts

    verdicts = ask_twin(tmp_path / STORE, "", use)
    assert [one.key.pair for one in verdicts] == [f"P{i}/EUR" for i in range(40)]
    assert [one.outcome for one in verdicts].count(AskOutcome.OK) == 39
    assert verdicts[7].detail == "features: no number of the legend"
    assert {one.expires_us - one.asked_us for one in verdicts} == {300_000_000}
    store = SqliteVerdictStore(tmp_path / STORE, read_only=True)
    summary = store.summary()
    assert (summary.calls, summary.questions, summary.usable, summary.outcomes, summary.twin_calls) == (2, 39, 39, {"OK": 2}, 2)
    stored = {one.verdict_id: one for one in store.verdicts(limit=100)}
    assert {(one.pair, one.p_loss) for one in stored.values()} == {(v.key.pair, v.p_loss) for v in verdicts if v.p_loss is not None}
    request, response = store.bodies(verdicts[0].verdict_id.split("-")[0]) or (b"", b"")
    assert rb"\"rsi\":20" in request
    assert b'"noul"' in response
    store.close()


def test_breaker_and_budget_survive_a_restart(tmp_path: Path) -> None:
    plan = '[[fault]]\nwhere = "decisions"\naction = "500"\n'

    async def fail(advisor: GeminiDecisions, twin: GeminiTwin) -> tuple[str, int]:
        for _ in range(5):
            await advisor.ask([question()])
        return advisor.state(), twin.requests

    assert ask_twin(tmp_path / STORE, plan, fail) == ("BREAKER", 3)

    async def again(advisor: GeminiDecisions, twin: GeminiTwin) -> tuple[list[str], int, int]:
        words = [(await advisor.ask([question()]))[0].outcome.value]
        await asyncio.sleep(61.0)
        words.append((await advisor.ask([question()]))[0].outcome.value)
        return words, twin.requests, advisor.budget.spent.calls

    assert ask_twin(tmp_path / STORE, "", again) == (["BREAKER", "OK"], 1, 4)
    store = SqliteVerdictStore(tmp_path / STORE, read_only=True)
    assert "CLOSED" in (store.load_state(PROVIDER) or "")
    store.close()


def test_a_verdict_that_cannot_be_written_down_is_not_used(tmp_path: Path) -> None:
    async def use(advisor: GeminiDecisions, twin: GeminiTwin) -> tuple[list[Verdict], int]:
        advisor._store._db.execute("PRAGMA query_only = 1")  # type: ignore[union-attr]
        return list(await advisor.ask([question()])), twin.requests

    (verdict,), requests = ask_twin(tmp_path / STORE, "", use)
    assert requests == 1
    assert (verdict.outcome, verdict.p_loss) == (AskOutcome.UNAVAILABLE, None)
    assert "verdict store cannot be written" in verdict.detail
