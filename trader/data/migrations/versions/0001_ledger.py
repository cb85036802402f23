"""The ledger as first released: 15 tables and the triggers that keep the journal, fills and moves append-only.

Revision: 0001. Never edited once released.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from trader.data.types import WORDS, Flag, Micros, Money, Real

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

LIVE = "outcome = 'SENT' OR (outcome = 'ACKED' AND (status IS NULL OR status IN ('pending', 'open')))"
FIXED = (
    "account", "trade_id", "seq", "txid", "pair", "side", "price", "quantity", "cost", "fee", "fee_asset", "maker", "time_us", "source",
)  # fmt: skip
CLAIMED = "OLD.cl_ord_id IS NOT NULL"
APPEND_ONLY = (
    ("journal", "UPDATE", False),
    ("journal", "DELETE", False),
    ("external_move", "UPDATE", False),
    ("external_move", "DELETE", False),
    ("fill", "DELETE", False),
    ("fill", "UPDATE", True),  # an EXTERNAL fill may be claimed by its order, once; nothing else of it ever changes
)
"""Table, verb, and whether the trigger lets a claim pass."""


def upgrade() -> None:
    """Create everything."""
    op.create_table(
        "beat",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("time_us", Micros(), nullable=False),
        sa.Column("lag_s", Real(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_beat")),
        sqlite_strict=True,
    )
    op.create_table(
        "cash",
        sa.Column("account", WORDS, nullable=False),
        sa.Column("asset", WORDS, nullable=False),
        sa.Column("quantity", Money(), nullable=False),
        sa.PrimaryKeyConstraint("account", "asset", name=op.f("pk_cash")),
        sqlite_strict=True,
    )
    op.create_table(
        "control",
        sa.Column("control_id", WORDS, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("verb", WORDS, nullable=False),
        sa.Column("argument", WORDS, nullable=False),
        sa.Column("who", WORDS, nullable=False),
        sa.Column("reason", WORDS, nullable=False),
        sa.Column("created_us", Micros(), nullable=False),
        sa.Column("state", WORDS, nullable=False),
        sa.Column("answer", WORDS, nullable=False),
        sa.Column("answered_us", Micros(), nullable=True),
        sa.CheckConstraint("state IN ('PENDING', 'DONE', 'REFUSED', 'EXPIRED')", name=op.f("ck_control_state")),
        sa.PrimaryKeyConstraint("control_id", name=op.f("pk_control")),
        sqlite_strict=True,
    )
    op.create_index("ix_control_state", "control", ["state"], unique=False)
    op.create_table(
        "decision",
        sa.Column("decision_id", WORDS, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("time_us", Micros(), nullable=False),
        sa.Column("close_us", Micros(), nullable=False),
        sa.Column("pair", WORDS, nullable=False),
        sa.Column("side", WORDS, nullable=False),
        sa.Column("strategy", WORDS, nullable=False),
        sa.Column("action", WORDS, nullable=False),
        sa.Column("final", WORDS, nullable=False),
        sa.Column("detail", WORDS, nullable=False),
        sa.Column("score", Real(), nullable=True),
        sa.Column("close", Real(), nullable=True),
        sa.Column("atr_fraction", Real(), nullable=True),
        sa.Column("unit", Real(), nullable=True),
        sa.Column("stop", Real(), nullable=True),
        sa.Column("tp1", Real(), nullable=True),
        sa.Column("tp2", Real(), nullable=True),
        sa.Column("stake", Money(), nullable=True),
        sa.Column("points_json", WORDS, nullable=False),
        sa.Column("evidence_json", WORDS, nullable=False),
        sa.Column("ai_mode", WORDS, nullable=False),
        sa.Column("lookup", WORDS, nullable=True),
        sa.Column("ruling", WORDS, nullable=True),
        sa.Column("p_loss", Real(), nullable=True),
        sa.Column("age_ms", Real(), nullable=True),
        sa.Column("verdict_id", WORDS, nullable=True),
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
        sa.Column("counts_json", WORDS, nullable=False),
        sa.Column("digest", WORDS, nullable=False),
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
        sa.Column("drawdown", Real(), nullable=False),
        sa.PrimaryKeyConstraint("time_us", name=op.f("pk_equity")),
        sqlite_strict=True,
    )
    op.create_table(
        "external_move",
        sa.Column("move_id", WORDS, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("account", WORDS, nullable=False),
        sa.Column("asset", WORDS, nullable=False),
        sa.Column("amount", Money(), nullable=False),
        sa.Column("kind", WORDS, nullable=False),
        sa.Column("time_us", Micros(), nullable=False),
        sa.PrimaryKeyConstraint("move_id", name=op.f("pk_external_move")),
        sqlite_strict=True,
    )
    op.create_table(
        "fill",
        sa.Column("account", WORDS, nullable=False),
        sa.Column("trade_id", WORDS, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("txid", WORDS, nullable=False),
        sa.Column("cl_ord_id", WORDS, nullable=True),
        sa.Column("position_id", WORDS, nullable=True),
        sa.Column("reason", WORDS, nullable=False),
        sa.Column("pair", WORDS, nullable=False),
        sa.Column("side", WORDS, nullable=False),
        sa.Column("price", Money(), nullable=False),
        sa.Column("quantity", Money(), nullable=False),
        sa.Column("cost", Money(), nullable=False),
        sa.Column("fee", Money(), nullable=False),
        sa.Column("fee_asset", WORDS, nullable=False),
        sa.Column("maker", Flag(), nullable=False),
        sa.Column("time_us", Micros(), nullable=False),
        sa.Column("source", WORDS, nullable=False),
        sa.PrimaryKeyConstraint("account", "trade_id", name=op.f("pk_fill")),
        sqlite_strict=True,
    )
    op.create_index("ix_fill_position_id", "fill", ["position_id"], unique=False)
    op.create_index("ix_fill_txid", "fill", ["txid"], unique=False)
    op.create_table(
        "halt",
        sa.Column("cause", WORDS, nullable=False),
        sa.Column("level", WORDS, nullable=False),
        sa.Column("since_us", Micros(), nullable=False),
        sa.Column("reason", WORDS, nullable=False),
        sa.Column("who", WORDS, nullable=False),
        sa.CheckConstraint("level IN ('REDUCING', 'HALTED')", name=op.f("ck_halt_level")),
        sa.PrimaryKeyConstraint("cause", name=op.f("pk_halt")),
        sqlite_strict=True,
    )
    op.create_table(
        "intent",
        sa.Column("cl_ord_id", WORDS, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("account", WORDS, nullable=False),
        sa.Column("key", WORDS, nullable=False),
        sa.Column("leg", WORDS, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("position_id", WORDS, nullable=False),
        sa.Column("pair", WORDS, nullable=False),
        sa.Column("side", WORDS, nullable=False),
        sa.Column("order_type", WORDS, nullable=False),
        sa.Column("quantity", Money(), nullable=False),
        sa.Column("limit_price", Money(), nullable=True),
        sa.Column("trigger_price", Money(), nullable=True),
        sa.Column("close_trigger", Money(), nullable=True),
        sa.Column("immediate", Flag(), nullable=False),
        sa.Column("deadline_us", Micros(), nullable=False),
        sa.Column("created_us", Micros(), nullable=False),
        sa.Column("reason", WORDS, nullable=False),
        sa.Column("outcome", WORDS, nullable=False),
        sa.Column("txid", WORDS, nullable=True),
        sa.Column("refid", WORDS, nullable=True),
        sa.Column("answer", WORDS, nullable=False),
        sa.Column("proof_json", WORDS, nullable=True),
        sa.Column("resolved_us", Micros(), nullable=True),
        sa.Column("status", WORDS, nullable=True),
        sa.Column("status_us", Micros(), nullable=True),
        sa.Column("filled", Money(), nullable=False),
        sa.Column("origin", WORDS, nullable=False),
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
        sqlite_where=sa.text(LIVE),
        postgresql_where=sa.text(LIVE),
    )
    op.create_index("ix_intent_position_id", "intent", ["position_id"], unique=False)
    op.create_table(
        "journal",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("time_us", Micros(), nullable=False),
        sa.Column("kind", WORDS, nullable=False),
        sa.Column("type", WORDS, nullable=False),
        sa.Column("key", WORDS, nullable=True),
        sa.Column("payload", WORDS, nullable=False),
        sa.Column("hash", WORDS, nullable=False),
        sa.UniqueConstraint("key", name=op.f("uq_journal_key")),
        sa.CheckConstraint("kind IN ('event', 'command')", name=op.f("ck_journal_kind")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_journal")),
        sqlite_strict=True,
    )
    op.create_index("ix_journal_type", "journal", ["type"], unique=False)
    op.create_table(
        "lease",
        sa.Column("account", WORDS, nullable=False),
        sa.Column("holder", WORDS, nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("acquired_us", Micros(), nullable=False),
        sa.Column("expires_us", Micros(), nullable=False),
        sa.Column("released", Flag(), nullable=False),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_lease")),
        sqlite_strict=True,
    )
    op.create_table(
        "meta",
        sa.Column("name", WORDS, nullable=False),
        sa.Column("value", WORDS, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_meta")),
        sqlite_strict=True,
    )
    op.create_table(
        "pair_state",
        sa.Column("pair", WORDS, nullable=False),
        sa.Column("close_us", Micros(), nullable=False),
        sa.Column("code", WORDS, nullable=False),
        sa.Column("score", Real(), nullable=True),
        sa.Column("detail", WORDS, nullable=False),
        sa.PrimaryKeyConstraint("pair", name=op.f("pk_pair_state")),
        sqlite_strict=True,
    )
    op.create_table(
        "position",
        sa.Column("position_id", WORDS, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("account", WORDS, nullable=False),
        sa.Column("pair", WORDS, nullable=False),
        sa.Column("side", WORDS, nullable=False),
        sa.Column("strategy", WORDS, nullable=False),
        sa.Column("entry_key", WORDS, nullable=False),
        sa.Column("plan_json", WORDS, nullable=False),
        sa.Column("state", WORDS, nullable=False),
        sa.Column("opened_us", Micros(), nullable=False),
        sa.Column("closed_us", Micros(), nullable=True),
        sa.Column("quantity", Money(), nullable=False),
        sa.Column("entry_quantity", Money(), nullable=False),
        sa.Column("entry_cost", Money(), nullable=False),
        sa.Column("entry_fee", Money(), nullable=False),
        sa.Column("exit_quantity", Money(), nullable=False),
        sa.Column("exit_cost", Money(), nullable=False),
        sa.Column("exit_fee", Money(), nullable=False),
        sa.Column("exit_state_json", WORDS, nullable=True),
        sa.Column("origin", WORDS, nullable=False),
        sa.CheckConstraint("state IN ('OPENING', 'OPEN', 'CLOSED', 'DUST')", name=op.f("ck_position_state")),
        sa.PrimaryKeyConstraint("position_id", name=op.f("pk_position")),
        sqlite_strict=True,
    )
    op.create_index("ix_position_state", "position", ["state"], unique=False)
    _triggers_of_postgres() if op.get_context().dialect.name == "postgresql" else _triggers_of_sqlite()


def _triggers_of_sqlite() -> None:
    fixed = " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in FIXED)
    for table, verb, claims in APPEND_ONLY:
        when = f" WHEN {CLAIMED} OR {fixed}" if claims else ""
        head = f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table}{when}"
        op.execute(f"{head} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END")


def _triggers_of_postgres() -> None:
    """The same, and one against TRUNCATE, which no row trigger sees."""
    op.execute(
        "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    fixed = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in FIXED)
    for table, verb, claims in APPEND_ONLY:
        when = f" WHEN ({CLAIMED} OR {fixed})" if claims else ""
        head = f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table}"
        op.execute(f"{head} FOR EACH ROW{when} EXECUTE FUNCTION refuse_change()")
    for table in dict.fromkeys(table for table, _, _ in APPEND_ONLY):
        op.execute(f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} EXECUTE FUNCTION refuse_change()")
