"""Cassettes: answers of an AI kept for replay, addressed by what was asked, with how long they took (AI.md section 8).

One JSON object a line: a heading, then a call each, failures and time-outs among them. The raw reply is kept and parsed anew.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from trader.domain.verdicts import AskOutcome, CallRecord
from trader.errors import ConfigError
from trader.gemini.prompt import content_keys

FORMAT = 1
Source = tuple[str, str]
"""Provider and model that were asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One call. `keys`: content address by the id in the prompt; `network_ms`: until it ended, on the asker's clock."""

    call_id: str
    asked_us: int
    provider: str
    model: str
    served: str
    is_twin: bool
    status: int | None
    outcome: AskOutcome
    detail: str
    network_ms: float
    tokens_in: int | None
    keys: Mapping[str, str]
    reply: bytes

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; bytes of the reply that are no UTF-8 survive as lone surrogates."""
        return {
            "call_id": self.call_id, "asked_us": self.asked_us, "provider": self.provider, "model": self.model, "served": self.served,
            "is_twin": self.is_twin, "status": self.status, "outcome": self.outcome.value, "detail": self.detail,
            "network_ms": self.network_ms, "tokens_in": self.tokens_in, "keys": dict(self.keys),
            "reply": self.reply.decode("utf-8", "surrogateescape"),
        }  # fmt: skip


def _heard(value: Mapping[str, Any]) -> Heard:
    """Raises KeyError, TypeError or ValueError where it is not what `as_dict` wrote."""
    keys = {str(name): str(key) for name, key in value["keys"].items()}
    status, tokens = value["status"], value["tokens_in"]
    return Heard(
        call_id=str(value["call_id"]), asked_us=int(value["asked_us"]), provider=str(value["provider"]), model=str(value["model"]),
        served=str(value["served"]), is_twin=value["is_twin"] is True, status=None if status is None else int(status),
        outcome=AskOutcome(value["outcome"]), detail=str(value["detail"]), network_ms=float(value["network_ms"]),
        tokens_in=None if tokens is None else int(tokens), keys=keys, reply=value["reply"].encode("utf-8", "surrogateescape"),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Cassette:
    """Calls in the order in which they ended. `name`: for messages."""

    name: str
    calls: tuple[Heard, ...]

    @cached_property
    def text(self) -> bytes:
        """The file."""
        rows = [{"cassette": FORMAT, "calls": len(self.calls)}, *(call.as_dict() for call in self.calls)]
        return "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows).encode()

    @cached_property
    def sha256(self) -> str:
        """Of the file: what a report names."""
        return hashlib.sha256(self.text).hexdigest()

    @cached_property
    def answers(self) -> Mapping[str, tuple[tuple[Heard, str], ...]]:
        """By content address: call and id of every answer, oldest first."""
        found: dict[str, list[tuple[Heard, str]]] = {}
        for call in self.calls:
            for name, key in call.keys.items():
                found.setdefault(key, []).append((call, name))
        return {key: tuple(heard) for key, heard in found.items()}

    def source(self, wanted: Source | None = None) -> Source:
        """Who answered: the only one there is, or `wanted` among several. Raises ConfigError."""
        found = Counter((call.provider, call.model) for call in self.calls)
        if not found:
            raise ConfigError(f"cassette {self.name}: holds no call")
        if len(found) == 1:
            return next(iter(found))
        if wanted is not None and wanted in found:
            return wanted
        known = ", ".join(f"{provider} {model}" for provider, model in sorted(found))
        raise ConfigError(f"cassette {self.name}: holds answers of {known}; set ai.provider and the model to one of them")

    def save(self, path: Path) -> None:
        """Raises ConfigError where it cannot be written."""
        try:
            path.write_bytes(self.text)
        except OSError as error:
            raise ConfigError(f"cassette {path}: cannot be written ({error.strerror})") from error


def recorded(name: str, calls: Iterable[CallRecord]) -> Cassette:
    """The cassette of stored calls; one whose request is past retention cannot be addressed and is left out."""
    return Cassette(name=name, calls=tuple(_of_record(call) for call in calls if call.request))


def _of_record(call: CallRecord) -> Heard:
    return Heard(
        call_id=call.call_id, asked_us=call.asked_us, provider=call.provider, model=call.model_requested, served=call.model_served,
        is_twin=call.is_twin, status=call.http_status, outcome=call.outcome, detail=call.detail, network_ms=call.network_ms,
        tokens_in=call.tokens_in, keys=content_keys(call.provider, json.loads(call.request)), reply=call.response,
    )  # fmt: skip


def load(path: Path) -> Cassette:
    """A cassette file. Raises ConfigError where there is none, and, naming the line, where it is something else."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"cassette {path}: cannot be read ({error.strerror})") from error
    number, calls = 1, []
    try:
        if not lines:
            raise ValueError("the file is empty")
        heading = json.loads(lines[0])
        if heading["cassette"] != FORMAT or heading["calls"] != len(lines) - 1:
            raise ValueError(f"format {heading['cassette']} with {heading['calls']} calls; expected {FORMAT} with {len(lines) - 1}")
        for number, line in enumerate(lines[1:], start=2):  # noqa: B007 - named in the error below
            calls.append(_heard(json.loads(line)))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ConfigError(f"cassette {path}, line {number}: not a cassette of `trader ai cassette` ({error})") from error
    return Cassette(name=str(path), calls=tuple(calls))
