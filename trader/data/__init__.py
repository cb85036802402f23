"""Stores: history in Parquet parts, the ledger, outbox and read models; the only home of duckdb, sqlalchemy, sqlite3 and alembic."""
