"""Alembic environment: works only on a connection that is handed in, never opens a database by itself."""

from __future__ import annotations

from alembic import context

from trader.data.tables import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("ledger revisions run through trader.data.engine.upgrade(path), which passes the connection")
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, transaction_per_migration=False)
context.run_migrations()
