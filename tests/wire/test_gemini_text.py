"""The text provider and generateContent of the twin through the real SDK: choice, fallback, cassette, rate limits, planted skill."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.gemini_modes import EPOCH, beside_twin, fault, questions, with_text
from trader.bootstrap.cassettes import Tape, from_store
from trader.config import load
from trader.data.verdicts import SqliteVerdictStore
from trader.domain.verdicts import AskOutcome, Verdict
from trader.gemini import cassette as tapes
from trader.gemini.advisors import Choice, advisor
from trader.gemini.budget import Limits
from trader.gemini.client import make_client
from trader.gemini.link import StatefulAdvisor
from trader.gemini.parse_text import REASONS
from trader.gemini.replay import Replay
from trader.gemini.text import GeminiText
from trader.simulation.clock import LoopClock
from trader.simulation.exchange_orders import unit_hash
from trader.simulation.gemini_answers import Skill, p_loss
from trader.simulation.gemini_limits import Quota
from trader.simulation.gemini_server import GeminiTwin
from trader.simulation.loops import run_stepped


def test_a_batch_is_one_request_whose_verdicts_carry_a_reason(tmp_path: Path) -> None:
    async def use(twin: GeminiTwin, clock: LoopClock) -> tuple[int, list[tuple[str, float | None, str, bool]]]:
        store = SqliteVerdictStore(tmp_path / "ai.sqlite")
        asked = GeminiText(make_client("k", twin.url), clock, store=store)
        verdicts = await asked.ask(questions(12))
        await asked.close()
        store.close()
        return twin.requests, [(v.key.pair, v.p_loss, v.reason, v.is_twin) for v in verdicts]

    requests, told = beside_twin(use, "", 7)
    assert requests == 1 and [pair for pair, *_ in told] == [f"P{i}/EUR" for i in range(12)]
    assert all(p is not None and reason in REASONS and twin for _, p, reason, twin in told)
    assert len({p for _, p, _, _ in told}) > 6
    (call,) = SqliteVerdictStore(tmp_path / "ai.sqlite", read_only=True).calls()
    assert (call.provider, call.model_requested, call.prompt_version) == ("gemini-text", "gemini-3.5-flash-lite", "1-text")
    assert call.tokens_in and call.tokens_out


Seen = list[tuple[set[tuple[str, str, float | None]], str]]


async def four_batches(asked: StatefulAdvisor) -> Seen:
    seen = []
    for _ in range(4):
        verdicts = await asked.ask(questions(2))
        seen.append(({(v.provider, v.outcome.value, v.p_loss) for v in verdicts}, asked.state()))
    return seen


def test_the_fallback_is_asked_what_the_first_breaker_kept_back_and_its_cassette_says_so_again(tmp_path: Path) -> None:
    """Three failures open the breaker of the Decisions API; from then on the text model answers, with a breaker of its own."""

    async def use(twin: GeminiTwin, clock: LoopClock) -> tuple[Seen, int]:
        store = SqliteVerdictStore(tmp_path / "ai.sqlite")
        client = make_client("k", twin.url)
        asked = advisor(client, clock, Choice(fallback="text"), store=store, limits=Limits(), seed=7, ttl_s=300.0)
        seen = await four_batches(asked)
        await asked.close()
        store.close()
        return seen, twin.requests

    seen, requests = beside_twin(use, fault("503"), 7)
    assert requests == 4 and seen[:3] == [({("gemini-decisions", "UNAVAILABLE", None)}, "ok")] * 3
    assert {(provider, outcome) for provider, outcome, _ in seen[3][0]} == {("gemini-text", "OK")} and seen[3][1] == "ok"
    tape = Tape(cassette=from_store(tmp_path / "ai.sqlite")[0])
    settings = load({"ai.fallback": "text", "market.seed": 7}, environ={})
    assert run_stepped(lambda: four_batches(tape.advisor(settings, LoopClock(EPOCH)))) == seen
    assert (tape.asked, tape.missed, tape.source()[0]) == (8, 0, "gemini-decisions")


def test_a_text_model_is_chosen_by_its_name() -> None:
    async def use(twin: GeminiTwin, clock: LoopClock) -> tuple[str, str, str]:
        choice = Choice(provider="text", text_model="gemini-3.5-flash")
        asked = advisor(make_client("k", twin.url), clock, choice, store=None, limits=Limits(), seed=7, ttl_s=300.0)
        (verdict,) = await asked.ask(questions(1))
        await asked.close()
        return verdict.provider, verdict.model, verdict.outcome.value

    assert beside_twin(use, "", 7) == ("gemini-text", "gemini-3.5-flash", "OK")


def test_a_cassette_of_a_text_model_replays_answers_drift_and_rate_limits(tmp_path: Path) -> None:
    plan = fault("model_drift", "generate", nth=[2]) + fault("429", "generate", nth=[3], arg=40.0)

    def told(verdicts: list[Verdict]) -> list[tuple[object, ...]]:
        return [(v.key.pair, v.outcome, v.p_loss, v.reason, v.detail, v.provider, v.model, v.is_twin) for v in verdicts]

    async def rounds(asked: GeminiText | Replay) -> list[tuple[list[tuple[object, ...]], str]]:
        seen = []
        for number in range(5):
            seen.append((told(list(await asked.ask(questions(number + 1)))), asked.state()))
            await asyncio.sleep(25.0)
        return seen

    async def use(twin: GeminiTwin, clock: LoopClock) -> list[tuple[list[tuple[object, ...]], str]]:
        store = SqliteVerdictStore(tmp_path / "ai.sqlite")
        asked = GeminiText(make_client("k", twin.url), clock, store=store, seed=7)
        seen = await rounds(asked)
        await asked.close()
        store.close()
        return seen

    heard = beside_twin(use, plan, 7)
    assert [state for _, state in heard] == ["ok", "ok", "BREAKER", "BREAKER", "ok"]
    tape = tapes.recorded("text", SqliteVerdictStore(tmp_path / "ai.sqlite", read_only=True).calls())

    async def again() -> list[tuple[list[tuple[object, ...]], str]]:
        return await rounds(Replay(tape, LoopClock(EPOCH), source=tape.source(), seed=7))

    assert run_stepped(again) == heard


PART = {"parts": [{"text": "x"}]}
ROUTE = "v1beta/models/gemini-3.5-flash-lite:generateContent"
REQUESTS: list[tuple[str, Any, dict[str, str], int]] = [
    (ROUTE, {"contents": [PART]}, {}, 200),
    (ROUTE.replace("v1beta", "v1"), {"contents": [PART]}, {"X-Server-Timeout": "10"}, 200),
    (ROUTE, {"contents": [PART], "generation_config": {"response_json_schema": {"type": "object"}}}, {}, 200),
    (ROUTE, {"contents": [PART]}, {"X-Server-Timeout": "9"}, 400),
    (ROUTE, {"contents": []}, {}, 400),
    (ROUTE, {"contents": [{"parts": [{}]}]}, {}, 400),
    (ROUTE, {"contents": [PART], "generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}}, {}, 400),
    (ROUTE, {"contents": [PART], "generation_config": {"thinking_config": {"thinking_budget": 0}}}, {}, 400),
    (ROUTE, {"contents": [PART], "generationConfig": {"candidateCount": 2}}, {}, 400),
    (ROUTE, {"contents": [PART], "generationConfig": {"responseJsonSchema": []}}, {}, 400),
    (ROUTE, {"contents": [PART]}, {"x-goog-api-key": ""}, 403),
    (ROUTE.replace("flash-lite", "flash-latest"), {"contents": [PART]}, {}, 404),
]


def test_generate_content_is_validated_like_the_service_and_labelled() -> None:
    async def use(twin: GeminiTwin, _: LoopClock) -> list[int]:
        statuses = []
        async with aiohttp.ClientSession() as session:
            for route, body, headers, _status in REQUESTS:
                async with session.post(f"{twin.url}/{route}", data=json.dumps(body), headers={"x-goog-api-key": "k"} | headers) as reply:
                    assert reply.headers["X-Twin"] == "scripted stand-in, not AI"
                    statuses.append(reply.status)
                    if reply.status == 200:
                        assert (await reply.json())["modelVersion"] == "scripted-twin-1"
        return statuses

    assert beside_twin(use, "", 7) == [status for *_, status in REQUESTS]


@pytest.mark.parametrize(
    ("quota", "asked", "let"),
    [
        (Quota(per_minute=3, tokens_per_minute=10**9, per_day=99), 5, 3),
        (Quota(per_minute=99, tokens_per_minute=1_500, per_day=99), 5, 1),
        (Quota(per_minute=99, tokens_per_minute=10**9, per_day=2), 5, 2),
    ],
)
def test_each_rate_limit_answers_429_until_its_window_is_over(quota: Quota, asked: int, let: int) -> None:
    async def main() -> tuple[Counter[str], Counter[str]]:
        clock = LoopClock(EPOCH)
        twin = GeminiTwin(clock, 7, quota=quota)
        await twin.start(port=8702)
        counts = []
        client = make_client("k", twin.url)
        for _ in range(2):
            verdicts = [(await GeminiText(client, clock).ask(questions(4)))[0] for _ in range(asked)]
            counts.append(Counter(verdict.outcome.value for verdict in verdicts))
            await asyncio.sleep(61.0)
        await client.aio.aclose()
        await twin.close()
        return counts[0], counts[1]

    first, second = run_stepped(main)
    assert first == {AskOutcome.OK.value: let, AskOutcome.RATE_LIMITED.value: asked - let}
    assert second == ({AskOutcome.RATE_LIMITED.value: asked} if quota.per_day == let else first)


@pytest.mark.parametrize("rho", [-0.3, 0.0, 0.3])
def test_planted_skill_correlates_with_the_outcome_by_rho(rho: float) -> None:
    """Of 4,000 plans, half of them lost; the logit of the answers against the outcome."""

    def lost(numbers: Mapping[str, Any]) -> bool:
        return unit_hash("fate", str(numbers["score"])) < 0.5

    rows = [{"score": 65.0 + i / 1e6} for i in range(4_000)]
    logits = [math.log(p / (1 - p)) for i, row in enumerate(rows) if (p := p_loss(row, 7, str(i), Skill(rho=rho, lost=lost)))]
    fates = [1.0 if lost(row) else -1.0 for row in rows]
    mean, fate = sum(logits) / len(rows), sum(fates) / len(rows)
    spread = math.sqrt(sum((x - mean) ** 2 for x in logits) * sum((y - fate) ** 2 for y in fates))
    found = sum((x - mean) * (y - fate) for x, y in zip(logits, fates, strict=True)) / spread
    assert found == pytest.approx(rho, abs=0.05)


def test_the_client_is_usable_after_a_hang_of_the_text_model() -> None:
    async def use(twin: GeminiTwin, asked: GeminiText) -> list[set[AskOutcome]]:
        return [{verdict.outcome for verdict in await asked.ask(questions())} for _ in range(3)]

    assert with_text(use, fault("hang", "generate", nth=2)) == [{AskOutcome.OK}, {AskOutcome.TIMEOUT}, {AskOutcome.OK}]
