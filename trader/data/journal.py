"""The append-only journal: canonical lines, a chained hash, and the transaction every change of the ledger runs in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, is_dataclass
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from trader.data.engine import is_blank, open_ledger, place_of, shown, writing
from trader.data.ledger_sql import JOURNAL_ADD, JOURNAL_TIP
from trader.data.tables import journal, lease
from trader.domain.money import plain
from trader.errors import RejectedError


def canonical(value: Any) -> str:
    """JSON with sorted keys and no blanks: Decimals in plain notation as strings, non-finite floats as their names.

    TypeError for anything whose text could differ between runs (sets, objects).
    """
    try:
        return _CANONICAL.encode(value)
    except ValueError:
        return _CANONICAL.encode(_finite(value))


def _encode(value: Any) -> Any:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a numpy scalar
        return value.item()
    raise TypeError(f"{type(value).__name__} has no canonical text for the journal")


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_encode)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and value - value != 0.0:
        return repr(float(value))
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def line(row: Sequence[Any]) -> str:
    """A journal row (seq, time_us, kind, type, key, payload) as the text that is hashed and compared between runs."""
    seq, time_us, kind, type_, key, payload = row
    return f"{seq}|{time_us}|{kind}|{type_}|{key or ''}|{payload}"


def chained(previous: str, text: str) -> str:
    """BLAKE2b of the previous row's hash and this row's line, 32 hex digits."""
    return hashlib.blake2b(f"{previous}\n{text}".encode(), digest_size=16).hexdigest()


Tip = tuple[int, str]
"""Number and hash of the journal's newest row."""


@dataclass(slots=True, kw_only=True)
class Tx:
    """An open write transaction on the ledger of `account`; `log` adds its journal rows.

    `remembered`: the tip, where somebody knows it; `intents`, `positions`: ids whose rows were written, in order.
    """

    connection: Connection
    account: str
    now_us: int
    remembered: Callable[[], Tip | None] = lambda: None
    known_tip: Tip | None = None
    intents: dict[str, None] = field(default_factory=dict)
    positions: dict[str, None] = field(default_factory=dict)

    def log(self, type_: str, payload: Mapping[str, Any], *, kind: str = "event", key: str | None = None) -> int:
        """Append a journal row; returns its number."""
        seq, previous = self.tip()
        seq += 1
        body = canonical(payload)
        digest = chained(previous, line((seq, self.now_us, kind, type_, key, body)))
        row = {"seq": seq, "time_us": self.now_us, "kind": kind, "type": type_, "key": key, "payload": body, "hash": digest}
        JOURNAL_ADD.run(self.connection, row)
        self.known_tip = (seq, digest)
        return seq

    def tip(self) -> Tip:
        """Number and hash of the newest row, (0, "") in an empty journal."""
        if self.known_tip is None:
            self.known_tip = self.remembered() or self._read_tip()
        return self.known_tip

    def _read_tip(self) -> Tip:
        row = JOURNAL_TIP.first(self.connection)
        return (row[0], row[1]) if row else (0, "")


@contextmanager
def transaction(connection: Connection, account: str, now_us: int, *, tip: Callable[[], Tip | None] = lambda: None) -> Iterator[Tx]:
    """One change of the ledger: everything inside is committed together, or nothing is. `tip`: see `Tx.remembered`."""
    with writing(connection):
        yield Tx(connection=connection, account=account, now_us=now_us, remembered=tip)


@contextmanager
def from_outside(path: str | Path, now_us: int, refusal: str) -> Iterator[Tx]:
    """One change of a ledger that a session may have open, from any process, in the name of the account it is leased for.

    Raises RejectedError with the place and `refusal` where there is no ledger, CorruptError where it is not sound, RetryableError
    when it is locked.
    """
    place = place_of(path)
    if is_blank(place):
        raise RejectedError(f"{shown(place)}: no ledger there, so {refusal}")
    with closing(open_ledger(place)) as connection:
        account = connection.execute(select(lease.c.account)).scalar() or ""
        with transaction(connection, account, now_us) as tx:
            yield tx


def journal_sha256(connection: Connection) -> str:
    """SHA-256 over all lines, each ended by a newline."""
    digest = hashlib.sha256()
    c = journal.c
    for row in connection.execute(select(c.seq, c.time_us, c.kind, c.type, c.key, c.payload).order_by(c.seq)):
        digest.update((line(row) + "\n").encode())
    return digest.hexdigest()
