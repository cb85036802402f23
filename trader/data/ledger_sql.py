"""Statements of the hot path, built once: building one costs more than running it. Parameters named `at_*` are conditions.

SQLAlchemy never caches the compiled form of an insert with ON CONFLICT; `Prepared` does.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from trader.data.prepared import Prepared
from trader.data.tables import beat, cash, decision, decision_bar, equity, fill, halt, intent, journal, lease, meta, pair_state, position
from trader.domain.orders import ExchangeStatus, Outcome

_UPSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def upsert(connection: Connection, table: Table) -> Any:
    """An insert that knows ON CONFLICT, in the words of the connection's database."""
    return _UPSERTS[connection.dialect.name](table)


LIVE_STATUS = tuple(status.value for status in ExchangeStatus if status.live)
LIVE = or_(
    intent.c.outcome == Outcome.SENT.value,
    (intent.c.outcome == Outcome.ACKED.value) & or_(intent.c.status.is_(None), *(intent.c.status == word for word in LIVE_STATUS)),
)

JOURNAL_TIP = Prepared(select(journal.c.seq, journal.c.hash).order_by(journal.c.seq.desc()).limit(1))
JOURNAL_ADD = Prepared(insert(journal))

LEASE_OF = Prepared(select(lease).where(lease.c.account == bindparam("at_account")))
LEASE_SET = Prepared(update(lease).where(lease.c.account == bindparam("at_account")))
HALTS = Prepared(select(halt).order_by(halt.c.cause))

INTENT_ADD = Prepared(insert(intent))
INTENT_SET = Prepared(update(intent).where(intent.c.cl_ord_id == bindparam("at_id")))
INTENT_BY_ID = Prepared(select(intent).where(intent.c.cl_ord_id == bindparam("at_id")))
INTENT_BY_TXID = Prepared(select(intent).where(intent.c.txid == bindparam("at_txid"), intent.c.account == bindparam("at_account")))
INTENT_SAME = Prepared(
    select(intent.c.cl_ord_id, intent.c.outcome).where(
        or_(
            intent.c.cl_ord_id == bindparam("at_id"),
            (intent.c.account == bindparam("at_account"))
            & (intent.c.key == bindparam("at_key"))
            & (intent.c.leg == bindparam("at_leg"))
            & (intent.c.attempt == bindparam("at_attempt")),
        )
    )
)
ATTEMPT = Prepared(
    select(func.max(intent.c.attempt).label("newest")).where(
        intent.c.account == bindparam("at_account"), intent.c.key == bindparam("at_key"), intent.c.leg == bindparam("at_leg")
    )
)
_INTENTS = select(intent).where(intent.c.account == bindparam("at_account")).order_by(intent.c.seq)
INTENTS, LIVE_INTENTS = Prepared(_INTENTS), Prepared(_INTENTS.where(LIVE))
PROMISED = Prepared(
    select(intent.c.quantity, intent.c.filled).where(intent.c.position_id == bindparam("at_position"), intent.c.leg != "entry", LIVE)
)

POSITION_ADD = Prepared(insert(position))
POSITION_SET = Prepared(update(position).where(position.c.position_id == bindparam("at_id")))
_POSITIONS = select(position).where(position.c.account == bindparam("at_account")).order_by(position.c.seq)
POSITIONS = Prepared(_POSITIONS)
POSITION_BY_ID = Prepared(_POSITIONS.where(position.c.position_id == bindparam("at_id")))
OPEN_POSITIONS = Prepared(_POSITIONS.where(or_(*(position.c.state == word for word in ("OPENING", "OPEN", "DUST")))))
EXIT_STATES = Prepared(
    select(position.c.position_id, position.c.exit_state_json)
    .where(position.c.account == bindparam("at_account"), position.c.state != "CLOSED", position.c.exit_state_json.is_not(None))
    .order_by(position.c.seq)
)

FILL_ADD = {name: Prepared(made(fill).on_conflict_do_nothing().returning(fill.c.trade_id)) for name, made in _UPSERTS.items()}
FILL_SET = Prepared(update(fill).where(fill.c.account == bindparam("at_account"), fill.c.trade_id == bindparam("at_trade")))
STRAY_FILLS = Prepared(
    select(fill)
    .where(fill.c.account == bindparam("at_account"), fill.c.txid == bindparam("at_txid"), fill.c.cl_ord_id.is_(None))
    .order_by(fill.c.seq)
)
_FILLS = (
    select(fill, intent.c.leg)
    .join(intent, intent.c.cl_ord_id == fill.c.cl_ord_id)
    .where(fill.c.account == bindparam("at_account"))
    .order_by(fill.c.seq)
)
EXIT_FILLS = Prepared(
    select(fill.c.pair, fill.c.time_us, fill.c.reason)
    .join(intent, intent.c.cl_ord_id == fill.c.cl_ord_id)
    .where(fill.c.account == bindparam("at_account"), intent.c.leg != "entry")
    .order_by(fill.c.time_us, fill.c.seq)
)
FILLS, FILLS_OF = Prepared(_FILLS), Prepared(_FILLS.where(fill.c.position_id == bindparam("at_id")))

_CASH = select(cash.c.asset, cash.c.quantity).where(cash.c.account == bindparam("at_account"))
CASH, CASH_OF = Prepared(_CASH.order_by(cash.c.asset)), Prepared(_CASH.where(cash.c.asset == bindparam("at_asset")))
CASH_ADD = Prepared(insert(cash))
CASH_SET = Prepared(update(cash).where(cash.c.account == bindparam("at_account"), cash.c.asset == bindparam("at_asset")))

EQUITY_DROP = Prepared(delete(equity).where(equity.c.time_us == bindparam("at_time")))
EQUITY_ADD = Prepared(insert(equity))
BEAT_ADD = Prepared(insert(beat))

META_OF = Prepared(select(meta.c.value).where(meta.c.name == bindparam("at_name")))
META_DROP = Prepared(delete(meta).where(meta.c.name == bindparam("at_name")))
META_ADD = Prepared(insert(meta))

DECISION_BAR_ADD = Prepared(insert(decision_bar))
DECISION_DROP = Prepared(delete(decision).where(decision.c.decision_id == bindparam("at_id")))
DECISION_ADD = Prepared(insert(decision))
PAIR_STATE_ADD = Prepared(insert(pair_state))
PAIR_STATE_SET = Prepared(update(pair_state).where(pair_state.c.pair == bindparam("at_pair")))
