"""Persistent books of the twin: its whole state, an append-only file of changes and a snapshot now and then.

One line is one operation, so a torn last line is an operation that never happened. Lines are flushed, not synced: the
twin survives its own kill, which is what tests need, and says nothing about power loss.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Protocol, TextIO, cast

from trader.errors import CorruptError
from trader.simulation.exchange_codec import from_row, order_from_row, to_row
from trader.simulation.exchange_orders import Amend, TwinOrder, TwinTrade

SPOT = "kraken"
LOG, SNAPSHOT = f"{SPOT}.jsonl", f"{SPOT}.snapshot.json"
SNAPSHOT_LINES = 2_000
_ENCODER = json.JSONEncoder(separators=(",", ":"))


class Kept(Protocol):
    """A state that books can keep: `line` counts its operations, `size` its orders and trades."""

    line: int

    @property
    def size(self) -> int: ...
    def dump(self) -> dict[str, Any]: ...
    def apply(self, line: Mapping[str, Any]) -> None: ...


@dataclass(slots=True)
class State:
    """Everything a restarted twin must know. `mark_us`: newest operation; `tick_us`: newest price tick worked off.

    `opening`: what was paid in at `opened_us`, before the first trade.
    `amends`: terms an amended order has had, by txid; `deadman_us`: when the dead-man's switch fires, 0 while it is off.
    """

    line: int = 0
    mark_us: int = 0
    tick_us: int = 0
    orders: dict[str, TwinOrder] = field(default_factory=dict)
    trades: dict[str, TwinTrade] = field(default_factory=dict)
    balances: dict[str, Decimal] = field(default_factory=dict)
    opening: dict[str, Decimal] = field(default_factory=dict)
    opened_us: int = 0
    counters: dict[str, int] = field(default_factory=dict)
    nonces: dict[str, int] = field(default_factory=dict)
    bare_since: dict[str, int] = field(default_factory=dict)
    max_unprotected_us: int = 0
    amends: dict[str, list[Amend]] = field(default_factory=dict)
    deadman_us: int = 0

    @property
    def size(self) -> int:
        return len(self.orders) + len(self.trades)

    def dump(self) -> dict[str, Any]:
        """The state as JSON values; equal states give equal text."""
        return {
            "n": self.line,
            "t": self.mark_us,
            "k": self.tick_us,
            "o": [to_row(order) for order in self.orders.values()],
            "f": [to_row(trade) for trade in self.trades.values()],
            "b": {asset: str(amount) for asset, amount in self.balances.items()},
            "opening": {asset: str(amount) for asset, amount in self.opening.items()},
            "opened": self.opened_us,
            "c": dict(self.counters),
            "nonce": dict(self.nonces),
            "bare": dict(self.bare_since),
            "max": self.max_unprotected_us,
            "a": [to_row(amend) for amends in self.amends.values() for amend in amends],
            "dead": self.deadman_us,
        }

    def apply(self, line: Mapping[str, Any]) -> None:
        """Take over what a line or a snapshot says; what it leaves out stays."""
        self.line, self.mark_us, self.tick_us = line["n"], line["t"], line["k"]
        for row in line.get("o", ()):
            self.orders[row["txid"]] = order_from_row(row)
        for row in line.get("f", ()):
            self.trades[row["trade_id"]] = from_row(TwinTrade, row)
        self.balances.update({asset: Decimal(text) for asset, text in line.get("b", {}).items()})
        self.opening.update({asset: Decimal(text) for asset, text in line.get("opening", {}).items()})
        self.opened_us = line.get("opened", self.opened_us)
        self.counters.update(line.get("c", {}))
        self.nonces.update(line.get("nonce", {}))
        if "bare" in line:
            self.bare_since = dict(line["bare"])
        self.max_unprotected_us = line.get("max", self.max_unprotected_us)
        for row in line.get("a", ()):
            self.amends.setdefault(row["txid"], []).append(from_row(Amend, row))
        self.deadman_us = line.get("dead", self.deadman_us)


class Books:
    """The files `name`.jsonl and `name`.snapshot.json under `directory`; None keeps nothing beyond the process.

    Raises CorruptError for a damaged file.
    """

    def __init__(self, directory: Path | None, name: str = SPOT) -> None:
        self._directory = directory
        self._log_name, self._snapshot_name = f"{name}.jsonl", f"{name}.snapshot.json"
        self._log: TextIO | None = None
        self._lines = 0

    def load(self, state: Kept) -> bool:
        """Fill `state` from the files; False where there is nothing yet. Opens the log for appending."""
        if self._directory is None:
            return False
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        snapshot, log = self._directory / self._snapshot_name, self._directory / self._log_name
        if snapshot.exists():
            state.apply(_parse(snapshot.read_text(), f"{snapshot}"))
        kept = 0
        if log.exists():
            kept = self._replay(log, state)
            os.truncate(log, kept)  # a torn last line: that operation was never acknowledged
        self._log = _open(log, "a")
        return state.line > 0

    def _replay(self, log: Path, state: Kept) -> int:
        kept = 0
        for number, raw in enumerate(log.read_bytes().splitlines(keepends=True), start=1):
            if not raw.endswith(b"\n"):
                break
            line = _parse(raw.decode(errors="replace"), f"{log} line {number}")
            if line["n"] > state.line:
                if line["n"] != state.line + 1:
                    raise CorruptError(f"{log} line {number}: operation {line['n']} follows {state.line}; lines are missing")
                state.apply(line)
            kept += len(raw)
            self._lines += 1
        return kept

    def append(self, line: Mapping[str, Any], state: Kept) -> None:
        """Write one operation; now and then fold everything into a new snapshot."""
        if self._log is None:
            return
        self._log.write(_ENCODER.encode(line) + "\n")
        self._log.flush()
        self._lines += 1
        if self._lines >= SNAPSHOT_LINES and self._lines >= state.size:
            self.snapshot(state)

    def snapshot(self, state: Kept) -> None:
        """Write the state whole, then start an empty log. A kill in between is harmless: old lines are skipped by number."""
        if self._directory is None or self._log is None:
            return
        temporary = self._directory / f"{self._snapshot_name}.new"
        with _open(temporary, "w") as file:
            file.write(_ENCODER.encode(state.dump()))
        temporary.replace(self._directory / self._snapshot_name)
        self._log.close()
        self._log = _open(self._directory / self._log_name, "w")
        self._lines = 0

    def close(self) -> None:
        """Close the file; more appends are dropped only for in-memory books, so call it last."""
        if self._log is not None:
            self._log.close()
            self._log = None


def _open(path: Path, mode: Literal["a", "w"]) -> TextIO:
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if mode == "a" else os.O_TRUNC)
    return cast(TextIO, os.fdopen(os.open(path, flags, 0o600), mode, encoding="utf-8"))


def _parse(text: str, where: str) -> Mapping[str, Any]:
    try:
        line = json.loads(text)
        return {**line, "n": int(line["n"])}
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptError(f"{where}: not a line of the twin's books ({error!r})") from error
