"""The lines between session and AI worker: newline-terminated JSON objects on a unix socket.

Session to worker `{"type": "want", "questions": [...]}`; worker to session `{"type": "verdicts", "verdicts": [...]}` and, every second,
`{"type": "state", "state": "ok"}`. What is no such line raises ValueError, whatever it holds.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from trader.domain.orders import Side
from trader.domain.verdicts import AskOutcome, Question, Verdict, VerdictKey

LINE_LIMIT = 1 << 20
HEARTBEAT_S = 1.0
SILENCE_S = 5.0
STATES = ("ok", "BREAKER", "PRIORITY", "BUDGET")


def no_answer(question: Question, detail: str) -> Verdict:
    """A question that never reached a provider."""
    return Verdict(
        key=question.key,
        outcome=AskOutcome.UNAVAILABLE,
        asked_us=question.asked_us,
        expires_us=question.asked_us,
        band_lo=question.band_lo,
        band_hi=question.band_hi,
        detail=detail,
    )


def encode(message: dict[str, Any]) -> bytes:
    """A message as one line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """One line as a message; raises ValueError for anything else."""
    try:
        message = json.loads(line, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("AI socket: line nested too deeply") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ValueError("AI socket: a line is not a message with a type")
    return message


def _no_constant(name: str) -> float:
    raise ValueError(f"AI socket: {name} is no number")


def _key_out(key: VerdictKey) -> dict[str, str]:
    return {"pair": key.pair, "side": key.side.value, "strategy": key.strategy}


def key_in(value: Any) -> VerdictKey:
    """Raises KeyError, TypeError or ValueError where the value is not a key."""
    return VerdictKey(pair=str(value["pair"]), side=Side(value["side"]), strategy=str(value["strategy"]))


def question_out(question: Question) -> dict[str, Any]:
    """A question as it crosses the socket."""
    return {
        "key": _key_out(question.key),
        "asked_us": question.asked_us,
        "asked_price": question.asked_price,
        "band": [question.band_lo, question.band_hi],
        "features": question.features,
        "priority": question.priority,
    }


def question_in(value: Any) -> Question:
    """Raises ValueError where the value is not what `question_out` makes."""
    try:
        return Question(
            key=key_in(value["key"]),
            asked_us=int(value["asked_us"]),
            asked_price=float(value["asked_price"]),
            band_lo=float(value["band"][0]),
            band_hi=float(value["band"][1]),
            features={str(name): entry if isinstance(entry, str) else float(entry) for name, entry in value["features"].items()},
            priority=value["priority"] is True,
        )
    except (KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise ValueError(f"AI socket: not a question ({type(error).__name__})") from error


def verdict_out(verdict: Verdict) -> dict[str, Any]:
    """A verdict as it crosses the socket."""
    return {
        "key": _key_out(verdict.key),
        "outcome": verdict.outcome.value,
        "asked_us": verdict.asked_us,
        "expires_us": verdict.expires_us,
        "p_loss": verdict.p_loss,
        "detail": verdict.detail,
        "provider": verdict.provider,
        "model": verdict.model,
        "is_twin": verdict.is_twin,
        "latency_ms": verdict.latency_ms,
        "verdict_id": verdict.verdict_id,
    }


def verdict_in(value: Any, asked: Question) -> Verdict:
    """The verdict on a question of ours; the band is the one we asked about, whatever the line says. Raises ValueError."""
    try:
        outcome, p_loss = AskOutcome(value["outcome"]), value["p_loss"]
        if (outcome is AskOutcome.OK) != (type(p_loss) in (int, float) and 0.0 <= p_loss <= 1.0):
            raise ValueError("AI socket: a probability belongs to OK, and only to OK")
        return replace(
            no_answer(asked, str(value["detail"])),
            outcome=outcome,
            expires_us=int(value["expires_us"]),
            p_loss=None if p_loss is None else float(p_loss),
            provider=str(value["provider"]),
            model=str(value["model"]),
            is_twin=value["is_twin"] is True,
            latency_ms=float(value["latency_ms"]),
            verdict_id=str(value["verdict_id"]),
        )
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"AI socket: not a verdict ({type(error).__name__})") from error
