"""The ledger as first released: 15 tables and the triggers that keep the journal, fills and moves append-only.

Revision: 0001. Never edited once released.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from trader.data.types import Flag, Micros, Money

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

FIXED = " OR ".join(
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
APPEND_ONLY = (
    ("journal", "UPDATE", ""),
    ("journal", "DELETE", ""),
    ("external_move", "UPDATE", ""),
    ("external_move", "DELETE", ""),
    ("fill", "DELETE", ""),
    ("fill", "UPDATE", f" WHEN OLD.cl_ord_id IS NOT NULL OR {FIXED}"),
)


def upgrade() -> None:
    """Create everything."""
    op.create_table(
        "beat",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("time_us", Micros(), nullable=False),
        sa.Column("lag_s", sa.REAL(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_beat")),
        sqlite_strict=True,
    )
    op.create_table(
        "cash",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("quantity", Money(), nullable=False),
        sa.PrimaryKeyConstraint("account", "asset", name=op.f("pk_cash")),
        sqlite_strict=True,
    )
    op.create_table(
        "control",
        sa.Column("control_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("verb", sa.Text(), nullable=False),
        sa.Column("argument", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_us", Micros(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("answered_us", Micros(), nullable=True),
        sa.CheckConstraint("state IN ('PENDING', 'DONE', 'REFUSED', 'EXPIRED')", name=op.f("ck_control_state")),
        sa.PrimaryKeyConstraint("control_id", name=op.f("pk_control")),
        sqlite_strict=True,
    )
    op.create_index("ix_control_state", "control", ["state"], unique=False)
    op.create_table(
        "decision",
        sa.Column("decision_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("time_us", Micros(), nullable=False),
        sa.Column("close_us", Micros(), nullable=False),
        sa.Column("pair", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("final", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("score", sa.REAL(), nullable=True),
        sa.Column("close", sa.REAL(), nullable=True),
        sa.Column("atr_fraction", sa.REAL(), nullable=True),
        sa.Column("unit", sa.REAL(), nullable=True),
        sa.Column("stop", sa.REAL(), nullable=True),
        sa.Column("tp1", sa.REAL(), nullable=True),
        sa.Column("tp2", sa.REAL(), nullable=True),
        sa.Column("stake", Money(), nullable=True),
        sa.Column("points_json", sa.Text(), nullable=False),
        sa.Column("evidence_json", sa.Text(), nullable=False),
        sa.Column("ai_mode", sa.Text(), nullable=False),
        sa.Column("lookup", sa.Text(), nullable=True),
        sa.Column("ruling", sa.Text(), nullable=True),
        sa.Column("p_loss", sa.REAL(), nullable=True),
        sa.Column("age_ms", sa.REAL(), nullable=True),
        sa.Column("verdict_id", sa.Text(), nullable=True),
        sa.Column("is_twin", Flag(), nullable=True),
        sa.PrimaryKeyConstraint("decision_id", name=op.f("pk_decision")),
        sqlite_strict=True,
    )
    op.create_index("ix_decision_close_us", "decision", ["close_us"], unique=False)
    op.create_table(
        "decision_bar",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("time_us", Micros(), nullable=False),
        sa.Column("close_us", Micros(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("counts_json", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_decision_bar")),
        sqlite_strict=True,
    )
    op.create_table(
        "equity",
        sa.Column("time_us", Micros(), autoincrement=False, nullable=False),
        sa.Column("cash", Money(), nullable=False),
        sa.Column("marked", Money(), nullable=False),
        sa.Column("equity", Money(), nullable=False),
        sa.Column("realised", Money(), nullable=False),
        sa.Column("fees", Money(), nullable=False),
        sa.Column("drawdown", sa.REAL(), nullable=False),
        sa.PrimaryKeyConstraint("time_us", name=op.f("pk_equity")),
        sqlite_strict=True,
    )
    op.create_table(
        "external_move",
        sa.Column("move_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("amount", Money(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("time_us", Micros(), nullable=False),
        sa.PrimaryKeyConstraint("move_id", name=op.f("pk_external_move")),
        sqlite_strict=True,
    )
    op.create_table(
        "fill",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("trade_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("txid", sa.Text(), nullable=False),
        sa.Column("cl_ord_id", sa.Text(), nullable=True),
        sa.Column("position_id", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("pair", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("price", Money(), nullable=False),
        sa.Column("quantity", Money(), nullable=False),
        sa.Column("cost", Money(), nullable=False),
        sa.Column("fee", Money(), nullable=False),
        sa.Column("fee_asset", sa.Text(), nullable=False),
        sa.Column("maker", Flag(), nullable=False),
        sa.Column("time_us", Micros(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account", "trade_id", name=op.f("pk_fill")),
        sqlite_strict=True,
    )
    op.create_index("ix_fill_position_id", "fill", ["position_id"], unique=False)
    op.create_index("ix_fill_txid", "fill", ["txid"], unique=False)
    op.create_table(
        "halt",
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("since_us", Micros(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.CheckConstraint("level IN ('REDUCING', 'HALTED')", name=op.f("ck_halt_level")),
        sa.PrimaryKeyConstraint("cause", name=op.f("pk_halt")),
        sqlite_strict=True,
    )
    op.create_table(
        "intent",
        sa.Column("cl_ord_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("leg", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("position_id", sa.Text(), nullable=False),
        sa.Column("pair", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("order_type", sa.Text(), nullable=False),
        sa.Column("quantity", Money(), nullable=False),
        sa.Column("limit_price", Money(), nullable=True),
        sa.Column("trigger_price", Money(), nullable=True),
        sa.Column("close_trigger", Money(), nullable=True),
        sa.Column("immediate", Flag(), nullable=False),
        sa.Column("deadline_us", Micros(), nullable=False),
        sa.Column("created_us", Micros(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("txid", sa.Text(), nullable=True),
        sa.Column("refid", sa.Text(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("proof_json", sa.Text(), nullable=True),
        sa.Column("resolved_us", Micros(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("status_us", Micros(), nullable=True),
        sa.Column("filled", Money(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.UniqueConstraint("account", "key", "leg", "attempt", name=op.f("uq_intent_account_key_leg_attempt")),
        sa.UniqueConstraint("txid", name=op.f("uq_intent_txid")),
        sa.CheckConstraint("leg <> 'entry' OR attempt = 0", name=op.f("ck_intent_one_entry")),
        sa.CheckConstraint("leg IN ('entry', 'stop', 'target', 'exit')", name=op.f("ck_intent_leg")),
        sa.CheckConstraint("outcome <> 'ACKED' OR txid IS NOT NULL", name=op.f("ck_intent_acked_has_txid")),
        sa.CheckConstraint("outcome IN ('SENT', 'ACKED', 'REJECTED', 'ABSENT')", name=op.f("ck_intent_outcome")),
        sa.PrimaryKeyConstraint("cl_ord_id", name=op.f("pk_intent")),
        sqlite_strict=True,
    )
    op.create_index(
        "ix_intent_live",
        "intent",
        ["outcome", "status"],
        unique=False,
        sqlite_where=sa.text("outcome = 'SENT' OR (outcome = 'ACKED' AND (status IS NULL OR status IN ('pending', 'open')))"),
    )
    op.create_index("ix_intent_position_id", "intent", ["position_id"], unique=False)
    op.create_table(
        "journal",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("time_us", Micros(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.UniqueConstraint("key", name=op.f("uq_journal_key")),
        sa.CheckConstraint("kind IN ('event', 'command')", name=op.f("ck_journal_kind")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_journal")),
        sqlite_strict=True,
    )
    op.create_index("ix_journal_type", "journal", ["type"], unique=False)
    op.create_table(
        "lease",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("acquired_us", Micros(), nullable=False),
        sa.Column("expires_us", Micros(), nullable=False),
        sa.Column("released", Flag(), nullable=False),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_lease")),
        sqlite_strict=True,
    )
    op.create_table(
        "meta",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_meta")),
        sqlite_strict=True,
    )
    op.create_table(
        "pair_state",
        sa.Column("pair", sa.Text(), nullable=False),
        sa.Column("close_us", Micros(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("score", sa.REAL(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("pair", name=op.f("pk_pair_state")),
        sqlite_strict=True,
    )
    op.create_table(
        "position",
        sa.Column("position_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("pair", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("entry_key", sa.Text(), nullable=False),
        sa.Column("plan_json", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("opened_us", Micros(), nullable=False),
        sa.Column("closed_us", Micros(), nullable=True),
        sa.Column("quantity", Money(), nullable=False),
        sa.Column("entry_quantity", Money(), nullable=False),
        sa.Column("entry_cost", Money(), nullable=False),
        sa.Column("entry_fee", Money(), nullable=False),
        sa.Column("exit_quantity", Money(), nullable=False),
        sa.Column("exit_cost", Money(), nullable=False),
        sa.Column("exit_fee", Money(), nullable=False),
        sa.Column("exit_state_json", sa.Text(), nullable=True),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('OPENING', 'OPEN', 'CLOSED', 'DUST')", name=op.f("ck_position_state")),
        sa.PrimaryKeyConstraint("position_id", name=op.f("pk_position")),
        sqlite_strict=True,
    )
    op.create_index("ix_position_state", "position", ["state"], unique=False)
    for table, verb, when in APPEND_ONLY:
        head = f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table}{when}"
        op.execute(f"{head} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END")
