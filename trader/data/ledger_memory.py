"""Reads of the ledger that are asked again and again, kept until the ledger changes.

A session reads orders, positions and money many times between two changes of them. Only the process with the lease changes
them, yet nothing here rests on that: SQLite itself says when another connection has written.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

from sqlalchemy import Connection

T = TypeVar("T")


class Remembered:
    """Answers by question. `forget` after each change made through `connection`; other writers show in `data_version`."""

    def __init__(self, connection: Connection) -> None:
        self._raw: Any = connection.connection.dbapi_connection
        self._answers: dict[Hashable, Any] = {}
        self._version: int | None = None

    def forget(self) -> None:
        """What is known may have changed."""
        self._answers.clear()

    def answer(self, question: Hashable, ask: Callable[[], T]) -> T:
        """The answer to `question`, from memory where nothing was written since; the caller must not change it.

        Asking for the version takes 2 microseconds, reading the orders of a few positions 300.
        """
        version = self._raw.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            self._answers.clear()
            self._version = version
        if question not in self._answers:
            self._answers[question] = ask()
        return cast(T, self._answers[question])
