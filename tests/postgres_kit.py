"""A Postgres database for tests: the server that TRADER_TEST_POSTGRES names, a schema of its own for each test."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy.engine import make_url

VARIABLE = "TRADER_TEST_POSTGRES"
MISSING = f"no Postgres: set {VARIABLE} to the URL of a database that tests may write to (`.ci/postgres start` makes one)"
needs_postgres = pytest.mark.skipif(not os.environ.get(VARIABLE), reason=MISSING)
"""For tests whose fixtures cost seconds: skips before they are made."""


@contextmanager
def postgres_ledger() -> Iterator[str]:
    """The URL of an empty schema, dropped afterwards; skips the test where no server is given."""
    url, name = os.environ.get(VARIABLE, ""), f"test_{uuid.uuid4().hex[:12]}"
    if not url:
        pytest.skip(MISSING)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
        try:
            yield make_url(url).update_query_dict({"options": f"-csearch_path={name}"}).render_as_string(hide_password=False)
        finally:
            connection.execute(f"DROP SCHEMA {name} CASCADE")
