"""Hot statements, compiled once: on SQLite the driver takes them from us without SQLAlchemy's work on each execution.

What a column's type does to values and rows is done here as well, so that both ways write and read the same. Other databases,
and whatever is asked seldom, go through SQLAlchemy.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect
from sqlalchemy.exc import StatementError

NOTHING: Mapping[str, Any] = {}


class Prepared:
    """A statement with named parameters: conditions (`at_*`), and for an insert or update the columns that it writes."""

    __slots__ = ("_forms", "statement")

    def __init__(self, statement: Any) -> None:
        self.statement = statement
        self._forms: dict[tuple[str, ...], _Form] = {}

    def run(self, connection: Connection, values: Mapping[str, Any]) -> None:
        """Execute what returns no rows."""
        if connection.dialect.name != "sqlite":
            connection.execute(self.statement, values)
        else:
            self._cursor(connection, values).close()

    def first(self, connection: Connection, values: Mapping[str, Any] = NOTHING) -> Any:
        """The first row, its columns as attributes; None where there is none."""
        if connection.dialect.name != "sqlite":
            return connection.execute(self.statement, values).first()
        cursor = self._cursor(connection, values)
        found = cursor.fetchone()
        cursor.close()
        return None if found is None else self._form(connection.dialect, values).row(found)

    def all(self, connection: Connection, values: Mapping[str, Any] = NOTHING) -> Sequence[Any]:
        """Every row, its columns as attributes."""
        if connection.dialect.name != "sqlite":
            return connection.execute(self.statement, values).all()
        return list(map(self._form(connection.dialect, values).row, self._cursor(connection, values)))

    def _cursor(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        form = self._form(connection.dialect, values)
        raw: Any = connection.connection.dbapi_connection
        return raw.execute(form.text, form.bound(values))

    def _form(self, dialect: Dialect, values: Mapping[str, Any]) -> _Form:
        """The statement for parameters of these names."""
        names = tuple(values)
        form = self._forms.get(names)
        if form is None:
            form = self._forms[names] = _Form(self.statement, names, dialect)
        return form


class _Form:
    """A statement as SQLite's driver takes it: its text, and how values go in and rows come out."""

    __slots__ = ("_fixed", "_in", "_made", "_out", "text")

    def __init__(self, statement: Any, names: Iterable[str], dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=list(names))
        self.text = str(compiled)
        binds = [compiled.binds[name] for name in compiled.positiontup]
        writing = [(bind, bind.type.dialect_impl(dialect).bind_processor(dialect)) for bind in binds]
        self._fixed = [None if bind.required else bind.value if work is None else work(bind.value) for bind, work in writing]
        self._in = [(place, bind.key, work) for place, (bind, work) in enumerate(writing) if bind.required]
        columns = list(getattr(statement, "exported_columns", ()))
        reading = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
        self._out = [(place, work) for place, work in enumerate(reading) if work is not None]
        row: Any = namedtuple("Row", [column.key for column in columns])  # type: ignore[misc]
        self._made = row._make

    def bound(self, values: Mapping[str, Any]) -> list[Any]:
        """The values in the order of their places. Raises StatementError for one that its column refuses."""
        placed = self._fixed.copy()
        try:
            for place, name, work in self._in:
                placed[place] = values[name] if work is None else work(values[name])
        except (TypeError, ValueError) as error:
            raise StatementError(f"({type(error).__name__}) {error}", self.text, dict(values), error) from error
        return placed

    def row(self, found: Sequence[Any]) -> Any:
        """A row as it is read."""
        values = list(found)
        for place, work in self._out:
            values[place] = work(values[place])
        return self._made(values)
