"""Where a session kills itself, and what must be true of the order it was busy with afterwards (RELIABILITY sections 9, 10)."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass

SENT_AFTER_S = 0.052  # a little more than the twin's longest latency: the order is in its books, the answer is held back


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A named kill. `trigger`: the point in the code that arms it; `delay_s`: simulated seconds from there to the kill;
    `recovering`: it is armed in the second life, after the first one died at `FIRST_OF_RECOVERY`;
    `sent`: whether the exchange may know the newest intent; `hand_over`: the position may be bare while we are dead."""

    name: str
    trigger: str = ""
    delay_s: float = 0.0
    recovering: bool = False
    sent: bool = True
    hand_over: bool = False

    @property
    def reached_at(self) -> str:
        return self.trigger or self.name


FIRST_OF_RECOVERY = "after_fill_commit"
POINTS: Mapping[str, Point] = {
    point.name: point
    for point in (
        Point(name="before_intent"),
        Point(name="after_intent", sent=False),
        Point(name="after_send", trigger="after_intent", delay_s=SENT_AFTER_S),
        Point(name="after_ack"),
        Point(name="after_ack_commit"),
        Point(name="before_fill_commit"),
        Point(name="after_fill_commit"),
        Point(name="after_amend_intent"),
        Point(name="after_amend_ack"),
        Point(name="before_cancel_stop"),
        Point(name="after_cancel_ack", hand_over=True),
        Point(name="before_exit_intent", hand_over=True),
        Point(name="before_target_intent", hand_over=True),
        Point(name="after_exit_intent", hand_over=True),
        Point(name="after_exit_ack"),
        Point(name="before_cancel_orphan"),
        Point(name="before_stop_intent", hand_over=True),
        Point(name="after_stop_intent", hand_over=True),
        Point(name="after_stop_ack"),
        Point(name="lease_renewal"),
        Point(name="lease_acquired", recovering=True),
        Point(name="after_read_open", recovering=True),
        Point(name="after_read_trades", recovering=True),
        Point(name="before_protect", recovering=True),
        Point(name="before_ready", recovering=True),
    )
}


class Killer:
    """KillPoints that send SIGKILL to their own process at the n-th hit of a point: no handler, no flush, no goodbye."""

    def __init__(self, point: Point, occurrence: int) -> None:
        self.point, self.left = point, occurrence

    def reach(self, name: str) -> None:
        if name != self.point.reached_at:
            return
        self.left -= 1
        if self.left:
            return
        if self.point.delay_s:
            asyncio.get_running_loop().call_later(self.point.delay_s, _die)
        else:
            _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
