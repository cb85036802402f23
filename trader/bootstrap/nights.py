"""The record of a night: which steps are done, with what each found. One file a day, replaced as a whole after every step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from trader.bootstrap.paths import write_whole
from trader.domain.market import DAY
from trader.errors import ConfigError, CorruptError

DONE, FAILED = "done", "failed"


@dataclass(slots=True, kw_only=True)
class Step:
    """`state` done or failed; `found`: what the step came to, plain values; `error`: what stopped it."""

    state: str
    at: str
    found: dict[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass(slots=True, kw_only=True)
class Night:
    """One day's night. `day`: the UTC day that is looked back on, `2026-01-06`."""

    day: str
    steps: dict[str, Step] = field(default_factory=dict)

    def done(self, step: str) -> bool:
        """Whether it need not run again."""
        return step in self.steps and self.steps[step].state == DONE

    def found(self, step: str) -> Mapping[str, Any]:
        """What a finished step came to; empty for any other."""
        return self.steps[step].found if self.done(step) else {}

    @property
    def failures(self) -> dict[str, str]:
        """Steps that failed, with their words."""
        return {name: step.error for name, step in self.steps.items() if step.state == FAILED}


def day_of(text: str) -> int:
    """The UTC microsecond a day begins at. Raises ConfigError for anything but `2026-01-06`."""
    try:
        parsed = date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"day {text!r}: write a UTC day, for instance 2026-01-06") from error
    return (parsed - date(1970, 1, 1)).days * DAY


def load(folder: Path, day: str) -> Night:
    """The record of a day, empty where there is none. Raises CorruptError for a file that is not one."""
    file = folder / f"{day}.json"
    if not file.exists():
        return Night(day=day)
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        return Night(day=told["day"], steps={name: Step(**step) for name, step in told["steps"].items()})
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptError(f"{file}: not the record of a night ({error}); delete it and the night runs anew") from error


def save(folder: Path, night: Night) -> None:
    """Replace the record; a kill leaves the old one or the new one."""
    write_whole(folder / f"{night.day}.json", asdict(night))


def newest(folder: Path) -> Night | None:
    """The record of the latest day there is."""
    names = sorted(file.stem for file in folder.glob("*.json")) if folder.is_dir() else []
    return load(folder, names[-1]) if names else None
