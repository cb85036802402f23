"""What the Gemini twin accepts: requests are refused where the real service would refuse them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MODEL = "models/gemini-decision-1"
TEXT_MODELS = ("gemini-3.5-flash-lite", "gemini-3.5-flash")
MAX_QUESTIONS = 256
LEAST_TIMEOUT_S = 10


class BadRequest(ValueError):
    """The request would be refused by the real service, too."""


def validate(body: object) -> tuple[str, dict[str, dict[str, Any]]]:
    """(model, questions) of a request; raises BadRequest naming the field."""
    if not isinstance(body, dict):
        raise BadRequest("body: a JSON object is required")
    if unknown := sorted(body.keys() - {"input", "model", "questions"}):
        raise BadRequest(f"unknown name {unknown[0]!r}")
    model, questions = body.get("model"), body.get("questions")
    if not isinstance(model, str) or not model.startswith("models/"):
        raise BadRequest("model: format is models/{model}")
    if not body.get("input") or not isinstance(body["input"], str | list | dict):
        raise BadRequest("input: required")
    if not isinstance(questions, dict) or not 1 <= len(questions) <= MAX_QUESTIONS:
        raise BadRequest(f"questions: 1 to {MAX_QUESTIONS} are required")
    for name, question in questions.items():
        _validate_question(name, question)
    return model, questions


def _validate_question(name: str, question: object) -> None:
    if not isinstance(question, dict) or not question.get("instructions"):
        raise BadRequest(f"questions[{name!r}].instructions: required")
    kind, criteria = question.get("type"), question.get("criteria")
    if kind == "noul":
        if criteria is not None and not (isinstance(criteria, dict) and criteria.get("true_description")):
            raise BadRequest(f"questions[{name!r}].criteria.true_description: required")
        return
    shape = {"choice": dict, "score": list}.get(str(kind))
    if shape is None:
        raise BadRequest(f"questions[{name!r}].type: {kind!r} is not one of noul, choice, score")
    if not isinstance(criteria, shape) or not 2 <= len(criteria) <= 255:
        raise BadRequest(f"questions[{name!r}].criteria: 2 to 255 entries are required")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRequest:
    """A generateContent request. `prompt`: all text of the user; `schema`: what the reply must look like, empty for prose."""

    prompt: str
    schema: Mapping[str, Any]


def validate_text(body: object, timeout: str | None) -> TextRequest:
    """The request in either spelling of its names; `timeout`: the header X-Server-Timeout. Raises BadRequest."""
    if timeout is not None and not (timeout.isdigit() and int(timeout) >= LEAST_TIMEOUT_S):
        raise BadRequest(f"X-Server-Timeout: {timeout[:20]} is below the least, {LEAST_TIMEOUT_S} s")
    if not isinstance(body, dict) or not isinstance(contents := body.get("contents"), list) or not contents:
        raise BadRequest("contents: at least one is required")
    config = _named(body, "generationConfig", "generation_config", {})
    if not isinstance(config, dict):
        raise BadRequest("generationConfig: an object is required")
    thinking = _named(config, "thinkingConfig", "thinking_config", {})
    if not isinstance(thinking, dict) or thinking.keys() & {"thinkingBudget", "thinking_budget"}:
        raise BadRequest("thinkingConfig.thinkingBudget: not supported by this model; use thinkingLevel")
    if _named(config, "candidateCount", "candidate_count", 1) != 1:
        raise BadRequest("candidateCount: only one candidate is supported")
    schema = _named(config, "responseJsonSchema", "response_json_schema", {})
    if not isinstance(schema, dict):
        raise BadRequest("responseJsonSchema: an object is required")
    return TextRequest(prompt="\n".join(_texts(contents)), schema=schema)


def _named(value: Mapping[str, Any], camel: str, snake: str, default: Any) -> Any:
    return value.get(camel, value.get(snake, default))


def _texts(contents: list[Any]) -> list[str]:
    """Every text of every part; raises BadRequest for a part that is none."""
    parts = [part for content in contents for part in (content.get("parts") if isinstance(content, dict) else None) or [None]]
    if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in parts):
        raise BadRequest("contents.parts: each needs a text")
    return [part["text"] for part in parts]
