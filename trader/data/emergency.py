"""Where a ledger goes while its place takes no writes: memory, with every reducing order on disk beside it (RELIABILITY.md D1, D2, D4).

Exits and stops must go on with a full or read-only disk, or behind somebody else's lock, yet no byte may leave before its intent
is on disk. So a copy of the ledger in memory takes over, entries are halted, and each reducing intent is committed to a journal
of its own. Once the place takes writes again, everything that happened meanwhile happens there too, in one transaction; a session
that died before leaves the intents in the journal, and the next one looks them up like any order without an answer.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from trader.data.engine import MEMORY, require_sound, schema_version, translated, writer_engine
from trader.data.journal import Tx, canonical
from trader.data.ledger_rows import terms
from trader.data.tables import HEAD
from trader.domain.orders import Intent, Leg, OrderType, Side
from trader.errors import BeginRefused, CorruptError, UnwritableError

log = logging.getLogger(__name__)

SET_ASIDE = 256 * 1024  # bytes taken when the journal is made, so that writing into them needs no room on a full disk
DIGEST_BYTES = 8
MONEY = ("quantity", "limit_price", "trigger_price", "close_trigger")
Work = Callable[[Tx], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A reducing order that was begun outside the ledger, with the fencing token it was begun under."""

    intent: Intent
    token: int


class EmergencyJournal:
    """Intents of reducing orders, one line each, in a private file whose space is set aside ahead of need."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if not path.exists():
                _make(path)
            self._used = len(_written(path))
        except OSError as error:
            log.critical("%s: no emergency journal (%s); with a full disk no exit can be sent, stops rest on", path, error)
            self._used = SET_ASIDE

    def append(self, begun: Begun) -> None:
        """Put an intent on disk. Raises BeginRefused where that is not possible: then its bytes may not leave."""
        body = canonical({**terms(begun.intent), "token": begun.token})
        line = f"{_digest(body)} {body}\n".encode()
        try:
            if self._used + len(line) > SET_ASIDE:
                raise OSError("it is full")
            self._write(self._used, line)
        except OSError as error:
            raise BeginRefused("UNWRITABLE", f"{begun.intent.pair}: neither ledger nor {self.path} takes the order: {error}") from error
        self._used += len(line)

    def read(self) -> list[Begun]:
        """All whole lines; a torn one was never acted upon."""
        try:
            lines = _written(self.path).decode(errors="replace").splitlines()
        except OSError:
            return []
        pairs = (line.partition(" ") for line in lines)
        return [_begun(json.loads(body)) for digest, _, body in pairs if body and digest == _digest(body)]

    def clear(self) -> None:
        """Forget what the ledger has taken in; what can't be wiped is taken in again, which changes nothing."""
        if not self._used:
            return
        try:
            self._write(0, b"\n" * min(self._used, SET_ASIDE))
        except OSError as error:
            log.error("%s: not wiped: %s", self.path, error)
        else:
            self._used = 0

    def _write(self, offset: int, data: bytes) -> None:
        handle = os.open(self.path, os.O_WRONLY)
        try:
            os.pwrite(handle, data, offset)
            os.fsync(handle)
        finally:
            os.close(handle)


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = path.resolve().with_suffix(".new")
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(handle, b"\n" * SET_ASIDE)
        os.fsync(handle)
    finally:
        os.close(handle)
    scratch.replace(path.resolve())


def _written(path: Path) -> bytes:
    """What was written, whole lines and perhaps a torn one, without the space that is set aside."""
    text = path.read_bytes().rstrip(b"\n")
    return text + b"\n" if text else b""


def _digest(body: str) -> str:
    return hashlib.blake2b(body.encode(), digest_size=DIGEST_BYTES).hexdigest()


def _begun(values: dict[str, Any]) -> Begun:
    token = values.pop("token")
    money = {name: None if values[name] is None else Decimal(values[name]) for name in MONEY}
    named = {"leg": Leg(values["leg"]), "side": Side(values["side"]), "order_type": OrderType(values["order_type"])}
    return Begun(intent=Intent(**{**values, **money, **named}), token=token)


@dataclass(slots=True)
class Refuge:
    """A copy in memory, and what was done on it, in order, to be done again at the real place. `doubt`: which of it was tried there
    in a transaction that ended without an answer, and that transaction's number."""

    connection: Connection
    done: list[tuple[int, Work]] = field(default_factory=list)
    doubt: tuple[int, str] | None = None


def copy_of(place: Connection) -> Connection:
    """A copy of a file that can still be read."""
    copy = writer_engine(MEMORY).connect()
    with translated("ledger"):
        _raw(place).backup(_raw(copy))
    return copy


def stand_in(place: str, check: Callable[[Connection], None] | None) -> Connection:
    """The ledger as it lies in its file, in memory and for reading only: a session may begin with it where the file takes no writes.

    The file and its log are copied first, as SQLite itself reads a log only where it may write beside it. Raises CorruptError as
    `open_ledger`, and for another schema than this program's; UnwritableError where there is no room for the copy.
    """
    copy, path = writer_engine(MEMORY).connect(), Path(place)
    try:
        with tempfile.TemporaryDirectory(prefix="trader-ledger-") as folder:
            for name in (path.name, f"{path.name}-wal"):
                if path.with_name(name).is_file():
                    shutil.copyfile(path.with_name(name), Path(folder) / name)
            with translated(place), closing(sqlite3.connect(Path(folder) / path.name)) as file:
                file.backup(_raw(copy))
    except OSError as error:
        raise UnwritableError(f"{place}: takes no writes, nor can it be copied ({error})") from error
    with translated(place):
        require_sound(copy, place, check)
        if (version := schema_version(copy, place)) != HEAD:
            raise CorruptError(f"{place}: takes no writes, and its schema is {version}, not {HEAD} of this program")
        copy.exec_driver_sql("PRAGMA query_only=ON")
    return copy


def _raw(connection: Connection) -> Any:
    return connection.connection.dbapi_connection
