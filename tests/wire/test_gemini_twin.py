"""The Gemini twin through the real SDK on the stepped loop: every fault mode, one request each, the outcome of the table."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from tests.gemini_modes import CONTROLS, DEADLINES_S, DETAILS, EPOCH, TABLE, fault, meet, questions, with_twin
from trader.domain.orders import Side
from trader.domain.verdicts import AskOutcome, VerdictKey
from trader.errors import ConfigError
from trader.execution.confirmation import Desk, Snapshot
from trader.execution.verdict_book import VerdictBook
from trader.gemini.client import make_client
from trader.gemini.decisions import GeminiDecisions
from trader.gemini.link import DirectLink
from trader.simulation import gemini_answers as answers_of
from trader.simulation.clock import LoopClock
from trader.simulation.gemini_faults import MODES, gemini_plan
from trader.simulation.gemini_requests import MODEL
from trader.simulation.gemini_server import GeminiTwin


@pytest.mark.parametrize(("api", "mode"), [(api, mode) for api, modes in MODES.items() for mode in modes])
def test_each_mode_ends_in_its_table_row_after_exactly_one_request(api: str, mode: str) -> None:
    row, verdicts = meet(mode, api)
    assert row.wrong == ""
    assert [verdict.key.pair for verdict in verdicts] == [f"P{i}/EUR" for i in range(5)]
    assert row.elapsed_s <= DEADLINES_S[api] + 1e-6
    for verdict in verdicts:
        assert (verdict.p_loss is not None) == (mode in CONTROLS)
        assert verdict.is_twin or mode in ("hang", "reset", "refuse")


def test_a_row_is_wrong_by_outcome_by_requests_and_by_what_it_admits() -> None:
    good, _ = meet("503")
    assert not good.wrong
    assert "the table says UNAVAILABLE" in replace(good, outcome="OK").wrong
    assert "2 requests" in replace(good, requests=2).wrong
    assert "1 of 5 entries admitted" in replace(good, rulings={"ALLOW": 1, "DEFER": 4}).wrong


def test_after_refuse_nobody_listens_for_the_time_of_the_plan() -> None:
    async def use(twin: GeminiTwin, advisor: GeminiDecisions) -> list[tuple[str, str, int]]:
        seen = []
        for pause in (0.0, 1.0, 20.0):
            await asyncio.sleep(pause)
            (verdict,) = await advisor.ask(questions(1))
            seen.append((verdict.outcome.value, verdict.detail, twin.requests))
        return seen

    seen = with_twin(use, fault("refuse", nth=1, arg=12.0))
    assert [(outcome, requests) for outcome, _, requests in seen] == [("UNAVAILABLE", 1), ("UNAVAILABLE", 1), ("OK", 2)]


def test_the_plan_can_be_replaced_and_taken_back_while_the_twin_runs() -> None:
    async def use(twin: GeminiTwin, advisor: GeminiDecisions) -> list[Any]:
        seen: list[Any] = []
        async with aiohttp.ClientSession() as session:
            for plan in (fault("503"), fault("explode"), ""):
                async with session.post(f"{twin.url}/_twin/plan", data=plan) as response:
                    seen.append((response.status, (await response.json()).get("faults")))
                seen += [verdict.outcome.value for verdict in await advisor.ask(questions(1))]
        return seen

    assert with_twin(use) == [(200, 1), "UNAVAILABLE", (400, None), "UNAVAILABLE", (200, 0), "OK"]


def test_the_table_covers_every_mode() -> None:
    for api, modes in MODES.items():
        assert {*TABLE, *DETAILS[api]} == set(modes)
    assert len(MODES["decisions"]) >= 31 and len(MODES["generate"]) >= 34


def test_the_client_is_usable_after_a_hang_and_asks_again() -> None:
    async def use(twin: GeminiTwin, advisor: GeminiDecisions) -> list[set[AskOutcome]]:
        return [{verdict.outcome for verdict in await advisor.ask(questions())} for _ in range(3)]

    assert with_twin(use, fault("hang", nth=2)) == [{AskOutcome.OK}, {AskOutcome.TIMEOUT}, {AskOutcome.OK}]


def test_a_slow_answer_past_the_deadline_is_a_timeout() -> None:
    async def use(_: GeminiTwin, advisor: GeminiDecisions) -> tuple[set[AskOutcome], float]:
        outcomes = {verdict.outcome for verdict in await advisor.ask(questions())}
        return outcomes, asyncio.get_running_loop().time()

    assert with_twin(use, fault("slow", arg=5.0)) == ({AskOutcome.TIMEOUT}, pytest.approx(2.0))


def test_a_hundred_questions_are_four_calls_at_a_time_and_every_one_is_answered() -> None:
    async def use(twin: GeminiTwin, advisor: GeminiDecisions) -> tuple[int, int, int]:
        verdicts = await advisor.ask(questions(150))
        return len({verdict.key.pair for verdict in verdicts if verdict.outcome is AskOutcome.OK}), twin.requests, twin.questions

    assert with_twin(use) == (150, 5, 150)


def test_the_breaker_opens_on_a_429_and_probes_with_one_question_when_told() -> None:
    async def use(twin: GeminiTwin, advisor: GeminiDecisions) -> list[tuple[str, int, int]]:
        seen = []
        for pause in (0.0, 1.0, 20.0, 0.0):
            await asyncio.sleep(pause)
            verdicts = await advisor.ask(questions())
            seen.append((verdicts[0].outcome.value, twin.requests, twin.questions))
        return seen

    seen = with_twin(use, fault("429", nth=1, arg=12.0))
    assert seen == [("RATE_LIMITED", 1, 5), ("BREAKER", 1, 5), ("OK", 2, 6), ("OK", 3, 11)]


def test_a_wrong_model_key_or_version_is_refused_and_stays_refused() -> None:
    async def use(twin: GeminiTwin, _: GeminiDecisions) -> tuple[set[AskOutcome], str, int]:
        advisor = GeminiDecisions(make_client("k", twin.url), LoopClock(EPOCH), model="models/other")
        outcomes = {verdict.outcome for _ in range(3) for verdict in await advisor.ask(questions())}
        state = advisor.state()
        await advisor.close()
        return outcomes, state, twin.requests

    assert with_twin(use) == ({AskOutcome.REFUSED, AskOutcome.BREAKER}, "BREAKER", 1)


GOOD_BODY = {"model": MODEL, "input": "x", "questions": {"a": {"type": "noul", "instructions": "y"}}}
BAD_BODIES: list[Any] = [
    [],
    {**GOOD_BODY, "questions": {}},
    {**GOOD_BODY, "questions": {"a": {"type": "noul"}}},
    {**GOOD_BODY, "questions": {"a": {"type": "oracle", "instructions": "y"}}},
    {**GOOD_BODY, "questions": {"a": {"type": "choice", "instructions": "y", "criteria": {"one": "1"}}}},
    {**GOOD_BODY, "questions": {"a": {"type": "score", "instructions": "y", "criteria": ["one"]}}},
    {**GOOD_BODY, "input": ""},
    {**GOOD_BODY, "model": "gemini-decision-1"},
    {**GOOD_BODY, "tools": []},
]


def test_the_twin_validates_like_the_service_and_labels_every_answer() -> None:
    async def use(twin: GeminiTwin, _: GeminiDecisions) -> list[int]:
        statuses = []
        async with aiohttp.ClientSession() as session:

            async def post(path: str, body: Any, key: str = "k") -> Any:
                headers = {"x-goog-api-key": key} if key else {}
                async with session.post(f"{twin.url}/{path}", data=json.dumps(body), headers=headers) as response:
                    assert response.headers["X-Twin"] == "scripted stand-in, not AI"
                    statuses.append(response.status)
                    return await response.json()

            answers = (await post("v1beta/decisions", GOOD_BODY))["answers"]
            assert answers["a"]["confidence"] == pytest.approx(max(answers["a"]["noul"], 1 - answers["a"]["noul"]))
            kinds = {
                "c": {"type": "choice", "instructions": "y", "criteria": {"yes": "1", "no": "2"}},
                "s": {"type": "score", "instructions": [{"type": "text", "text": "y"}], "criteria": ["low", "mid", "high"]},
            }
            answers = (await post("v1beta/decisions", {**GOOD_BODY, "questions": kinds}))["answers"]
            assert answers["c"]["choice"] in ("yes", "no")
            assert 0 <= answers["s"]["score"] <= 2
            await post("v1/decisions", GOOD_BODY)
            await post("v1beta/decisions", GOOD_BODY, key="")
            for body in BAD_BODIES:
                await post("v1beta/decisions", body)
            async with session.get(f"{twin.url}/v1beta/models") as response:
                assert (await response.json())["models"][0]["name"] == MODEL
            async with session.get(f"{twin.url}/_twin") as response:
                assert (await response.json())["requests"] == twin.requests == len(statuses)
            async with session.get(f"{twin.url}/healthz") as response:
                assert response.status == 200
        return statuses

    assert with_twin(use) == [200, 200, 404, 403] + [400] * len(BAD_BODIES)


def test_same_seed_same_answers_and_latencies_another_seed_others() -> None:
    async def use(_: GeminiTwin, advisor: GeminiDecisions) -> list[tuple[float | None, float]]:
        return [(verdict.p_loss, verdict.latency_ms) for _ in range(3) for verdict in await advisor.ask(questions())]

    one, two, other = with_twin(use), with_twin(use), with_twin(use, seed=8)
    assert len(one) == 15
    assert one == two != other


def test_answers_spread_wide_around_usual_thresholds() -> None:
    typical = {"score": 62.0, "bb_position": 0.02, "volume_ratio": 1.6, "ema_distance_atr": -2.5, "atr_bp": 55.0}
    answers = sorted(answers_of.p_loss({**typical, "rsi": 25.0 + i % 12}, 7, str(i)) for i in range(5000))
    assert 0.10 < sum(p >= 0.45 for p in answers) / 5000 < 0.20
    assert 0.25 < sum(p >= 0.30 for p in answers) / 5000 < 0.40
    assert sum(p < 0.2 for p in answers) / 5000 > 0.3


def test_latency_has_its_published_median_and_tail() -> None:
    times = sorted(answers_of.latency_s(7, call) for call in range(1, 20_001))
    assert times[10_000] == pytest.approx(0.2, rel=0.03)
    assert 0.006 < sum(seconds > 0.7 for seconds in times) / 20_000 < 0.016


def test_a_fault_plan_names_what_is_wrong_with_it() -> None:
    with pytest.raises(ConfigError, match="explode"):
        gemini_plan(fault("explode"))
    assert gemini_plan(fault("429", p=0.5, arg=3)).watches("decisions")


def test_desk_link_provider_and_twin_repeat_to_the_byte_on_the_stepped_loop() -> None:
    """A quarter of an hour of prescans over 40 pairs, faults included, twice."""
    plan = fault("503", p=0.1) + fault("truncated", nth=[4])

    async def use(_: GeminiTwin, advisor: GeminiDecisions) -> str:
        book = VerdictBook()
        desk, link, clock, lines = Desk(book), DirectLink(advisor), LoopClock(EPOCH), []
        for scan in range(30):
            desk.take(link.take(), clock.now_us())
            book.link_state = link.state()
            shots = [
                Snapshot(
                    key=VerdictKey(pair=f"P{i}/EUR", side=Side.BUY, strategy="viable/mitraillette/AGGRESSIVE"),
                    price=100.0 + (i * scan % 7) / 10,
                    atr_fraction=0.006,
                    stop=0.03,
                    target=0.05,
                    costs=0.009,
                    features={"rsi": 25.0 + (i + scan) % 15, "score": 55.0 + i},
                )
                for i in range(40)
                if (i + scan) % 11
            ]
            lines += [str(book.look_up(shot.key, shot.price, clock.now_us())) for shot in shots]
            link.want(desk.near(shots, clock.now_us()))
            await clock.sleep(30.0)
        await link.close()
        return "\n".join(lines)

    one, two = with_twin(use, plan), with_twin(use, plan)
    rulings = Counter(line.split("Ruling.")[1].split(":")[0] for line in one.split("\n"))
    assert one == two
    assert rulings["ALLOW"] > 100
    assert rulings["SHRINK"] > 10
    assert rulings["VETO"] > 10
    assert rulings["DEFER"] > 10
