"""Whether the AI may veto, as events of the ledger: it loses that by its own figures, and a person gives it back.

A change binds the next session. The newest one holds, whatever the settings say; they can only ask for less.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, select

from trader.data.engine import exists, place_of, reader_engine, reading, schema_version, translated
from trader.data.journal import Tx, from_outside
from trader.data.tables import journal
from trader.domain.verdicts import AiMode
from trader.errors import RejectedError

DEMOTED, PROMOTED = "ai.demoted", "ai.promoted"
_AFTER = {DEMOTED: AiMode.SHADOW, PROMOTED: AiMode.VETO}


@dataclass(frozen=True, slots=True, kw_only=True)
class AiChange:
    """`after`: shadow (demoted) or veto (promoted); `group`: provider, model, prompt and strategy it was judged by; `label`: says so
    where that is a stand-in; `causes`: of a demotion."""

    after: AiMode
    who: str
    reason: str
    causes: tuple[str, ...]
    group: str
    label: str
    time_us: int


def changes(connection: Connection) -> list[AiChange]:
    """All changes, oldest first."""
    rows = connection.execute(select(journal).where(journal.c.type.in_(tuple(_AFTER))).order_by(journal.c.seq))
    return [_change(row.type, json.loads(row.payload), row.time_us) for row in rows]


def _change(type_: str, told: dict[str, object], time_us: int) -> AiChange:
    causes = told["causes"]
    assert isinstance(causes, list)
    return AiChange(
        after=_AFTER[type_], who=str(told["who"]), reason=str(told["reason"]), causes=tuple(map(str, causes)), group=str(told["group"]),
        label=str(told["label"]), time_us=time_us,
    )  # fmt: skip


def change(tx: Tx, *, after: AiMode, who: str, reason: str, group: str, causes: Sequence[str] = (), label: str = "") -> AiChange:
    """Write a change; one that holds already is returned as it is. Raises RejectedError without a name or a reason."""
    if not who.strip() or not reason.strip():
        raise RejectedError("a change of the AI's standing needs a name and a reason")
    known = changes(tx.connection)
    if (known[-1].after if known else AiMode.VETO) is after:
        if known:
            return known[-1]
        raise RejectedError("the AI was never demoted; ai.mode in the settings says what it may do")
    type_ = next(name for name, mode in _AFTER.items() if mode is after)
    body: dict[str, object] = {"who": who, "reason": reason, "causes": list(causes), "group": group, "label": label}
    tx.log(type_, body, kind="command")
    return _change(type_, body, tx.now_us)


def read_ai_changes(path: str | Path) -> list[AiChange]:
    """All changes in the ledger of `path`, oldest first; none where there is no ledger yet, or an empty one. Only reads."""
    place = place_of(path)
    if not exists(place):
        return []
    with translated(place), closing(reader_engine(place).connect()) as connection, reading(connection, place):
        return changes(connection) if schema_version(connection, place) is not None else []


def mode_in_force(path: str | Path, asked: str) -> str:
    """What `ai.mode` of the settings comes to: shadow where it asks for a veto that was taken."""
    made = read_ai_changes(path) if asked == AiMode.VETO.value else []
    return made[-1].after.value if made else asked


def submit_ai_change(
    path: str | Path, now_us: int, *, after: AiMode, who: str, reason: str, group: str, causes: Sequence[str] = (), label: str = ""
) -> AiChange:  # fmt: skip
    """Write a change from any process. Raises RejectedError as `change`, and where there is no ledger."""
    with from_outside(path, now_us, "no session whose AI could change; `trader up` makes one") as tx:
        return change(tx, after=after, who=who, reason=reason, group=group, causes=causes, label=label)
