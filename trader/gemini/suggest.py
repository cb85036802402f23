"""The night's one question to the text provider: at most five typed suggestions, parsed as strictly as verdicts (AI.md section 9).

What is sent: figures of the night by id, and the live numbers that may be suggested about. What comes back is data; nothing runs it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from trader.domain.suggestions import MOST, NOTE_LENGTH, RANGES, Proposal, SuggestionKind, SuggestionReason, Tunable, allowed
from trader.domain.verdicts import AskOutcome
from trader.gemini import client as sdk
from trader.gemini.parse import block_reason, strict_json
from trader.gemini.parse_text import finished_text

DEADLINE_S: Final = 30.0  # nobody waits for it
RULES: Final = (
    "You look back on a trading day by the numbers given and nothing else. Suggest at most five changes, or none. A PARAM_CHANGE names a "
    "parameter of the list, its current value as given, and a proposal inside its range and within 25 % of the current value. NEW_RULE and "
    "REFACTOR are notes for a person. Answer with JSON of the schema only."
)
FIELDS: Final = ("id", "kind", "strategy", "parameter", "current", "proposed", "reason", "evidence_ids", "note")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is put to the provider. `figures`: id -> number of the night; `live`: what may be changed, as it is now."""

    strategy: str
    figures: Mapping[str, float]
    live: Mapping[Tunable, float]

    @property
    def text(self) -> str:
        """The request, canonical: equal data, equal bytes."""
        body = {
            "strategy": self.strategy, "figures": dict(self.figures),
            "parameters": {name.value: {"current": value, "range": list(RANGES[name])} for name, value in self.live.items()},
        }  # fmt: skip
        return json.dumps(body, sort_keys=True, separators=(",", ":"))

    @property
    def schema(self) -> dict[str, Any]:
        """What an answer must look like."""
        text, number = {"type": "string"}, {"type": ["number", "null"]}
        kinds: dict[str, Any] = {
            "id": text, "kind": {"enum": [kind.value for kind in SuggestionKind]}, "strategy": {"enum": [self.strategy]},
            "parameter": {"enum": [*(name.value for name in self.live), None]}, "current": number, "proposed": number,
            "reason": {"enum": [reason.value for reason in SuggestionReason]},
            "evidence_ids": {"type": "array", "items": {"enum": sorted(self.figures)}},
            "note": {"type": "string", "maxLength": NOTE_LENGTH},
        }  # fmt: skip
        one = {"type": "object", "properties": kinds, "required": list(FIELDS), "additionalProperties": False}
        return {
            "type": "object", "properties": {"suggestions": {"type": "array", "maxItems": MOST, "items": one}},
            "required": ["suggestions"], "additionalProperties": False,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """How the question ended. `proposals` only where `outcome` is OK; `body`: the reply as it came."""

    outcome: AskOutcome
    proposals: tuple[Proposal, ...] = ()
    detail: str = ""
    body: bytes = b""
    is_twin: bool = False


def parse(body: bytes, asked: Asked) -> tuple[Proposal, ...]:
    """Every proposal of a reply. Raises ValueError naming the fault: one bad entry makes the whole reply invalid."""
    value = strict_json(body)
    entries = value.get("suggestions")
    if set(value) != {"suggestions"} or not isinstance(entries, list):
        raise ValueError("schema: suggestions")
    if len(entries) > MOST:
        raise ValueError(f"schema: {len(entries)} suggestions, {MOST} are allowed")
    found = tuple(_proposal(entry, asked) for entry in entries)
    if len({one.name for one in found}) < len(found):
        raise ValueError("ids: repeated")
    return found


def _proposal(entry: Any, asked: Asked) -> Proposal:
    if not isinstance(entry, dict) or set(entry) != set(FIELDS):
        raise ValueError("schema: fields")
    name, note, evidence = entry["id"], entry["note"], entry["evidence_ids"]
    if not isinstance(name, str) or not name.isalnum() or len(name) > 8:
        raise ValueError("schema: id")
    if not isinstance(note, str) or len(note) > NOTE_LENGTH or not note.isprintable():
        raise ValueError("schema: note")
    if not isinstance(evidence, list) or not all(isinstance(one, str) and one in asked.figures for one in evidence):
        raise ValueError("schema: evidence_ids")
    if entry["strategy"] != asked.strategy:
        raise ValueError("schema: strategy")
    kind, reason = SuggestionKind(entry["kind"]), SuggestionReason(entry["reason"])
    made = Proposal(name=name, kind=kind, strategy=asked.strategy, reason=reason, evidence=tuple(evidence), note=note)
    if kind is not SuggestionKind.PARAM_CHANGE:
        if any(entry[field] is not None for field in ("parameter", "current", "proposed")):
            raise ValueError("schema: a note changes no parameter")
        return made
    parameter, current, proposed = Tunable(entry["parameter"]), _number(entry["current"]), _number(entry["proposed"])
    if parameter not in asked.live or current != asked.live[parameter]:
        raise ValueError(f"current: {parameter} is not {current:g}")
    if why := allowed(parameter, current, proposed):
        raise ValueError(f"proposed: {why}")
    return replace(made, parameter=parameter, current=current, proposed=proposed)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("schema: a number is needed")
    return float(value)


async def ask(client: Any, model: str, asked: Asked, *, deadline_s: float = DEADLINE_S) -> Heard:
    """One request; every way it can fail is no suggestion. Shapes: AI.md section 2."""
    config = sdk.text_config(rules=RULES, schema=asked.schema, max_output_tokens=4096, thinking="MINIMAL")
    try:
        async with asyncio.timeout(deadline_s):
            reply = await sdk.post_text(client, model=model, contents=asked.text, config=config)
    except Exception as error:  # noqa: BLE001 - two SDK error trees of private classes; classify() knows every one
        failure = sdk.classify(error)
        return Heard(outcome=failure.outcome, detail=failure.detail, body=failure.body, is_twin=failure.is_twin)
    try:
        said = strict_json(reply.body)
        if reason := block_reason(said):
            raise ValueError(f"blocked: {reason}")
        proposals = parse(finished_text(said).encode(), asked)
    except ValueError as error:
        return Heard(outcome=AskOutcome.INVALID, detail=str(error)[:200], body=reply.body, is_twin=reply.is_twin)
    return Heard(outcome=AskOutcome.OK, proposals=proposals, body=reply.body, is_twin=reply.is_twin)
