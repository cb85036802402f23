"""The night's suggestions and what people did with them, in ops.sqlite: both only grow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Row, insert, select
from sqlalchemy.dialects import sqlite

from trader.data.engine import reading, writing
from trader.data.ops import open_ops
from trader.data.ops import suggestion as table
from trader.data.ops import suggestion_act as acts_table
from trader.domain.suggestions import Act, Proposal, Suggestion, SuggestionKind, SuggestionReason, SuggestionState, Tunable
from trader.errors import RejectedError

FROM = {Act.APPROVE: SuggestionState.PENDING, Act.REJECT: SuggestionState.PENDING, Act.REVERT: SuggestionState.APPROVED}
"""The state an act needs."""


class Suggestions:
    """The tables of one installation."""

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._connection = open_ops(self.path)

    def add(self, suggestions: Sequence[Suggestion]) -> int:
        """Store those whose id is new; returns how many."""
        if not suggestions:
            return 0
        with writing(self._connection, self.path) as connection:
            return sum(connection.execute(sqlite.insert(table).on_conflict_do_nothing(), _row(one)).rowcount for one in suggestions)

    def all(self) -> list[Suggestion]:
        """Every suggestion with what was done, oldest first."""
        with reading(self._connection, self.path) as connection:
            acts: dict[str, list[tuple[Act, str, str, int]]] = {}
            for row in connection.execute(select(acts_table).order_by(acts_table.c.seq)):
                acts.setdefault(row.suggestion_id, []).append((Act(row.act), row.who, row.why, row.at_us))
            rows = connection.execute(select(table).order_by(table.c.made_us, table.c.suggestion_id))
            return [_suggestion(row, tuple(acts.get(row.suggestion_id, ()))) for row in rows]

    def answer_suggestion(self, suggestion_id: str, act: Act, *, who: str, why: str, now_us: int) -> Suggestion:
        """Write down what a person does. Raises RejectedError without a name or a reason, or where the suggestion does not stand so."""
        if not who.strip() or not why.strip():
            raise RejectedError(f"to {act} a suggestion needs a name and a reason")
        known = {one.suggestion_id: one for one in self.all()}
        if suggestion_id not in known:
            raise RejectedError(f"no suggestion {suggestion_id!r}; `trader night list` shows them")
        state = known[suggestion_id].state(now_us)
        if state is not FROM[act]:
            raise RejectedError(f"{suggestion_id} is {state.lower()}; to {act} it, it must be {FROM[act].lower()}")
        row = {"suggestion_id": suggestion_id, "act": act.value, "who": who, "why": why, "at_us": now_us}
        with writing(self._connection, self.path) as connection:  # of two at once one meets the unique key
            connection.execute(insert(acts_table).values(**row))
        return next(one for one in self.all() if one.suggestion_id == suggestion_id)

    def close(self) -> None:
        self._connection.close()


def _row(one: Suggestion) -> dict[str, Any]:
    p = one.proposal
    return {
        "suggestion_id": one.suggestion_id, "night": one.night, "kind": p.kind.value, "strategy": p.strategy,
        "parameter": "" if p.parameter is None else p.parameter.value, "current": repr(p.current), "proposed": repr(p.proposed),
        "reason": p.reason.value, "note": p.note, "evidence_json": json.dumps(p.evidence), "trial_json": json.dumps(dict(one.trial)),
        "model": one.model, "is_twin": one.is_twin, "made_us": one.made_us, "expires_us": one.expires_us,
    }  # fmt: skip


def _suggestion(row: Row[Any], acts: tuple[tuple[Act, str, str, int], ...]) -> Suggestion:
    proposal = Proposal(
        name=row.suggestion_id.rpartition("-")[2], kind=SuggestionKind(row.kind), strategy=row.strategy,
        reason=SuggestionReason(row.reason), evidence=tuple(json.loads(row.evidence_json)),
        parameter=Tunable(row.parameter) if row.parameter else None, current=float(row.current), proposed=float(row.proposed),
        note=row.note,
    )  # fmt: skip
    return Suggestion(
        suggestion_id=row.suggestion_id, night=row.night, proposal=proposal, trial=json.loads(row.trial_json), model=row.model,
        is_twin=row.is_twin, made_us=row.made_us, acts=acts,
    )  # fmt: skip
