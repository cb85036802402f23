"""What was seen of the trader after a fault, in the words of its journal: what a run's report says beside each row."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from tests.chaos.evidence import Evidence, JournalLine
from trader.domain.market import SECOND

AFTER_S = 120.0  # an entry without an answer is settled in 67 s
MOST = 5
LATER_S = 1200.0  # where nothing is said in that time: what went on until then
Words = Callable[[Mapping[str, Any]], str]

LINES: Mapping[str, Words] = {
    "order.unresolved": lambda p: "an order without an answer is looked up",
    "halt.set": lambda p: f"halt {p['cause']}",
    "halt.cleared": lambda p: f"halt {p['cause']} ends",
    "system.started": lambda p: "the next life starts",
    "system.stopped": lambda p: "the session ends",
    "reconcile": lambda p: f"reconciled, {p['differences']} differences" if p["differences"] else "",
    "reconcile.failed": lambda p: "a reconciliation failed, tried again",
    "check.failed": lambda p: "a check failed, tried again",
    "stop.refused": lambda p: f"a stop is refused: {p['why']}",
    "stop.not_begun": lambda p: "no second stop while the first is unresolved",
    "amend.refused": lambda p: f"an amend is refused: {p['why']}",
    "cancel.refused": lambda p: f"a cancel is refused: {p['why']}",
    "exit.refused": lambda p: f"an exit is not begun: {p['why']}",
    "entry.refused": lambda p: f"an entry is not begun: {p.get('why', '')}",
    "order.lost": lambda p: "an acknowledged order is gone, and written down as lost",
    "order.found": lambda p: "an order written down as lost is listed, and ours again",
    "order.recovered": lambda p: "a forgotten entry is ours again",
    "fill.unexplained": lambda p: "a fill is not explained yet",
    "position.dust": lambda p: "a remainder is dust",
    "data.blocked": lambda p: "a pair is blocked by its data",
    "pair.suspended": lambda p: "a pair takes no more entries",
    "task.failed": lambda p: f"a task fails: {p['error'].partition(':')[0]}",
}


def behaviours(e: Evidence) -> dict[str, str]:
    """Row -> what an act saw, and what the journal says in two minutes after its first delivery under pending work."""
    found: dict[str, str] = {}
    for one in e.seen.deliveries:
        if one.pending and one.row not in found:
            told, after = _clean(e.seen.behaviour.get(one.row, "")), _said(_within(e, one.time_us, AFTER_S))
            found[one.row] = "; ".join(filter(None, (told, *after))) or _goes_on(_within(e, one.time_us, LATER_S))
    return found


def _within(e: Evidence, time_us: int, seconds: float) -> list[JournalLine]:
    return [line for line in e.journal if time_us <= line.time_us <= time_us + int(seconds * SECOND)]


def _goes_on(lines: list[JournalLine]) -> str:
    """What a trader did that was not disturbed."""
    count = Counter(line.type for line in lines)
    done = f"{count['beat']} beats, {count['intent']} orders and {count['fill']} fills in the next {LATER_S / 60:.0f} minutes"
    return f"no line of its own in the journal; {done}"


def _said(lines: list[JournalLine]) -> list[str]:
    """What is worth saying of these lines, each once."""
    said: dict[str, None] = {}
    asked: set[str] = set()
    for line in lines:
        payload = line.payload
        if line.type == "order.unresolved":
            asked.add(payload["cl_ord_id"])
        if line.type == "resolved":
            said[_outcome(payload, payload["cl_ord_id"] in asked)] = None
        elif words := LINES.get(line.type):
            said[_clean(words(payload))] = None
    said.pop("", None)
    return list(said)[:MOST]


def _outcome(payload: Mapping[str, Any], asked: bool) -> str:
    if payload["outcome"] == "REJECTED":
        return f"{payload['leg']} refused: {payload['answer']}"
    if payload["outcome"] == "ABSENT":
        return f"{payload['leg']} proved absent"
    return f"{payload['leg']} found and taken over" if asked else ""


def _clean(text: str) -> str:
    """On one line, without the place of the run's state."""
    return re.sub(r"\s+", " ", re.sub(r"/\S*/state/", "", text))[:140]
