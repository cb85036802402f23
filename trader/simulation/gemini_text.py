"""The twin's text model: JSON of the schema it is given, filled by the script of `gemini_answers`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from trader.simulation.exchange_orders import unit_hash
from trader.simulation.gemini_answers import Skill, numbers_of, p_loss
from trader.simulation.gemini_requests import TextRequest
from trader.simulation.gemini_suggestions import asks_for_suggestions, suggestions

SERVED = "scripted-twin-1"


def text_reply(request: TextRequest, seed: int, tokens: int, skill: Skill | None = None) -> dict[str, Any]:
    """The reply of generateContent: one candidate that ended well."""
    said = (
        json.dumps(_filled(request.schema, "", request.prompt, seed, skill)) if request.schema else "This is a scripted stand-in, not AI."
    )
    out = len(said) // 4
    return {
        "candidates": [{"content": {"parts": [{"text": said}], "role": "model"}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": tokens, "candidatesTokenCount": out, "totalTokenCount": tokens + out},
        "modelVersion": SERVED,
        "responseId": f"{unit_hash(seed, request.prompt):.12f}"[2:],
    }  # fmt: skip


def questions_of(prompt: str) -> dict[str, str]:
    """Text by id, of a prompt whose last line is a JSON object with `questions`; empty for any other."""
    asked = numbers_of(prompt.rsplit("\n", 1)[-1]).get("questions")
    return {str(name): str(text) for name, text in asked.items()} if isinstance(asked, dict) else {}


def _filled(schema: Mapping[str, Any], name: str, prompt: str, seed: int, skill: Skill | None) -> Any:
    """A value that fits the schema. Lists: one thing with an `id` for every question, suggestions, else empty."""
    if choices := schema.get("enum"):
        return choices[int(unit_hash(seed, name, prompt) * len(choices))]
    kinds = schema.get("type", "string")
    kind = kinds[0] if isinstance(kinds, list) else kinds
    if kind == "object":
        return {key: _filled(sub, key, prompt, seed, skill) for key, sub in schema.get("properties", {}).items()}
    if kind == "array":
        items = schema.get("items", {})
        if asks_for_suggestions(items, told := numbers_of(prompt)):
            return suggestions(items, told, seed)
        asked = questions_of(prompt) if "id" in items.get("properties", {}) else {}
        return [_filled(items, name, text, seed, skill) | {"id": key} for key, text in asked.items()]
    if kind in ("number", "integer"):
        value = p_loss(numbers_of(prompt), seed, prompt, skill)
        return round(value) if kind == "integer" else value
    return kind == "boolean" or ("" if kind == "string" else None)
