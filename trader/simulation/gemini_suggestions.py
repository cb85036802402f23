"""The twin's suggestions of a night: one small change of a number that was offered, and one note. Scripted, not AI.

They claim no knowledge of the day: which number moves, and which way, is a hash of the request. They exist so that what people do with
a suggestion can be tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from trader.simulation.exchange_orders import unit_hash

STEP: Final = 0.1  # share of a number that it is moved by, rounded to whole ones
NOTE: Final = "scripted stand-in, not AI: a note to read and turn down"


def asks_for_suggestions(item: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    """Whether a list of such items is one of changes to numbers that the prompt names under `parameters`."""
    return {"parameter", "current", "proposed"} <= item.get("properties", {}).keys() and isinstance(told.get("parameters"), dict)


def suggestions(item: Mapping[str, Any], told: Mapping[str, Any], seed: int) -> list[dict[str, Any]]:
    """What fits the schema of an item: a change where a number has room for one, then a note."""
    offered, figures = item["properties"], told.get("figures")
    shared = {
        "strategy": told.get("strategy", ""), "reason": _chosen(offered["reason"]["enum"], seed, "reason", told),
        "evidence_ids": sorted(figures)[:2] if isinstance(figures, dict) else [],
    }  # fmt: skip
    note = {"id": "S2", "kind": "REFACTOR", "parameter": None, "current": None, "proposed": None, "note": NOTE, **shared}
    moves = _moves(told["parameters"], seed)
    if not moves:
        return [note]
    name, current, proposed = _chosen(moves, seed, "parameter", told)
    change = {"id": "S1", "kind": "PARAM_CHANGE", "parameter": name, "current": current, "proposed": proposed, "note": "", **shared}
    return [change, note]


def _moves(parameters: Mapping[str, Any], seed: int) -> list[tuple[str, float, float]]:
    """Name, current value and another one inside its range, of each number that has room for a whole step."""
    found = []
    for name, told in sorted(parameters.items()):
        current, (low, high) = told["current"], told["range"]
        step = max(1, round(STEP * current)) * (1 if unit_hash(seed, "way", name) < 0.5 else -1)
        found += [(name, current, moved) for moved in (current + step, current - step) if low <= moved <= high and abs(step) <= current / 4]
    return found


def _chosen(choices: list[Any], seed: int, what: str, told: Mapping[str, Any]) -> Any:
    return choices[int(unit_hash(seed, what, str(told)) * len(choices))]
