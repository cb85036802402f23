"""Which ledger a state directory is used with: the first row of its journal, kept in a file beside it.

A ledger that was emptied, cut off or exchanged opens like a new one, and a session on it would know of no position. So the
directory remembers how its ledger began; an older state of the same ledger (a restored backup) begins alike.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import Connection, select

from trader.data.engine import is_blank, reader_engine, shown, translated
from trader.data.tables import journal
from trader.domain.messages import stamp
from trader.errors import CorruptError, UnsafeError

log = logging.getLogger(__name__)
FIRST = select(journal.c.time_us, journal.c.hash).where(journal.c.seq == 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """The first row of a journal: its time, and its hash, which no other ledger has."""

    time_us: int
    hash: str


def birth_of(connection: Connection) -> Birth | None:
    """How a ledger began; None for one in which nothing was ever written."""
    if not connection.dialect.has_table(connection, journal.name):
        return None
    row = connection.execute(FIRST).first()
    return None if row is None else Birth(time_us=row.time_us, hash=row.hash)


def birth_at(place: str) -> Birth | None:
    """How the ledger at a place began; None also where there is none. Raises CorruptError for a damaged one."""
    if is_blank(place):
        return None
    with translated(place), closing(reader_engine(place).connect()) as connection:
        return birth_of(connection)


class Birthmark:
    """The file that names the ledger of a state directory, private to its owner."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def known(self) -> Birth | None:
        """What the directory remembers; None before its first session. Raises CorruptError for a file that is not ours."""
        try:
            return Birth(**json.loads(self.path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise CorruptError(f"{self.path}: not what this program wrote ({error}); it is written anew once it is deleted") from error

    def check(self, found: Birth | None, place: str) -> None:
        """Raise CorruptError where the ledger at `place`, which began as `found`, is not the one of this directory."""
        known = self.known()
        if known is None or found == known:
            return
        what = "is empty or gone" if found is None else f"began at {stamp(found.time_us)}"
        raise CorruptError(
            f"{shown(place)}: the ledger of this directory began at {stamp(known.time_us)}, and this one {what}; put a backup back with "
            f"`trader db restore FILE --yes`, or delete {self.path} to let reconciliation fill an empty one"
        )

    def examine(self, place: str) -> None:
        """`check`, of a ledger that nobody has opened; for verbs that are about to start something."""
        self.check(birth_at(place), place)

    def admit(self, backup: Path) -> None:
        """Raise UnsafeError where a backup is of another ledger than the directory's."""
        known, found = self.known(), birth_at(str(backup))
        if known is not None and found != known:
            raise UnsafeError(f"{backup}: is another ledger than the one of this directory; delete {self.path} if that is what you want")

    def keep(self, found: Birth | None) -> None:
        """Remember how the ledger began, where that is not known yet. A disk without room is tried again by the next session."""
        if found is None or self.path.exists():
            return
        scratch = self.path.with_name(f"{self.path.name}.new")
        try:
            handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(asdict(found), file)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(self.path)
        except OSError as error:
            log.error("%s: not written (%s); an emptied ledger would be taken for a new one", self.path, error)
