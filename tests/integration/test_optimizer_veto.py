"""A switch that passed everything is put to the AI's stand-in over its wire: it can hold the switch up, and nothing else."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.optimizer_kit import EDGE, state_with
from trader.bootstrap import optimizing
from trader.bootstrap.optimize_command import report
from trader.bootstrap.optimizer_veto import VETO_AT, Word, bound, heard, question_on
from trader.bootstrap.optimizing import Answer
from trader.bootstrap.paths import Paths
from trader.bootstrap.promotion import obstacles, question_of
from trader.config import Settings, load
from trader.data.verdicts import SqliteVerdictStore
from trader.domain.orders import Side
from trader.gemini.prompt import build
from trader.gemini.switch_prompt import NUMBERS, SWITCH
from trader.reporting import leaderboard
from trader.research.optimizer.verdict import Decision, Reason
from trader.simulation.clock import wall_clock
from trader.simulation.gemini_answers import answer
from trader.simulation.gemini_faults import gemini_plan
from trader.simulation.gemini_server import GeminiTwin


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Answer]:
    """Settings of a state with an edge, and the answer of the statistics there: a switch."""
    state = tmp_path_factory.mktemp("veto")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in state_with(EDGE, state).items():
            patch.setenv(name, value)
        settings = load()
        found = optimizing.decide_on(question_of(settings), state=settings.state)
    assert found.judgement.decision is Decision.SWITCH
    return settings, found


def asked(settings: Settings, found: Answer, mode: str, plan: str = "", seed: int = 7) -> tuple[Answer, int]:
    """The answer after the AI was heard, and how many questions reached it."""

    async def hear() -> tuple[Answer, int]:
        twin = GeminiTwin(wall_clock(), seed=seed, plan=gemini_plan(plan) if plan else None)
        await twin.start(port=0)
        try:
            ports = settings.ports.model_copy(update={"gemini_twin": int(twin.url.rsplit(":", 1)[1])})
            ai = settings.ai.model_copy(update={"mode": mode})
            return await heard(settings.model_copy(update={"ports": ports, "ai": ai}), found), twin.questions
        finally:
            await twin.close()

    return asyncio.run(hear())


def says(settings: Settings, found: Answer, seed: int) -> float:
    """What the stand-in of that seed answers to this switch."""
    made = build([question_on(found.judgement, 0)], settings.ai.model, settings.market.seed, SWITCH)
    return float(answer({"type": "noul", "instructions": next(iter(made.instructions.values()))}, seed)["noul"])


def seed_that(settings: Settings, found: Answer, *, rejects: bool) -> int:
    return next(seed for seed in range(200) if (says(settings, found, seed) >= VETO_AT) is rejects)


def test_the_question_is_the_whole_table_of_statistics(made: tuple[Settings, Answer]) -> None:
    question = question_on(made[1].judgement, 0)
    assert SWITCH.record(question).keys() == NUMBERS.keys()
    assert question.key.side is Side.BUY and question.key.pair == ""


def test_a_stand_in_that_does_not_object_leaves_the_switch_to_a_person_and_is_named(made: tuple[Settings, Answer]) -> None:
    settings, found = made
    seed = seed_that(settings, found, rejects=False)
    heard_, questions = asked(settings, found, "veto", seed=seed)
    assert questions == 1 and heard_.judgement == found.judgement
    told = report(settings, heard_)
    assert told["ai"]["p_reject"] == pytest.approx(says(settings, found, seed)) and told["ai"]["twin"] is True
    assert "stand-in (scripted, not AI) does not reject" in leaderboard.markdown(told)
    assert obstacles(settings, Paths(settings.state), told, 0) == "", "nothing but a person is in the way"
    store = SqliteVerdictStore(Paths(settings.state).optimizer_ai)
    assert store.load_state("gemini-decisions") is not None, "the call is on record"
    store.close()


def test_a_rejection_is_a_keep_and_nobody_is_asked(made: tuple[Settings, Answer]) -> None:
    settings, found = made
    heard_, _ = asked(settings, found, "veto", seed=seed_that(settings, found, rejects=True))
    told = report(settings, heard_)
    assert (heard_.judgement.decision, heard_.judgement.reason) == (Decision.KEEP, Reason.VETOED)
    assert "VETOED" in told["sentence"] and "rejects the switch" in told["sentence"]
    assert "says KEEP" in obstacles(settings, Paths(settings.state), told, 0)
    assert told["conditions"] and told["leaderboard"], "what it would have been stays readable"


@pytest.mark.parametrize("fault", ["500", "reset", "truncated"])
def test_no_usable_verdict_is_a_keep(made: tuple[Settings, Answer], fault: str) -> None:
    plan = f'[[fault]]\nwhere = "decisions"\naction = "{fault}"\n'
    heard_, _ = asked(*made, "veto", plan)
    assert heard_.judgement.reason is Reason.VETOED and "no usable verdict" in heard_.judgement.sentence


def test_in_shadow_it_is_asked_shown_and_not_obeyed_and_off_it_is_not_asked(made: tuple[Settings, Answer]) -> None:
    settings, found = made
    heard_, questions = asked(settings, found, "shadow", seed=seed_that(settings, found, rejects=True))
    assert questions == 1 and heard_.judgement.decision is Decision.SWITCH
    assert "(binds nothing)" in leaderboard.screen(heard_.as_dict())
    assert asked(settings, found, "off") == (found, 0)


def test_it_can_propose_nothing_and_is_not_asked_about_a_keep(made: tuple[Settings, Answer]) -> None:
    settings, found = made
    kept = replace(found, judgement=replace(found.judgement, reason=Reason.CURRENT_IS_BEST))
    assert asked(settings, kept, "veto") == (kept, 0)
    eager = Word(mode="veto", p_reject=0.0, outcome="OK")
    assert bound(kept, eager).judgement == kept.judgement, "a word for a switch turns no KEEP into one"


def test_real_settings_without_a_key_keep(made: tuple[Settings, Answer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TRADER_GEMINI_API_KEY", raising=False)
    settings = made[0].model_copy(update={"environment": "paper", "state_dir": str(tmp_path)})
    settings = settings.model_copy(update={"ai": settings.ai.model_copy(update={"mode": "veto"})})
    found = asyncio.run(heard(settings, made[1]))
    assert found.judgement.decision is Decision.KEEP and "TRADER_GEMINI_API_KEY is not set" in found.judgement.sentence
    assert json.loads(json.dumps(found.as_dict()["ai"]))["outcome"] == "UNAVAILABLE"
