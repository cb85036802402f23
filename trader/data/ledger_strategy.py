"""Which strategy is in use, as events of the ledger: every change with what it was, who made it, why, and the run it stands on.

A change binds the next session; open positions keep the plan they were opened with, which lies in the ledger beside them.
"""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, select

from trader.data.engine import exists, place_of, reader_engine, reading, schema_version, translated
from trader.data.journal import Tx, from_outside
from trader.data.tables import journal
from trader.errors import RejectedError

CHANGED = "strategy.changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyChange:
    """`before` and `after`: `profile/mode/VARIATION`; `run`: the judgement it stands on, `revert RUN` for its undoing; `time_us`: when."""

    before: str
    after: str
    who: str
    reason: str
    run: str
    time_us: int

    @property
    def revert(self) -> bool:
        """Whether it undid another change."""
        return self.run.startswith("revert ")


def changes(connection: Connection) -> list[StrategyChange]:
    """All changes, oldest first."""
    rows = connection.execute(select(journal).where(journal.c.type == CHANGED).order_by(journal.c.seq))
    return [_change(row) for row in rows]


def _change(row: Row[Any]) -> StrategyChange:
    return StrategyChange(**json.loads(row.payload), time_us=row.time_us)


def change(tx: Tx, *, before: str, after: str, who: str, reason: str, run: str) -> StrategyChange:
    """Write a change; the same run changes once only, however often it is asked.

    Raises RejectedError without a name, without a change, or where `before` is no longer in use.
    """
    if not who.strip() or not reason.strip():
        raise RejectedError("a change of strategy needs a name and a reason")
    known = changes(tx.connection)
    if same := [one for one in known if one.run == run]:
        return same[-1]
    if before == after:
        raise RejectedError(f"strategy {after} is in use already")
    if known and known[-1].after != before:
        raise RejectedError(f"strategy {known[-1].after} is in use now, not {before}; judge again")
    made = StrategyChange(before=before, after=after, who=who, reason=reason, run=run, time_us=tx.now_us)
    body = asdict(made)
    del body["time_us"]
    tx.log(CHANGED, body, kind="command", key=f"strategy:{run}")
    return made


def read_changes(path: str | Path) -> list[StrategyChange]:
    """All changes in the ledger of `path`, oldest first; none where there is no ledger yet, or an empty one. Only reads."""
    place = place_of(path)
    if not exists(place):
        return []
    with translated(place), closing(reader_engine(place).connect()) as connection, reading(connection, place):
        return changes(connection) if schema_version(connection, place) is not None else []


def submit_change(path: str | Path, now_us: int, *, before: str, after: str, who: str, reason: str, run: str) -> StrategyChange:
    """Write a change from any process. Raises RejectedError as `change`, and where there is no ledger."""
    with from_outside(path, now_us, "no session whose strategy could change; `trader up` makes one") as tx:
        return change(tx, before=before, after=after, who=who, reason=reason, run=run)
