"""Fault modes of the Gemini twin: what each does to the status or body of a reply (AI.md section 5).

They are the actions of a fault plan (`faults.py`) at `where = "decisions"` or "generate", with the fields model and api_version.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trader.simulation.fault_args import no_arg, optional_seconds
from trader.simulation.fault_catalogue import Action
from trader.simulation.faults import FaultPlan, parse_plan


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpFault:
    """Google's error answer: HTTP status, its canonical word and a message."""

    status: int
    word: str
    message: str


HTTP_FAULTS: Mapping[str, HttpFault] = {
    "400": HttpFault(status=400, word="INVALID_ARGUMENT", message="Request contains an invalid argument."),
    "401": HttpFault(status=401, word="UNAUTHENTICATED", message="Request had invalid authentication credentials."),
    "403": HttpFault(status=403, word="PERMISSION_DENIED", message="The caller does not have permission."),
    "404": HttpFault(status=404, word="NOT_FOUND", message="The model is not found."),
    "408": HttpFault(status=408, word="CANCELLED", message="Request timed out."),
    "429": HttpFault(status=429, word="RESOURCE_EXHAUSTED", message="Quota exceeded."),
    "500": HttpFault(status=500, word="INTERNAL", message="Internal error encountered."),
    "503": HttpFault(status=503, word="UNAVAILABLE", message="The model is overloaded."),
}
CONNECTION_FAULTS = ("ok", "slow", "hang", "reset", "refuse")
HTML_502 = b"<html><head><title>502 Bad Gateway</title></head><body>a proxy answered</body></html>"
REFUSE_S = 30.0


def _each(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], bytes]:
    """A body fault that edits every answer."""

    def edit(reply: dict[str, Any]) -> bytes:
        for answer in reply["answers"].values():
            change(answer)
        return json.dumps(reply).encode()

    return edit


def _drop_one(reply: dict[str, Any]) -> bytes:
    reply["answers"].popitem()
    return json.dumps(reply).encode()


def _add_one(reply: dict[str, Any]) -> bytes:
    reply["answers"]["C99"] = {"type": "noul", "noul": 0.5, "confidence": 0.5}
    return json.dumps(reply).encode()


def _duplicate(reply: dict[str, Any]) -> bytes:
    name, answer = next(iter(reply["answers"].items()))
    text = json.dumps(reply)
    return text.replace('"answers": {', f'"answers": {{"{name}": {json.dumps(answer)}, ', 1).encode()


def _truncated(reply: dict[str, Any]) -> bytes:
    body = json.dumps(reply).encode()
    return body[: len(body) // 2]


BODY_FAULTS: Mapping[str, Callable[[dict[str, Any]], bytes]] = {
    "html200": lambda _: b"<!doctype html><title>Sign in</title><p>A captive portal answered.</p>",
    "truncated": _truncated,
    "empty_body": lambda _: b"",
    "nan": _each(lambda answer: answer.update(noul=float("nan"))),
    "bool": _each(lambda answer: answer.update(noul=True)),
    "string": _each(lambda answer: answer.update(noul=str(answer["noul"]))),
    "out_of_range": _each(lambda answer: answer.update(noul=1.7)),
    "null": _each(lambda answer: answer.update(noul=None)),
    "missing_id": _drop_one,
    "extra_id": _add_one,
    "wrong_type": _each(lambda answer: answer.update(type="choice", choice="yes")),
    "unknown_type": _each(lambda answer: answer.update(type="oracle")),
    "bad_confidence": _each(lambda answer: answer.update(confidence=max(answer["noul"], 1 - answer["noul"]) / 2)),
    "answers_list": lambda reply: json.dumps({**reply, "answers": list(reply["answers"].values())}).encode(),
    "block": lambda _: b'{"prompt_feedback": {"block_reason": "SAFETY", "block_reason_message": "blocked by the twin"}}',
    "oversize": lambda reply: json.dumps({**reply, "padding": "x" * (1 << 20)}).encode(),
    "duplicate_key": _duplicate,
}


def _inside(change: Callable[[list[dict[str, Any]]], object]) -> Callable[[dict[str, Any]], bytes]:
    """A body fault that edits the one list inside a text reply: verdicts, or suggestions."""

    def edit(reply: dict[str, Any]) -> bytes:
        part = reply["candidates"][0]["content"]["parts"][0]
        said = json.loads(part["text"])
        change(next(iter(said.values())))
        part["text"] = json.dumps(said)
        return json.dumps(reply).encode()

    return edit


def _every(**fields: Any) -> Callable[[dict[str, Any]], bytes]:
    """A body fault that sets these fields of each verdict."""
    return _inside(lambda verdicts: [verdict.update(fields) for verdict in verdicts])


def _said(change: Callable[[str], str], finish: str = "STOP") -> Callable[[dict[str, Any]], bytes]:
    """A body fault that edits the text of a text reply as text, and says why it ended."""

    def edit(reply: dict[str, Any]) -> bytes:
        candidate = reply["candidates"][0]
        part = candidate["content"]["parts"][0]
        part["text"], candidate["finishReason"] = change(part["text"]), finish
        return json.dumps(reply).encode()

    return edit


TEXT_FAULTS: Mapping[str, Callable[[dict[str, Any]], bytes]] = {
    **{name: BODY_FAULTS[name] for name in ("html200", "truncated", "empty_body", "oversize")},
    "nan": _every(p_loss=float("nan")),
    "bool": _every(p_loss=True),
    "string": _inside(lambda verdicts: [verdict.update(p_loss=str(verdict.get("p_loss"))) for verdict in verdicts]),
    "out_of_range": _every(p_loss=1.7),
    "null": _every(p_loss=None),
    "missing_id": _inside(lambda verdicts: verdicts.pop()),
    "extra_id": _inside(lambda verdicts: verdicts.append({**verdicts[0], "id": "C99"})),
    "repeated_id": _inside(lambda verdicts: verdicts.append(dict(verdicts[0]))),
    "wrong_enum": _every(reason="because"),
    "extra_key": _every(remark="trust me"),
    "duplicate_key": _said(lambda text: text.replace('{"id"', '{"id": "C01", "id"')),
    "block": lambda _: (
        b'{"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 1}, "modelVersion": "scripted-twin-1"}'
    ),
    "safety": _said(lambda _: "", "SAFETY"),
    "max_tokens": _said(lambda text: text[: len(text) // 2], "MAX_TOKENS"),
    "continuation": _said(lambda text: text[: len(text) // 2], "CONTINUATION"),
    "fence": _said(lambda text: f"```json\n{text}\n```"),
    "prose": _said(lambda text: f"Here is my verdict: {text} DON'T BUY."),
    "two_candidates": lambda reply: json.dumps({**reply, "candidates": reply["candidates"] * 2}).encode(),
    "model_drift": lambda reply: json.dumps({**reply, "modelVersion": "scripted-twin-2"}).encode(),
}
_HTTP: tuple[str, ...] = (*CONNECTION_FAULTS, *HTTP_FAULTS, "html502")
MODES: Mapping[str, tuple[str, ...]] = {"decisions": (*_HTTP, *BODY_FAULTS), "generate": (*_HTTP, *TEXT_FAULTS)}
"""Every mode by the API it is for."""


PLACES = tuple(MODES)
_LATE = {
    "slow": "on top of the usual latency, default 1 s",
    "hang": "default one day",
    "refuse": "this connection is reset and nobody listens for so long, default 30 s",
    "429": "retryDelay, default 30 s",
}
GEMINI_ACTIONS: Mapping[str, Action] = {
    mode: Action(
        at=tuple(place for place in PLACES if mode in MODES[place]), about=_LATE.get(mode, "this status, connection fault or body"),
        arg=optional_seconds if mode in _LATE else no_arg,
    )
    for mode in dict.fromkeys(mode for place in PLACES for mode in MODES[place])
}  # fmt: skip


def gemini_plan(source: str = "", *, seed: int = 0) -> FaultPlan:
    """The plan in a TOML text; an empty text is a plan without faults. Raises ConfigError."""
    return parse_plan(source, seed=seed, actions=GEMINI_ACTIONS, places=PLACES)
