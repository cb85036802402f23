"""A person's exits in a run's evidence, and from when on each could be expected: every excuse has an end.

What moves the seconds of an exit on: a fault of the order path (`tests.chaos.catalogue.HINDERING`, or the length an act tells), and the
time without a trader, up to the next life's first reconciliation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tests.chaos.evidence import Evidence, JournalLine
from trader.domain.market import SECOND

EXIT_S = 15.0  # from a person's word to flat, while the exchange answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """A person's exit: asked for, from when on it could be expected, done."""

    pair: str
    asked_us: int
    clock_us: int
    done_us: int

    @property
    def excused(self) -> bool:
        """Whether something moved its clock on, so that it was not judged from the person's word."""
        return self.clock_us > self.asked_us


def exits(e: Evidence) -> list[Leaving]:
    """Every exit that the session said it would carry out, but of what is below the exchange's minimum: only its stop sells that."""
    positions, down = {row["position_id"]: row for row in e.positions}, _down(e)
    found = []
    for line in e.journal:
        if line.type != "control.answered" or line.payload["verb"] != "exit" or line.payload["state"] != "DONE":
            continue
        row = positions.get(_argument(e, line), {})
        if row and row["state"] != "CLOSED" and Decimal(row["quantity"]) < e.rules[row["pair"]].ordermin:
            continue
        pair, done = row.get("pair", ""), _done(e, row)
        hindrances = [*down, *((one.since_us, one.until_us) for one in e.seen.troubles if one.concerns(pair))]
        found.append(Leaving(pair=pair, asked_us=line.time_us, clock_us=_clock(line.time_us, done, hindrances), done_us=done))
    return found


def _done(e: Evidence, position: Mapping[str, Any]) -> int:
    """When the position was closed, as the exchange stamps it; by our own clock while the two differ on purpose."""
    booked = [x.time_us for x in e.journal if x.type == "fill" and x.payload["position_id"] == position.get("position_id")]
    closed = position.get("closed_us") or e.ended_us
    return booked[-1] if booked and position.get("closed_us") and e.in_skew(booked[-1]) else closed


def _argument(e: Evidence, answered: JournalLine) -> str:
    """The position an exit control names."""
    same = (x for x in e.journal if x.type == "control.submitted" and x.payload["control_id"] == answered.payload["control_id"])
    return next((line.payload["argument"] for line in same), "")


def _clock(asked_us: int, done_us: int, hindrances: Iterable[tuple[int, int]]) -> int:
    """When the seconds of an exit begin: what comes while it is under way and still has time makes them begin anew at its end."""
    clock = asked_us
    for since, until in sorted(hindrances):
        if since <= min(clock + EXIT_S * SECOND, done_us):
            clock = max(clock, until)
    return clock


def _down(e: Evidence) -> list[tuple[int, int]]:
    """Spans without a trader: from the end of a life to the first reconciliation of one that comes after it."""
    spans, last, since = [], 0, 0
    for line in e.journal:
        if line.type == "lease.acquired" and last and not since:  # the first that a life writes
            since = max([last, *(when for _, when in e.seen.deaths if when <= line.time_us)])
        elif line.type == "reconcile" and since:
            spans.append((since, line.time_us))
            since = 0
        last = line.time_us
    return [*spans, *([(since, e.ended_us)] if since else [])]
