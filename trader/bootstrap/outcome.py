"""The object that `trader demo --json` prints: what happened, and which invariants hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trader.bootstrap.paths import Paths
from trader.bootstrap.world import World
from trader.config import Settings
from trader.ports import SessionSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is known at the end of a demo."""

    summary: SessionSummary
    ingest: object
    twin: Any
    ended_us: int
    first_ready_us: int
    journal: str


def describe(settings: Settings, world: World, paths: Paths, outcome: Outcome, *, wall_s: float) -> dict[str, Any]:
    """Plain values, JSON-ready."""
    return {"summary": str(outcome.summary), "twin": str(outcome.twin), "journal": outcome.journal, "wall_s": wall_s, "invariants": {}}
