"""Statements of the hot path, built once: building one costs more than running it. Parameters named `at_*` are conditions.

SQLAlchemy never caches the compiled form of an insert with ON CONFLICT, so that one is used only where it decides something.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from trader.data.tables import cash, decision, decision_bar, fill, halt, intent, journal, lease, pair_state, position
from trader.domain.orders import ExchangeStatus, Outcome

_UPSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def upsert(connection: Connection, table: Table) -> Any:
    """An insert that knows ON CONFLICT, in the words of the connection's database."""
    return _UPSERTS[connection.dialect.name](table)


LIVE_STATUS = tuple(status.value for status in ExchangeStatus if status.live)
LIVE = or_(
    intent.c.outcome == Outcome.SENT.value,
    (intent.c.outcome == Outcome.ACKED.value) & or_(intent.c.status.is_(None), intent.c.status.in_(LIVE_STATUS)),
)

JOURNAL_TIP = select(journal.c.seq, journal.c.hash).order_by(journal.c.seq.desc()).limit(1)
JOURNAL_ADD = insert(journal)

LEASE_OF = select(lease).where(lease.c.account == bindparam("at_account"))
LEASE_SET = update(lease).where(lease.c.account == bindparam("at_account"))
HALTS = select(halt).order_by(halt.c.cause)

INTENT_ADD = insert(intent)
INTENT_SET = update(intent).where(intent.c.cl_ord_id == bindparam("at_id"))
INTENT_BY_ID = select(intent).where(intent.c.cl_ord_id == bindparam("at_id"))
INTENT_BY_TXID = select(intent).where(intent.c.txid == bindparam("at_txid"), intent.c.account == bindparam("at_account"))
INTENT_SAME = select(intent.c.cl_ord_id, intent.c.outcome).where(
    or_(
        intent.c.cl_ord_id == bindparam("at_id"),
        (intent.c.account == bindparam("at_account"))
        & (intent.c.key == bindparam("at_key"))
        & (intent.c.leg == bindparam("at_leg"))
        & (intent.c.attempt == bindparam("at_attempt")),
    )
)
_AMONG: Any = bindparam("at_ids", expanding=True)
INTENTS = select(intent).where(intent.c.account == bindparam("at_account")).order_by(intent.c.seq)
LIVE_INTENTS = INTENTS.where(LIVE)
INTENTS_AMONG = INTENTS.where(intent.c.cl_ord_id.in_(_AMONG))
PROMISED = select(intent.c.quantity, intent.c.filled).where(intent.c.position_id == bindparam("at_position"), intent.c.leg != "entry", LIVE)

POSITION_ADD = insert(position)
POSITION_SET = update(position).where(position.c.position_id == bindparam("at_id"))
POSITION_BY_ID = select(position).where(position.c.position_id == bindparam("at_id"), position.c.account == bindparam("at_account"))
POSITIONS = select(position).where(position.c.account == bindparam("at_account")).order_by(position.c.seq)
OPEN_POSITIONS = POSITIONS.where(position.c.state.in_(("OPENING", "OPEN", "DUST")))
POSITIONS_AMONG = POSITIONS.where(position.c.position_id.in_(_AMONG))

FILL_ADD = {name: made(fill).on_conflict_do_nothing().returning(fill.c.trade_id) for name, made in _UPSERTS.items()}
FILL_SET = update(fill).where(fill.c.account == bindparam("at_account"), fill.c.trade_id == bindparam("at_trade"))
STRAY_FILLS = (
    select(fill)
    .where(fill.c.account == bindparam("at_account"), fill.c.txid == bindparam("at_txid"), fill.c.cl_ord_id.is_(None))
    .order_by(fill.c.seq)
)

CASH_OF = select(cash.c.quantity).where(cash.c.account == bindparam("at_account"), cash.c.asset == bindparam("at_asset"))
CASH_ADD = insert(cash)
CASH_SET = update(cash).where(cash.c.account == bindparam("at_account"), cash.c.asset == bindparam("at_asset"))

DECISION_BAR_ADD = insert(decision_bar)
DECISION_DROP = delete(decision).where(decision.c.decision_id == bindparam("at_id"))
DECISION_ADD = insert(decision)
PAIR_STATE_ADD = insert(pair_state)
PAIR_STATE_SET = update(pair_state).where(pair_state.c.pair == bindparam("at_pair"))
