"""The doctor's look at the AI: what its breaker, budget and record say, and one real question with its parsed answer."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from trader.bootstrap.notices import clock_of
from trader.bootstrap.paths import Paths
from trader.bootstrap.wire import Endpoints, ai_limits, choice_of
from trader.config import Settings
from trader.data.ledger_ai import mode_in_force
from trader.data.verdicts import SqliteVerdictStore
from trader.domain.orders import Side
from trader.domain.verdicts import AskOutcome, Question, Verdict, VerdictKey
from trader.errors import TraderError
from trader.gemini.advisors import NONE, advisor
from trader.gemini.budget import PRIORITY_ONLY, Breaker, BreakerState, Budget, load
from trader.gemini.client import make_client
from trader.gemini.worker import KEY_VARIABLE
from trader.maintenance.checks import Check

DEADLINE_S = 10.0
TIER = "free-tier answers may be used to improve the provider's products, and its limits are low: use a paid key for real money"
WHY = "in veto mode there is no entry without a verdict"


def ai_checks(settings: Settings, *, up: bool) -> Iterator[Check]:
    """Nothing to look at with the AI off. The question is asked where somebody can answer: a running demo, or with a key."""
    try:
        mode = mode_in_force(Paths(settings.state).ledger_at, settings.ai.mode)
    except TraderError as error:
        yield Check(
            level="FAIL", code="E-AI-004", what=f"whether the AI was demoted is not known: {error}", why=WHY, fix="mend the ledger first"
        )
        return
    if mode == "off":
        yield Check(level="ok", code="E-AI-002", what="the AI is off, as ai.mode says")
        return
    yield from _stored(settings, mode)
    demo = settings.environment == "demo"
    if key := ("demo" if demo and up else "" if demo else os.environ.get(KEY_VARIABLE, "")):
        yield probed(asyncio.run(_ask(settings, key, Endpoints.loopback(settings).gemini if demo else None)))


def _stored(settings: Settings, mode: str) -> Iterator[Check]:
    """Breaker, budget and standing as the stores have them."""
    paths = Paths(settings.state.resolve())
    if mode != settings.ai.mode:
        fix = "trader ai report; a person gives the veto back: trader ai promote --reason WHY"
        yield Check(level="warn", code="E-AI-004", what=f"the AI was demoted to {mode}", why="entries ignore its verdicts", fix=fix)
    if not paths.ai.exists():
        yield Check(level="ok", code="E-AI-002", what=f"AI mode {mode}; it was not asked yet")
        return
    breaker, budget = Breaker(), Budget(ai_limits(settings))
    try:
        store = SqliteVerdictStore(paths.ai, read_only=True)
        try:
            saved = store.load_state(choice_of(settings).source[0])
        finally:
            store.close()
        if saved is not None:
            load(saved, breaker, budget)
    except TraderError as error:
        yield Check(level="FAIL", code="E-AI-002", what=str(error), why=WHY, fix=f"move {paths.ai} away; the worker makes it anew")
        return
    used = budget.used(clock_of(settings, paths).now_us())
    shut = breaker.state is not BreakerState.CLOSED
    told = f"AI mode {mode}, breaker {breaker.state.value}{f' ({breaker.reason})' if shut else ''}, {used:.0%} of today's budget used"
    refused = breaker.reason == AskOutcome.REFUSED.value
    fix = "check key, ai.model and API version, then restart `trader up`" if refused else "wait: it tries again; see logs/ai-worker.jsonl"
    level: Literal["ok", "warn", "FAIL"] = "FAIL" if shut and refused else "warn" if shut or used >= PRIORITY_ONLY else "ok"
    yield Check(level=level, code="E-AI-002", what=told, why=WHY, fix=fix if shut else "ai.calls_per_day and the limits beside it")


def probed(verdict: Verdict) -> Check:
    """What one question came to."""
    who = "the scripted stand-in, not AI," if verdict.is_twin else verdict.model
    if verdict.outcome is AskOutcome.OK:
        tier = "" if verdict.is_twin else f"; {TIER}"
        what = f"{who} answered one question in {verdict.latency_ms:.0f} ms: P(loss) {verdict.p_loss}{tier}"
        return Check(level="ok", code="E-AI-003", what=what)
    what = f"{who} gave no usable answer: {verdict.outcome} {verdict.detail}".rstrip()
    return Check(level="FAIL", code="E-AI-003", what=what, why=WHY, fix="check the key, the network and ai.model")


async def _ask(settings: Settings, key: str, url: str | None) -> Verdict:
    """One question of plain numbers; nothing is stored, and the worker's budget is not touched."""
    clock = clock_of(settings, Paths(settings.state))
    question = Question(
        key=VerdictKey(pair="", side=Side.BUY, strategy=settings.strategy), asked_us=clock.now_us(), asked_price=100.0, band_lo=99.0,
        band_hi=101.0, features={"rsi": 30.0, "stop_bp": 200.0, "target_bp": 300.0, "cost_bp": 90.0}, priority=True,
    )  # fmt: skip
    choice = replace(choice_of(settings), deadline_s=DEADLINE_S, text_deadline_s=DEADLINE_S, fallback=NONE)
    asked = advisor(make_client(key, url), clock, choice, store=None, limits=ai_limits(settings), seed=0, ttl_s=settings.ai.ttl_s)
    try:
        return next(iter(await asked.ask([question])))
    finally:
        await asked.close()
