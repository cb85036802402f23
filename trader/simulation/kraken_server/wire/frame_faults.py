"""Faults of pushed frames: what becomes of a frame on its way to one connection, for every channel of every WebSocket door."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from trader.simulation.faults import EDITS, Fault, FaultPlan
from trader.simulation.kraken_server.wire.compact import dumps
from trader.simulation.kraken_server.wire.garbage import garbage, spiked, spoilt_candle
from trader.simulation.kraken_server.wire.spoiling import edited

SEQUENCES = ("sequence", "seq")  # spot's and futures' name of a frame's number


@dataclass(slots=True)
class Wire:
    """What faults remember of one connection. `stalled_until`: loop time before which nothing is sent."""

    stalled_until: float = 0.0
    late: list[str] = field(default_factory=list)  # frames that wait for the next one
    merging: dict[str, str] = field(default_factory=dict)  # channel -> frame that waits for the next one of its channel
    jumps: dict[str, int] = field(default_factory=dict)  # channel -> what is added to its sequence numbers


class FrameFaults:
    """Carries out the plan's faults on channels."""

    def __init__(self, plan: FaultPlan) -> None:
        self._plan = plan

    def touch(self, wire: Wire, channel: str) -> bool:
        """Whether a frame of the channel could leave as anything but itself."""
        return bool(self._plan.watches(channel) or wire.late or channel in wire.jumps or channel in wire.merging)

    def outgoing(self, wire: Wire, channel: str, symbol: str, text: str, *, now: float, snapshot: bool = False) -> list[str] | None:
        """The frames to send for this one, in order; None: cut the connection. `now`: loop time."""
        if not self.touch(wire, channel):
            return [text]
        texts = self._joined(wire, channel, text)
        fields = {"pair": symbol, "symbol": symbol, "type": "snapshot" if snapshot else "update"}
        for fault in self._plan.take(channel, fields):
            if fault.action == "ws_drop":
                return None
            texts = self._spoil(wire, channel, fault, texts, now)
        if jump := wire.jumps.get(channel):
            texts = [_renumbered(one, jump) for one in texts]
        if texts and wire.late:
            texts, wire.late = [*texts, *wire.late], []
        return texts

    def _spoil(self, wire: Wire, channel: str, fault: Fault, texts: list[str], now: float) -> list[str]:
        action = fault.action
        if action == "ws_stall":
            wire.stalled_until = float("inf") if fault.arg is None else now + fault.arg
        elif action == "ws_duplicate":
            return texts * 2
        elif action == "ws_reorder":
            wire.late += [_renumbered(text, wire.jumps.get(channel, 0)) for text in texts]
            return []
        elif action == "ws_merge" and texts:
            wire.merging[channel] = texts[-1]
            return texts[:-1]
        elif action == "ws_gap":
            wire.jumps[channel] = wire.jumps.get(channel, 0) + (fault.arg or 1)
        elif action in ("gap", "ws_lost"):
            return []
        else:
            return [self._changed(channel, fault, text) for text in texts]
        return texts

    def _changed(self, channel: str, fault: Fault, text: str) -> str:
        """One frame in place of another."""
        if fault.action in ("nan", "negative"):
            return spoilt_candle(text, fault.action)
        if fault.action == "spike":
            return spiked(text, fault.arg or 1.0)
        if fault.action == "ws_garbage":
            return garbage(text, fault.arg or "json")
        new = edited(text, fault) if fault.action in EDITS else _wrong_checksum(text)
        if new is None:
            self._plan.miss(channel, fault)
        return new or text

    @staticmethod
    def _joined(wire: Wire, channel: str, text: str) -> list[str]:
        """A frame together with the one that waited for it; what comes later is numbered as if they had been one."""
        waiting = wire.merging.pop(channel, None)
        if waiting is None:
            return [text]
        first, second = json.loads(waiting), json.loads(text)
        if first.get("type") != second.get("type") or not isinstance(first.get("data"), list):
            return [waiting, text]
        wire.jumps[channel] = wire.jumps.get(channel, 0) - 1
        return [dumps(second | {"data": first["data"] + second["data"]})]


def _renumbered(text: str, jump: int) -> str:
    frame = json.loads(text)
    for name in SEQUENCES:
        if isinstance(frame.get(name), int):
            frame[name] += jump
    return dumps(frame)


def _wrong_checksum(text: str) -> str | None:
    """A frame whose checksum has its lowest bit turned; None where it has none."""
    frame: dict[str, Any] = json.loads(text)
    rows = frame.get("data")
    if not isinstance(rows, list) or not rows or "checksum" not in rows[0]:
        return None
    rows[0]["checksum"] ^= 1
    return dumps(frame)
