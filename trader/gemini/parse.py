"""Raw reply bytes -> probabilities, or INVALID with a reason; never repaired, never raising (AI.md section 3)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trader.domain.verdicts import AskOutcome

MAX_BYTES = 256 * 1024
MAX_DEPTH = 8
_CONFIDENCE_SLACK = 0.02 + 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedAnswer:
    """One id's answer: `p_loss` in [0, 1] exactly where `outcome` is OK; `reason`: a text model's word for it."""

    outcome: AskOutcome
    p_loss: float | None = None
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedReply:
    """A whole reply. `outcome` is OK only if every answer is; `answers` has exactly the ids that were asked."""

    outcome: AskOutcome
    answers: Mapping[str, ParsedAnswer] = field(default_factory=dict)
    detail: str = ""
    tokens_in: int | None = None
    tokens_out: int | None = None


def strict_json(body: bytes) -> dict[str, Any]:
    """One JSON object, or ValueError naming the fault: size, encoding, depth, duplicate keys, NaN, not an object."""
    if len(body) > MAX_BYTES:
        raise ValueError("oversize")
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except _Refused:
        raise
    except (ValueError, RecursionError) as error:
        raise ValueError("not JSON") from error
    if not isinstance(value, dict):
        raise ValueError("not an object")
    if _too_deep(value):
        raise ValueError("too deep")
    return value


class _Refused(ValueError):
    """A fault found inside the decoder, kept apart from its own errors."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _Refused("duplicate key")
    return value


def _no_constant(name: str) -> float:
    raise _Refused(f"constant {name}")


def _too_deep(value: object) -> bool:
    level: list[object] = [value]
    for _ in range(MAX_DEPTH):
        level = [child for item in level for child in _children(item)]
        if not level:
            return False
    return any(isinstance(item, dict | list) for item in level)


def _children(item: object) -> list[object]:
    if isinstance(item, dict):
        return list(item.values())
    return item if isinstance(item, list) else []


def parse_decisions(body: bytes, ids: Sequence[str]) -> ParsedReply:
    """The reply of the Decisions API to the questions `ids`; every listed fault of AI.md section 3 has its own detail."""
    try:
        reply = strict_json(body)
    except ValueError as error:
        return whole(ids, AskOutcome.INVALID, f"json: {error}")
    tokens_in, tokens_out = _tokens(reply.get("usage"))
    if reason := block_reason(reply):
        return whole(ids, AskOutcome.BLOCKED, reason, tokens_in, tokens_out)
    answers = reply.get("answers")
    if not isinstance(answers, dict):
        return whole(ids, AskOutcome.INVALID, f"shape: answers is {kind(answers)}", tokens_in, tokens_out)
    if answers.keys() != dict.fromkeys(ids).keys():
        return whole(ids, AskOutcome.INVALID, f"ids: {len(answers)} answers to {len(ids)} questions, or other ids", tokens_in, tokens_out)
    parsed = {name: _answer(answers[name]) for name in ids}
    bad = [answer.detail for answer in parsed.values() if answer.outcome is not AskOutcome.OK]
    return ParsedReply(
        outcome=AskOutcome.INVALID if bad else AskOutcome.OK,
        answers=parsed,
        detail=f"{bad[0]} ({len(bad)} of {len(ids)})" if bad else "",
        tokens_in=tokens_in,
        tokens_out=tokens_out,
    )


def whole(ids: Sequence[str], outcome: AskOutcome, detail: str, tokens_in: int | None = None, tokens_out: int | None = None) -> ParsedReply:
    """One outcome for a whole batch."""
    answers = {name: ParsedAnswer(outcome=outcome, detail=detail) for name in ids}
    return ParsedReply(outcome=outcome, answers=answers, detail=detail, tokens_in=tokens_in, tokens_out=tokens_out)


def _answer(answer: object) -> ParsedAnswer:
    if not isinstance(answer, dict):
        return _invalid(f"shape: answer is {kind(answer)}")
    if answer.get("type") != "noul":
        return _invalid("type: not noul")
    noul, confidence = probability(answer.get("noul")), probability(answer.get("confidence"))
    if noul is None:
        return _invalid(f"value: noul is {kind(answer.get('noul'))}, not a number in [0, 1]")
    if confidence is None or abs(confidence - max(noul, 1.0 - noul)) > _CONFIDENCE_SLACK:
        return _invalid("inconsistent: confidence is not max(noul, 1 - noul)")
    return ParsedAnswer(outcome=AskOutcome.OK, p_loss=noul)


def _invalid(detail: str) -> ParsedAnswer:
    return ParsedAnswer(outcome=AskOutcome.INVALID, detail=detail)


def probability(value: object) -> float | None:
    """The value as a float if it is a finite JSON number in [0, 1]; bool is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= 1 and math.isfinite(value) else None


def block_reason(reply: Mapping[str, Any]) -> str:
    """`blocked` with the provider's reason word, or nothing. A reason of another shape is not repeated."""
    for outer, inner in (("prompt_feedback", "block_reason"), ("promptFeedback", "blockReason")):
        feedback = reply.get(outer)
        reason = feedback.get(inner) if isinstance(feedback, dict) else None
        if reason is not None:
            plain = isinstance(reason, str) and len(reason) <= 40 and reason.isascii() and reason.replace("_", "").isalnum()
            return f"blocked: {reason}" if plain else "blocked"
    return ""


def _tokens(usage: object) -> tuple[int | None, int | None]:
    if not isinstance(usage, dict):
        return None, None
    return count(usage.get("total_input_tokens")), count(usage.get("total_output_tokens"))


def count(value: object) -> int | None:
    """A number of tokens, None where it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else None


def kind(value: object) -> str:
    """What a value is, for a message; never the value."""
    return "missing or null" if value is None else type(value).__name__
