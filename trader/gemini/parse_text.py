"""A text model's reply -> probabilities, or INVALID with a reason; by the table of AI.md section 3, never repaired, never raising."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trader.domain.verdicts import AskOutcome
from trader.gemini.parse import ParsedAnswer, ParsedReply, block_reason, count, kind, probability, strict_json, whole

REASONS = (
    "trend", "momentum", "volatility", "volume", "flow", "liquidity", "regime", "structure", "costs", "correlation", "data", "base_rate",
)  # fmt: skip
"""The words a model may give for a verdict; one of them, nothing else."""


def parse_text(body: bytes, ids: Sequence[str], model: str) -> ParsedReply:
    """The reply of generateContent to the questions `ids`; `model`: what `modelVersion` has to say."""
    try:
        reply = strict_json(body)
    except ValueError as error:
        return whole(ids, AskOutcome.INVALID, f"json: {error}")
    tokens = used_tokens(reply)
    if reason := block_reason(reply):
        return whole(ids, AskOutcome.BLOCKED, reason, *tokens)
    if reply.get("modelVersion") != model:
        return whole(ids, AskOutcome.INVALID, "drift: another model answered than the one that was asked", *tokens)
    try:
        found = _verdicts(finished_text(reply))
    except ValueError as error:
        return whole(ids, AskOutcome.INVALID, str(error), *tokens)
    names = [name for name, _ in found]
    if sorted(names) != sorted(ids):
        return whole(ids, AskOutcome.INVALID, f"ids: {len(names)} verdicts on {len(ids)} questions, or other ids", *tokens)
    return ParsedReply(outcome=AskOutcome.OK, answers=dict(found), tokens_in=tokens[0], tokens_out=tokens[1])


def used_tokens(reply: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Input and output tokens as the reply counts them."""
    usage = reply.get("usageMetadata")
    used = usage if isinstance(usage, dict) else {}
    return count(used.get("promptTokenCount")), count(used.get("candidatesTokenCount"))


def finished_text(reply: Mapping[str, Any]) -> str:
    """The one text of the one candidate that came to its end. Raises ValueError."""
    candidates = reply.get("candidates")
    if not isinstance(candidates, list) or len(candidates) != 1 or not isinstance(candidates[0], dict):
        raise ValueError(f"finish: candidates is {kind(candidates)}, one is needed")
    content = candidates[0].get("content")
    if candidates[0].get("finishReason") != "STOP":
        raise ValueError("finish: the candidate did not end with STOP")
    parts = content.get("parts") if isinstance(content, dict) else None
    said = [part for part in parts if not (isinstance(part, dict) and part.get("thought") is True)] if isinstance(parts, list) else []
    if len(said) != 1 or not isinstance(said[0], dict) or not isinstance(text := said[0].get("text"), str):
        raise ValueError("finish: exactly one part with text is needed")
    return text


def _verdicts(text: str) -> list[tuple[str, ParsedAnswer]]:
    """Id and answer of each verdict, in the order given. Raises ValueError."""
    try:
        said = strict_json(text.encode("utf-8", "surrogatepass"))
    except ValueError as error:
        raise ValueError(f"schema: {error}") from error
    rows = said.get("verdicts")
    if said.keys() != {"verdicts"} or not isinstance(rows, list):
        raise ValueError("schema: an object with verdicts alone is needed")
    return [_verdict(row) for row in rows]


def _verdict(row: object) -> tuple[str, ParsedAnswer]:
    if not isinstance(row, dict) or row.keys() != {"id", "p_loss", "reason"} or not isinstance(row["id"], str):
        raise ValueError("schema: a verdict has id, p_loss and reason, and nothing else")
    if (p_loss := probability(row["p_loss"])) is None:
        raise ValueError(f"schema: p_loss is {kind(row['p_loss'])}, not a number in [0, 1]")
    if row["reason"] not in REASONS:
        raise ValueError("schema: reason is none of the words")
    return row["id"], ParsedAnswer(outcome=AskOutcome.OK, p_loss=p_loss, reason=row["reason"])
