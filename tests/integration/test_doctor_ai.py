"""What the doctor says of the AI: its stores, its standing, and one question through the real SDK to the twin."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.ledger_kit import T0, open_ledger
from tests.unit.data.test_verdict_store import asked, call
from trader.bootstrap import health_ai
from trader.bootstrap.paths import Paths
from trader.config import Settings, load
from trader.data.ledger_ai import submit_ai_change
from trader.data.verdicts import SqliteVerdictStore
from trader.domain.verdicts import AiMode, AskOutcome
from trader.gemini.budget import Breaker, Budget, dump
from trader.gemini.decisions import PROVIDER
from trader.simulation.clock import wall_clock
from trader.simulation.gemini_faults import gemini_plan
from trader.simulation.gemini_server import GeminiTwin


def _settings(tmp_path: Path, **flags: object) -> Settings:
    return load({"state_dir": str(tmp_path / "state")} | {name.replace("__", "."): value for name, value in flags.items()}, environ={})


def _levels(settings: Settings) -> list[tuple[str, str]]:
    return [(check.code, check.level) for check in health_ai.ai_checks(settings, up=False)]


def _store(settings: Settings, breaker: Breaker) -> None:
    store = SqliteVerdictStore(Paths(settings.state).ai)
    store.record(call(), [asked()])
    store.save_state(PROVIDER, dump(breaker, Budget()))
    store.close()


def test_off_and_not_asked_yet_are_in_order(tmp_path: Path) -> None:
    assert _levels(_settings(tmp_path, ai__mode="off")) == _levels(_settings(tmp_path)) == [("E-AI-002", "ok")]


@pytest.mark.parametrize(("outcomes", "level"), [((), "ok"), ((AskOutcome.TIMEOUT,) * 3, "warn"), ((AskOutcome.REFUSED,), "FAIL")])
def test_a_breaker_that_waits_for_a_person_fails(tmp_path: Path, outcomes: tuple[AskOutcome, ...], level: str) -> None:
    settings, breaker = _settings(tmp_path), Breaker()
    for outcome in outcomes:
        breaker.note(outcome, 1.0, T0)
    _store(settings, breaker)
    assert _levels(settings) == [("E-AI-002", level)]


def test_a_demotion_and_a_store_that_is_none_are_named(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    open_ledger(tmp_path).close()
    submit_ai_change(Paths(settings.state).ledger_at, T0, after=AiMode.SHADOW, who="the scorecard", reason="harm", group="g")
    Paths(settings.state).ai.write_bytes(b"no database " * 200)
    assert _levels(settings) == [("E-AI-004", "warn"), ("E-AI-002", "FAIL")]


@pytest.mark.parametrize(
    ("plan", "level", "words"), [("", "ok", "scripted stand-in, not AI"), ("403", "FAIL", "REFUSED"), ("nan", "FAIL", "INVALID")]
)
def test_one_question_shows_what_the_provider_answers(tmp_path: Path, plan: str, level: str, words: str) -> None:
    text = f'[[fault]]\nwhere = "decisions"\naction = "{plan}"\np = 1.0\n' if plan else ""

    async def ask() -> object:
        twin = GeminiTwin(wall_clock(), plan=gemini_plan(text, seed=1))
        await twin.start(port=0)
        try:
            return await health_ai._ask(_settings(tmp_path), "any", twin.url)
        finally:
            await twin.close()

    check = health_ai.probed(asyncio.run(ask()))  # type: ignore[arg-type]
    assert check.level == level and words in check.what
