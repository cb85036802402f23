"""The night's suggestions: asked for once, tried on stored candles, kept for a person. Only a person's act changes a session.

There is no code that approves: `answer_suggestion` is called by the command line with the name of who typed it.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from trader.bootstrap import nights
from trader.bootstrap.notices import post_notice
from trader.bootstrap.optimizing import decide_on
from trader.bootstrap.paths import Paths
from trader.bootstrap.promotion import active, question_of
from trader.bootstrap.state_time import now_of
from trader.bootstrap.tuning import live_numbers
from trader.bootstrap.wire import Endpoints
from trader.config import Settings
from trader.data.suggestions import Suggestions
from trader.data.verdicts import SqliteVerdictStore
from trader.domain.messages import stamp
from trader.domain.suggestions import WHOLE, Act, Proposal, Suggestion
from trader.domain.verdicts import AskOutcome, CallRecord
from trader.errors import RejectedError, TraderError
from trader.gemini import suggest as provider
from trader.gemini.client import API_VERSION, make_client
from trader.gemini.exchange import Sent
from trader.gemini.suggest import Asked, Heard
from trader.gemini.text import PROVIDER
from trader.gemini.worker import KEY_VARIABLE

NOTE: Final = "a note for a person; nothing runs it"
LABEL: Final = "scripted stand-in, not AI"
TRIED: Final = ("decision", "reason", "sentence")


def suggest(settings: Settings, day: str) -> dict[str, Any]:
    """Ask, try each change on the stored candles, keep what came. A night that has suggestions asks no second time."""
    paths, running = Paths(settings.state), active(settings)
    table = Suggestions(paths.ops)
    try:
        if kept := [one for one in table.all() if one.night == day]:
            return _found(settings, Heard(outcome=AskOutcome.OK), kept)
        if why := _not_asked(settings):
            return {"asked": False, "why": why, "suggestions": []}
        heard = _ask(settings, asked_of(running, nights.load(paths.nights, day)))
        made = [_suggestion(settings, running, day, one, heard) for one in heard.proposals]
        table.add(made)
        for one in made:
            told = plain(one, one.made_us)
            payload = {name: told[name] for name in ("id", "words", "label")} | {"trial": told["trial"].get("sentence", "")}
            post_notice(settings, "suggestion.made", payload, dedupe_key=f"suggestion {one.suggestion_id}")
    finally:
        table.close()
    return _found(settings, heard, made)


def model_of(settings: Settings) -> str:
    """Whom the night asks; empty: nobody. The demo has its stand-in, which costs nothing and answers under any name the twin knows."""
    return settings.ai.night_model or (settings.ai.text_model if settings.environment == "demo" else "")


def _not_asked(settings: Settings) -> str:
    if settings.ai.mode == "off":
        return "ai.mode is off"
    return "" if model_of(settings) else "ai.night_model is not set"


def asked_of(settings: Settings, night: nights.Night) -> Asked:
    """The figures the night has, by id, and the numbers that may be changed."""
    figures: dict[str, float] = {}
    for span, told in dict(night.found("sum up").get("spans", {})).items():
        for name, value in told.items():
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                figures[f"{span.replace(' ', '_')}.{name}"] = round(float(value), 6)
    figures |= {f"refused.{code}": float(count) for code, count in dict(night.found("sum up").get("refusals", {})).items()}
    return Asked(strategy=settings.strategy, figures=figures, live=live_numbers(settings))


def _ask(settings: Settings, asked: Asked) -> Heard:
    demo = settings.environment == "demo"
    key = "demo" if demo else os.environ.get(KEY_VARIABLE, "")
    if not key:
        return Heard(outcome=AskOutcome.UNAVAILABLE, detail=f"{KEY_VARIABLE} is not set")

    async def once() -> Heard:
        client = make_client(key, Endpoints.loopback(settings).gemini if demo else None)
        try:
            return await provider.ask(client, model_of(settings), asked)
        finally:
            await client.aio.aclose()

    heard = asyncio.run(once())
    if heard.sent is not None:
        _keep(settings, asked, heard.sent)
    return heard


def _keep(settings: Settings, asked: Asked, sent: Sent) -> None:
    """Write the request and its raw reply down, whatever it came to."""
    paths, request = Paths(settings.state), asked.text.encode()
    now_us, sha = now_of(paths), hashlib.sha256(request).hexdigest()
    call = CallRecord(
        call_id=hashlib.sha256(f"{now_us}|{sha}".encode()).hexdigest()[:16], asked_us=now_us, provider=PROVIDER,
        model_requested=model_of(settings), model_served=sent.served_by, api_version=API_VERSION, is_twin=sent.is_twin,
        prompt_version=provider.PROMPT_VERSION, request_sha256=sha, request=request, response=sent.body, http_status=sent.status,
        outcome=sent.parsed.outcome, detail=sent.parsed.detail, questions=1, queue_ms=0.0, network_ms=sent.network_ms,
        parse_ms=sent.parse_ms, tokens_in=sent.parsed.tokens_in, tokens_out=sent.parsed.tokens_out,
    )  # fmt: skip
    store = SqliteVerdictStore(paths.night_ai)
    try:
        store.record(call, ())
        store.drop_bodies(now_us)
    finally:
        store.close()


# --- trying ---------------------------------------------------------------------------------------------------------------
def _suggestion(settings: Settings, running: Settings, day: str, proposal: Proposal, heard: Heard) -> Suggestion:
    return Suggestion(
        suggestion_id=f"{day.replace('-', '')}-{proposal.name}", night=day, proposal=proposal, trial=trial(running, proposal),
        model=model_of(settings), is_twin=heard.is_twin, made_us=now_of(Paths(settings.state)),
    )  # fmt: skip


def trial(settings: Settings, proposal: Proposal) -> dict[str, Any]:
    """What walk-forward judging says of a change against the strategy in use; of a note, that there is nothing to try."""
    if proposal.parameter is None:
        return {"sentence": NOTE}
    value = int(proposal.proposed) if proposal.parameter in WHOLE else proposal.proposed
    base = f"{settings.mode}/{settings.variation}"
    row = f'[[candidate]]\nname = "suggested"\nbase = "{base}"\n{proposal.parameter.value} = {value}\n'
    with tempfile.TemporaryDirectory(prefix="trader-suggestion-") as folder:
        file = Path(folder) / "candidates.toml"
        file.write_text(row, encoding="utf-8")
        try:
            told = decide_on(replace(question_of(settings), table=file), state=settings.state, threads=settings.optimizer.threads).as_dict()
        except TraderError as error:
            return {"sentence": f"not tried: {error}"}
    standing: list[Mapping[str, Any]] = [one for one in told.get("leaderboard", ()) if str(one.get("name", "")).endswith(" suggested")]
    return {name: told[name] for name in TRIED} | {"suggested": standing[0] if standing else None}


# --- people ---------------------------------------------------------------------------------------------------------------
def listed(settings: Settings) -> list[dict[str, Any]]:
    """Every suggestion, newest first, plain values."""
    paths = Paths(settings.state)
    if not paths.ops.exists():
        return []
    table, now_us = Suggestions(paths.ops), now_of(paths)
    try:
        return [plain(one, now_us) for one in reversed(table.all())]
    finally:
        table.close()


def answer_suggestion(settings: Settings, suggestion_id: str, what: Act, *, who: str, reason: str) -> dict[str, Any]:
    """What a person decides; an approved change counts when the next session starts. Raises RejectedError where it cannot be."""
    paths = Paths(settings.state)
    if not paths.ops.exists():
        raise RejectedError(f"no suggestion {suggestion_id!r}: nothing was suggested in {settings.state_dir} yet")
    table, now_us = Suggestions(paths.ops), now_of(paths)
    try:
        made = table.answer_suggestion(suggestion_id, what, who=who, why=reason, now_us=now_us)
    finally:
        table.close()
    told = plain(made, now_us)
    payload = {name: told[name] for name in ("id", "state", "words", "label")} | {"who": who, "reason": reason}
    post_notice(settings, "suggestion.answered", payload, dedupe_key=f"suggestion {suggestion_id} {what}")
    return told


def plain(one: Suggestion, now_us: int) -> dict[str, Any]:
    """JSON-ready."""
    p = one.proposal
    return {
        "id": one.suggestion_id, "night": one.night, "state": one.state(now_us).value, "kind": p.kind.value, "strategy": p.strategy,
        "words": p.words, "reason": p.reason.value, "evidence": list(p.evidence), "trial": dict(one.trial),
        "model": one.model, "label": LABEL if one.is_twin else "", "expires": stamp(one.expires_us),
        "acts": [{"act": what.value, "who": who, "reason": why, "at": stamp(at)} for what, who, why, at in one.acts],
    }  # fmt: skip


def _found(settings: Settings, heard: Heard, kept: list[Suggestion]) -> dict[str, Any]:
    now_us = now_of(Paths(settings.state))
    detail = f" ({heard.detail})" if heard.detail else ""
    return {
        "asked": True, "why": "" if heard.outcome is AskOutcome.OK else f"the model's answer counts as {heard.outcome}{detail}",
        "suggestions": [plain(one, now_us) for one in kept],
    }  # fmt: skip
