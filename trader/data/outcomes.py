"""What became of the AI's signals, in ops.sqlite: one row a signal and version of the fill simulator, never changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Row, Select, select
from sqlalchemy.dialects import sqlite

from trader.data.engine import reading, writing
from trader.data.ops import ai_outcome, open_ops
from trader.domain.verdicts import Outcome, SignalKind

NEWEST = 1_000_000_000  # more rows than there will ever be


class Outcomes:
    """The table `ai_outcome` of one installation."""

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._connection = open_ops(self.path)

    def add(self, outcomes: Sequence[Outcome]) -> int:
        """Store those that are not stored yet, in one transaction; returns how many were new."""
        if not outcomes:
            return 0
        with writing(self._connection, self.path) as connection:
            rows = [_row(one) for one in outcomes]
            return sum(connection.execute(sqlite.insert(ai_outcome).on_conflict_do_nothing(), row).rowcount for row in rows)

    def known(self, fill_model: str) -> frozenset[str]:
        """Decisions that this version of the simulator has labelled."""
        query = select(ai_outcome.c.decision_id).where(ai_outcome.c.fill_model_version == fill_model)
        with reading(self._connection, self.path) as connection:
            return frozenset(connection.execute(query).scalars())

    def all(self, fill_model: str) -> list[Outcome]:
        """Every label of a version, by time."""
        return self._read(_OLDEST_FIRST.where(ai_outcome.c.fill_model_version == fill_model))

    def newest(self, strategy: str, fill_model: str, limit: int = NEWEST) -> list[Outcome]:
        """The newest labels of a strategy, newest first."""
        query = select(ai_outcome).where(ai_outcome.c.strategy == strategy, ai_outcome.c.fill_model_version == fill_model)
        return self._read(query.order_by(ai_outcome.c.close_us.desc(), ai_outcome.c.decision_id).limit(limit))

    def _read(self, query: Select[Any]) -> list[Outcome]:
        with reading(self._connection, self.path) as connection:
            return [_outcome(row) for row in connection.execute(query)]

    def close(self) -> None:
        self._connection.close()


_OLDEST_FIRST = select(ai_outcome).order_by(ai_outcome.c.close_us, ai_outcome.c.decision_id)


def _row(one: Outcome) -> dict[str, Any]:
    return {
        "decision_id": one.decision_id, "kind": one.kind.value, "strategy": one.strategy, "close_us": one.close_us, "label_loss": one.loss,
        "net_return": one.net_return, "r_multiple": one.r, "net": one.net, "exit_reason": one.exit_reason, "bars_held": one.bars_held,
        "fill_model_version": one.fill_model, "scored_at": one.scored_us,
    }  # fmt: skip


def _outcome(row: Row[Any]) -> Outcome:
    return Outcome(
        decision_id=row.decision_id, kind=SignalKind(row.kind), strategy=row.strategy, close_us=row.close_us, net_return=row.net_return,
        r=row.r_multiple, net=row.net, exit_reason=row.exit_reason, bars_held=row.bars_held, fill_model=row.fill_model_version,
        scored_us=row.scored_at,
    )  # fmt: skip
