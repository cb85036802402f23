"""Fault modes of the Gemini twin: what each does to the status or body of a reply (AI.md section 5).

They are the actions of a fault plan (`faults.py`) at `where = "decisions"`, with the fields model and api_version.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trader.simulation.fault_args import optional_seconds
from trader.simulation.fault_catalogue import Action
from trader.simulation.faults import FaultPlan, load_plan, parse_plan


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
MODES: tuple[str, ...] = (*CONNECTION_FAULTS, *HTTP_FAULTS, "html502", *BODY_FAULTS)


PLACES = ("decisions",)
_LATE = {
    "slow": "on top of the usual latency, default 1 s",
    "hang": "default one day",
    "refuse": "this connection is reset and nobody listens for so long, default 30 s",
    "429": "retryDelay, default 30 s",
}
GEMINI_ACTIONS: Mapping[str, Action] = {
    **{mode: Action(at=PLACES, about="this status, connection fault or body") for mode in MODES},
    **{mode: Action(at=PLACES, arg=optional_seconds, about=about) for mode, about in _LATE.items()},
}


def gemini_plan(source: str = "", *, seed: int = 0) -> FaultPlan:
    """The plan in a TOML text; an empty text is a plan without faults. Raises ConfigError."""
    return parse_plan(source, seed=seed, actions=GEMINI_ACTIONS, places=PLACES)


def load_gemini_plan(path: Path, *, seed: int = 0) -> FaultPlan:
    """The plan in a file. Raises ConfigError naming the file, the fault and what is allowed."""
    return load_plan(path, seed=seed, actions=GEMINI_ACTIONS, places=PLACES)
