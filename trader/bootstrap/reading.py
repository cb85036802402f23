"""The reading and controlling verbs of the command line: `trader status`, and pause, resume, stop, exit, flatten."""

from __future__ import annotations

import getpass
import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trader.bootstrap.dependencies import missing
from trader.bootstrap.paths import Paths
from trader.bootstrap.readmodel import ReadModel
from trader.bootstrap.state_time import now_of
from trader.data.engine import is_blank
from trader.data.ledger_control import OPERATOR, submit_control
from trader.data.reader import LedgerReader
from trader.domain.messages import stamp
from trader.errors import RejectedError

PATIENCE_S = 30.0
POLL_S = 0.25
RUNNING = ("RUNNING", "PAUSED", "HALTED")


def status_of(state: Path) -> dict[str, Any]:
    """The object of `trader status --json`: `views.StatusView` as plain values. Works on any directory, also an empty one."""
    model = ReadModel(state, ask=lambda _url: missing("prefect", "not asked"))
    return asdict(model.status())


def _refuse_unknown(paths: Paths, verb: str, argument: str) -> None:
    """Refuse at once what any session would: a cause that is not on, a position that is not held.

    The operator's own halt may be taken back at any time, also before a session has set it aside.
    """
    if verb not in ("resume", "exit") or is_blank(paths.ledger_at):
        return  # without a ledger, storing the order says so
    with closing(LedgerReader(paths.ledger_at)) as reader:
        if verb == "exit":
            held = [one.position for one in reader.positions()]
            if not any(argument in (position.pair, position.position_id) for position in held):
                there = ", ".join(f"{position.pair} ({position.position_id})" for position in held)
                raise RejectedError(f"exit: nothing is held under {argument!r}; held are: {there or 'none'}")
        else:
            cause, on = argument.partition(":")[0].strip(), sorted(halt.cause for halt in reader.halts())
            if cause not in ("", OPERATOR, *on):
                raise RejectedError(f"resume: no halt {cause!r} is on; on are: {', '.join(on) or 'none'}")


def control(state: Path, verb: str, argument: str = "", *, patience_s: float = PATIENCE_S, who: str | None = None) -> str:
    """Give the session an order and wait for its answer, at most `patience_s`; the sentence to print.

    A halt (pause, stop, flatten) binds the very next order from the moment it is stored, answered or not. Raises
    RejectedError where no ledger is, where the order names nothing that is there, or where the session refused.
    """
    paths = Paths(state)
    _refuse_unknown(paths, verb, argument)
    now_us = now_of(paths)
    given = submit_control(paths.ledger_at, verb, argument, who or f"{getpass.getuser()} (command line)", now_us)
    if ReadModel(state, ask=lambda _url: missing("prefect", "not asked")).status().session.state not in RUNNING:
        return f"{verb}: stored as {given.control_id}; no session runs now, the next one obeys it when it starts"
    with closing(LedgerReader(paths.ledger_at)) as reader:
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            seen = reader.control(given.control_id)
            if seen is not None and seen.control.state != "PENDING":
                if seen.control.state != "DONE":
                    raise RejectedError(f"{verb}: {seen.control.state.lower()}: {seen.control.answer}")
                return f"{verb}: done at {stamp(seen.answered_us or now_us)}: {seen.control.answer}"
            time.sleep(POLL_S)
    return f"{verb}: stored as {given.control_id}; no answer within {patience_s:g} s, `trader status` shows it when it comes"
