"""The night's one question to the text provider: at most five typed suggestions, parsed as strictly as verdicts (AI.md section 9).

What is sent: figures of the night by id, and the live numbers that may be suggested about. What comes back is data; nothing runs it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, TypeVar

from trader.domain.suggestions import MOST, NOTE_LENGTH, RANGES, Proposal, SuggestionKind, SuggestionReason, Tunable, allowed
from trader.domain.verdicts import AskOutcome
from trader.gemini import client as sdk
from trader.gemini.exchange import Sent, over_http
from trader.gemini.parse import ParsedReply, block_reason, strict_json
from trader.gemini.parse_text import finished_text, used_tokens
from trader.gemini.text import served_as

PROMPT_VERSION: Final = "1-suggest"
DEADLINE_S: Final = 30.0  # nobody waits for it
RULES: Final = (
    "You look back on a trading day by the numbers given and nothing else. Suggest at most five changes, or none. A PARAM_CHANGE names a "
    "parameter of the list, its current value as given, and a proposal inside its range and within 25 % of the current value. NEW_RULE and "
    "REFACTOR are notes for a person. Answer with JSON of the schema only."
)
LARGEST: Final = 1e9  # no number of the list comes near it
W = TypeVar("W", bound=StrEnum)
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
    """How the question ended. `proposals` only where `outcome` is OK; `sent`: the one request with its raw reply, None where none left."""

    outcome: AskOutcome
    proposals: tuple[Proposal, ...] = ()
    detail: str = ""
    is_twin: bool = False
    sent: Sent | None = None


def parse(body: bytes, asked: Asked) -> tuple[Proposal, ...]:
    """Every proposal of a reply. Raises ValueError naming the fault: one bad entry makes the whole reply invalid."""
    try:
        value = strict_json(body)
    except ValueError as error:
        raise ValueError(f"schema: {error}") from error
    entries = value.get("suggestions")
    if set(value) != {"suggestions"} or not isinstance(entries, list):
        raise ValueError("schema: suggestions")
    if len(entries) > MOST:
        raise ValueError(f"schema: {len(entries)} suggestions, {MOST} are allowed")
    found = tuple(_proposal(entry, asked) for entry in entries)
    if len({one.name for one in found}) < len(found):
        raise ValueError("ids: repeated")
    changed = [one.parameter for one in found if one.parameter is not None]
    if len(set(changed)) < len(changed):
        raise ValueError("ids: a parameter is changed twice")
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
    kind, reason = _word(SuggestionKind, entry, "kind"), _word(SuggestionReason, entry, "reason")
    made = Proposal(name=name, kind=kind, strategy=asked.strategy, reason=reason, evidence=tuple(evidence), note=note)
    if kind is not SuggestionKind.PARAM_CHANGE:
        if any(entry[field] is not None for field in ("parameter", "current", "proposed")):
            raise ValueError("schema: a note changes no parameter")
        return made
    parameter, current, proposed = _word(Tunable, entry, "parameter"), _number(entry["current"]), _number(entry["proposed"])
    if parameter not in asked.live or current != asked.live[parameter]:
        raise ValueError(f"current: {parameter} is not {current:g}")
    if why := allowed(parameter, current, proposed):
        raise ValueError(f"proposed: {why}")
    return replace(made, parameter=parameter, current=current, proposed=proposed)


def _word(words: type[W], entry: Mapping[str, Any], field: str) -> W:
    """A word of a fixed list; the message never repeats another one."""
    if entry[field] not in list(words):
        raise ValueError(f"schema: {field} is none of the words")
    return words(entry[field])


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -LARGEST <= value <= LARGEST:
        raise ValueError("schema: a number is needed")
    return float(value)


async def ask(client: Any, model: str, asked: Asked, *, deadline_s: float = DEADLINE_S) -> Heard:
    """One request; every way it can fail is no suggestion. Shapes: AI.md section 2."""
    config = sdk.text_config(rules=RULES, schema=asked.schema, max_output_tokens=4096, thinking="MINIMAL")
    proposals: list[Proposal] = []

    def judge(reply: sdk.RawReply, ids: Sequence[str]) -> ParsedReply:
        parsed, found = judged(reply, model, asked)
        proposals.extend(found)
        return parsed

    sent = await over_http(sdk.post_text(client, model=model, contents=asked.text, config=config), judge, (), deadline_s)
    return Heard(
        outcome=sent.parsed.outcome, proposals=tuple(proposals), detail=sent.parsed.detail, is_twin=sent.is_twin, sent=sent
    )  # fmt: skip


def judged(reply: sdk.RawReply, model: str, asked: Asked) -> tuple[ParsedReply, tuple[Proposal, ...]]:
    """A raw reply by the table that verdicts are held against (AI.md section 3), and what it proposes where it is OK."""
    try:
        said = strict_json(reply.body)
    except ValueError as error:
        return ParsedReply(outcome=AskOutcome.INVALID, detail=f"json: {error}"), ()
    tokens_in, tokens_out = used_tokens(said)
    if reason := block_reason(said):
        return ParsedReply(outcome=AskOutcome.BLOCKED, detail=reason, tokens_in=tokens_in, tokens_out=tokens_out), ()
    try:
        if said.get("modelVersion") != served_as(model, is_twin=reply.is_twin):
            raise ValueError("drift: another model answered than the one that was asked")
        found = parse(finished_text(said).encode("utf-8", "surrogatepass"), asked)
    except ValueError as error:
        return ParsedReply(outcome=AskOutcome.INVALID, detail=str(error)[:200], tokens_in=tokens_in, tokens_out=tokens_out), ()
    return ParsedReply(outcome=AskOutcome.OK, tokens_in=tokens_in, tokens_out=tokens_out), found
