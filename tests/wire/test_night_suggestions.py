"""The night's question over the real SDK: a suggestion is seen, answered by a person and taken back; a reply that is not right is none."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli_kit import Done, trader
from tests.gemini_modes import TABLE, beside_twin, fault
from tests.ledger_kit import open_ledger
from trader.bootstrap import nights, suggesting
from trader.bootstrap.paths import Paths
from trader.bootstrap.promotion import active
from trader.bootstrap.tuning import live_numbers, parameters_of
from trader.config import Settings, load
from trader.data.verdicts import SqliteVerdictStore
from trader.domain.verdicts import AskOutcome
from trader.gemini import suggest as provider
from trader.gemini.client import make_client
from trader.gemini.suggest import Asked, Heard
from trader.simulation.clock import LoopClock
from trader.simulation.gemini_faults import MODES, gemini_plan
from trader.simulation.gemini_server import GeminiTwin

DAY = "2026-01-06"
HARMLESS = frozenset({"ok", "slow", "missing_id"})  # a suggestion fewer is an answer, too
SPEED = 1_000.0  # of the twin's clock: its latency shall not be waited for


@pytest.fixture
def twin() -> Iterator[GeminiTwin]:
    """A Gemini twin beside the caller, who blocks."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    served = GeminiTwin(LoopClock(0, SPEED))
    asyncio.run_coroutine_threadsafe(served.start(port=0), loop).result(10)
    yield served
    asyncio.run_coroutine_threadsafe(served.close(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture
def settings(tmp_path: Path, twin: GeminiTwin) -> Settings:
    """A demo as it comes, whose ports are the twin's."""
    open_ledger(tmp_path).close()
    made = load({"state_dir": str(tmp_path / "state"), "ports.gemini_twin": int(twin.url.rsplit(":", 1)[1])}, environ={})
    found = nights.Step(state=nights.DONE, at="", found={"spans": {"day": {"trades": 4, "win_rate": 0.25}}, "refusals": {"SCORE_LOW": 9}})
    nights.save(Paths(made.state).nights, nights.Night(day=DAY, steps={"sum up": found}))
    return made


def test_the_demo_s_stand_in_suggests_and_only_a_person_s_words_change_the_next_session(settings: Settings, twin: GeminiTwin) -> None:
    before = parameters_of(active(settings))
    told = suggesting.suggest(settings, DAY)
    assert told["asked"] and told["why"] == "" and twin.requests == 1 and parameters_of(active(settings)) == before

    def said(*words: str) -> Done:
        return trader("night", *words, "--state", settings.state_dir, cwd=settings.state.parent)

    change, note = (one["id"] for one in told["suggestions"])
    seen = said("list").stdout
    assert f"{change}  PENDING (scripted stand-in, not AI)" in seen and f"{note}  PENDING (scripted stand-in, not AI)" in seen
    assert said("reject", note, "--reason", "a script's note").returncode == 0 and parameters_of(active(settings)) == before
    assert said("approve", change, "--reason", "to see it").returncode == 0 and parameters_of(active(settings)) != before
    assert said("approve", note, "--reason", "too late").returncode != 0
    assert said("revert", change, "--reason", "seen").returncode == 0 and parameters_of(active(settings)) == before
    assert suggesting.suggest(settings, DAY)["asked"] and twin.requests == 1  # a night that has suggestions does not ask again


def test_the_raw_reply_is_kept_whatever_it_came_to_and_nothing_is_asked_with_the_ai_off(settings: Settings, twin: GeminiTwin) -> None:
    assert not suggesting.suggest(settings.model_copy(update={"ai": settings.ai.model_copy(update={"mode": "off"})}), DAY)["asked"]
    assert twin.requests == 0
    twin.plan = gemini_plan(fault("prose", "generate"))
    told = suggesting.suggest(settings, DAY)
    assert told["suggestions"] == [] and told["why"].startswith("the model's answer counts as INVALID (schema:")
    store = SqliteVerdictStore(Paths(settings.state).night_ai, read_only=True)
    (call,) = store.calls()
    store.close()
    assert (call.outcome, call.is_twin, call.prompt_version) == (AskOutcome.INVALID, True, "1-suggest")
    assert b"DON'T BUY" in call.response and json.loads(call.request)["figures"]["day.trades"] == 4.0


def asked() -> Asked:
    """A question about the strategy in use."""
    settings = load({}, environ={})
    return Asked(strategy=settings.strategy, figures={"day.trades": 4.0}, live=live_numbers(settings))


def test_every_fault_of_the_text_model_is_one_request_and_no_suggestion() -> None:
    async def use(twin: GeminiTwin, _: LoopClock) -> list[tuple[str, Heard, int]]:
        client, told = make_client("k", twin.url), []
        for mode in MODES["generate"]:
            before = twin.requests
            heard = await provider.ask(client, "gemini-3.5-flash-lite", asked())
            await asyncio.sleep(60.0)  # a hidden retry would come in this time
            told.append((mode, heard, twin.requests - before))
        await client.aio.aclose()
        return told

    plan = "".join(fault(mode, "generate", nth=[number]) for number, mode in enumerate(MODES["generate"], start=1))
    for mode, heard, requests in beside_twin(use, plan, 7):
        assert (mode, requests, bool(heard.proposals)) == (mode, 1, mode in HARMLESS)
        assert heard.outcome is (AskOutcome.OK if mode in HARMLESS else TABLE.get(mode, AskOutcome.INVALID)), (mode, heard.detail)
