"""Tables of the ledger (DATA.md section 7). The database itself is made by the migrations; a test compares the two."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CheckConstraint, Column, Index, Integer, MetaData, PrimaryKeyConstraint, Table, UniqueConstraint, text
from sqlalchemy.types import TypeEngine

from trader.data.types import WORDS, Flag, Micros, Money, Real

HEAD = "0001"  # newest alembic revision this program knows

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMES)
Kind = type[TypeEngine[Any]] | TypeEngine[Any]


def _key(name: str) -> Column[Any]:
    return Column(name, WORDS, primary_key=True, nullable=False)


def _must(name: str, kind: Kind = WORDS) -> Column[Any]:
    return Column(name, kind, nullable=False)


def _may(name: str, kind: Kind = WORDS) -> Column[Any]:
    return Column(name, kind, nullable=True)


def _table(name: str, *parts: Any) -> Table:
    return Table(name, metadata, *parts, sqlite_strict=True)


def _sequence() -> Column[Any]:
    return Column("seq", Integer, primary_key=True, autoincrement=False)


meta = _table("meta", _key("name"), _must("value"))

lease = _table(
    "lease", _key("account"), _must("holder"), _must("token", Integer), _must("acquired_us", Micros), _must("expires_us", Micros),
    _must("released", Flag),
)  # fmt: skip

journal = _table(
    "journal", _sequence(), _must("time_us", Micros), _must("kind"), _must("type"), _may("key"), _must("payload"), _must("hash"),
    UniqueConstraint("key"), CheckConstraint("kind IN ('event', 'command')", name="kind"), Index("ix_journal_type", "type"),
)  # fmt: skip

_LIVE = "outcome = 'SENT' OR (outcome = 'ACKED' AND (status IS NULL OR status IN ('pending', 'open')))"

intent = _table(
    "intent", _key("cl_ord_id"), _must("seq", Integer), _must("account"), _must("key"), _must("leg"),
    _must("attempt", Integer), _must("token", Integer), _must("position_id"), _must("pair"), _must("side"), _must("order_type"),
    _must("quantity", Money), _may("limit_price", Money), _may("trigger_price", Money), _may("close_trigger", Money),
    _must("immediate", Flag), _must("deadline_us", Micros), _must("created_us", Micros), _must("reason"), _must("outcome"), _may("txid"),
    _may("refid"), _must("answer"), _may("proof_json"), _may("resolved_us", Micros), _may("status"), _may("status_us", Micros),
    _must("filled", Money), _must("origin"), UniqueConstraint("account", "key", "leg", "attempt"), UniqueConstraint("txid"),
    CheckConstraint("leg <> 'entry' OR attempt = 0", name="one_entry"),
    CheckConstraint("leg IN ('entry', 'stop', 'target', 'exit')", name="leg"),
    CheckConstraint("outcome <> 'ACKED' OR txid IS NOT NULL", name="acked_has_txid"),
    CheckConstraint("outcome IN ('SENT', 'ACKED', 'REJECTED', 'ABSENT')", name="outcome"),
    Index("ix_intent_position_id", "position_id"),
    Index("ix_intent_live", "outcome", "status", sqlite_where=text(_LIVE), postgresql_where=text(_LIVE)),
)  # fmt: skip

fill = _table(
    "fill", _must("account"), _must("trade_id"), _must("seq", Integer), _must("txid"), _may("cl_ord_id"), _may("position_id"),
    _must("reason"), _must("pair"), _must("side"), _must("price", Money), _must("quantity", Money), _must("cost", Money),
    _must("fee", Money), _must("fee_asset"), _must("maker", Flag), _must("time_us", Micros), _must("source"),
    PrimaryKeyConstraint("account", "trade_id"), Index("ix_fill_position_id", "position_id"), Index("ix_fill_txid", "txid"),
)  # fmt: skip

position = _table(
    "position", _key("position_id"), _must("seq", Integer), _must("account"), _must("pair"), _must("side"),
    _must("strategy"), _must("entry_key"), _must("plan_json"), _must("state"), _must("opened_us", Micros), _may("closed_us", Micros),
    _must("quantity", Money), _must("entry_quantity", Money), _must("entry_cost", Money), _must("entry_fee", Money),
    _must("exit_quantity", Money), _must("exit_cost", Money), _must("exit_fee", Money), _may("exit_state_json"), _must("origin"),
    CheckConstraint("state IN ('OPENING', 'OPEN', 'CLOSED', 'DUST')", name="state"), Index("ix_position_state", "state"),
)  # fmt: skip

# analysis values are NULL where they were NaN
decision = _table(
    "decision", _key("decision_id"), _must("seq", Integer), _must("time_us", Micros),
    _must("close_us", Micros), _must("pair"), _must("side"), _must("strategy"), _must("action"), _must("final"), _must("detail"),
    _may("score", Real), _may("close", Real), _may("atr_fraction", Real), _may("unit", Real), _may("stop", Real),
    _may("tp1", Real), _may("tp2", Real), _may("stake", Money), _must("points_json"), _must("evidence_json"), _must("ai_mode"),
    _may("lookup"), _may("ruling"), _may("p_loss", Real), _may("age_ms", Real), _may("verdict_id"), _may("is_twin", Flag),
    Index("ix_decision_close_us", "close_us"),
)  # fmt: skip

decision_bar = _table(
    "decision_bar", _sequence(), _must("time_us", Micros), _must("close_us", Micros), _must("rows", Integer), _must("counts_json"),
    _must("digest"),
)  # fmt: skip

pair_state = _table(
    "pair_state", _key("pair"), _must("close_us", Micros), _must("code"), _may("score", Real),
    _must("detail"),
)  # fmt: skip

cash = _table("cash", _must("account"), _must("asset"), _must("quantity", Money), PrimaryKeyConstraint("account", "asset"))

external_move = _table(
    "external_move", _key("move_id"), _must("seq", Integer), _must("account"), _must("asset"),
    _must("amount", Money), _must("kind"), _must("time_us", Micros),
)  # fmt: skip

equity = _table(
    "equity", Column("time_us", Micros, primary_key=True, autoincrement=False, nullable=False), _must("cash", Money),
    _must("marked", Money), _must("equity", Money), _must("realised", Money), _must("fees", Money), _must("drawdown", Real),
)  # fmt: skip

halt = _table(
    "halt", _key("cause"), _must("level"), _must("since_us", Micros), _must("reason"), _must("who"),
    CheckConstraint("level IN ('REDUCING', 'HALTED')", name="level"),
)  # fmt: skip

control = _table(
    "control", _key("control_id"), _must("seq", Integer), _must("verb"), _must("argument"),
    _must("who"), _must("reason"), _must("created_us", Micros), _must("state"), _must("answer"), _may("answered_us", Micros),
    CheckConstraint("state IN ('PENDING', 'DONE', 'REFUSED', 'EXPIRED')", name="state"), Index("ix_control_state", "state"),
)  # fmt: skip

beat = _table("beat", _sequence(), _must("time_us", Micros), _must("lag_s", Real))

_FIXED = " OR ".join(
    f"NEW.{name} IS NOT OLD.{name}"
    for name in (
        "account",
        "trade_id",
        "seq",
        "txid",
        "pair",
        "side",
        "price",
        "quantity",
        "cost",
        "fee",
        "fee_asset",
        "maker",
        "time_us",
        "source",
    )
)

TRIGGERS: dict[str, str] = {
    f"{table}_no_{verb.lower()}": (
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table}{when} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    )
    for table, verb, when in (
        ("journal", "UPDATE", ""),
        ("journal", "DELETE", ""),
        ("external_move", "UPDATE", ""),
        ("external_move", "DELETE", ""),
        ("fill", "DELETE", ""),
        # an EXTERNAL fill may later be claimed by the order it turns out to belong to; nothing else of it ever changes
        ("fill", "UPDATE", f" WHEN OLD.cl_ord_id IS NOT NULL OR {_FIXED}"),
    )
}
