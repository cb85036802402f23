"""One trader per account: the ledger lease with its fencing token, and the operating system's lock (RELIABILITY section 5)."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path

from sqlalchemy import Connection, not_, update

from trader.data import ledger_sql as sql
from trader.data.journal import Tx
from trader.data.tables import lease as table
from trader.errors import FatalError, LeaseLostError
from trader.ports import Lease

TAKEOVER_GRACE_US = 10_000_000  # after the expiry, so that bytes under way reach their deadline first


def acquire(tx: Tx, account: str, holder: str, ttl_us: int) -> Lease:
    """Take the lease where it is free, released, expired for 10 s, or ours already; LeaseLostError otherwise."""
    if account != tx.account:
        raise FatalError(f"this ledger belongs to account {tx.account!r}, not {account!r}")
    row = sql.LEASE_OF.first(tx.connection, {"at_account": account})
    if row is not None and not row.released and row.holder != holder and tx.now_us < row.expires_us + TAKEOVER_GRACE_US:
        wait = (row.expires_us + TAKEOVER_GRACE_US - tx.now_us) / 1e6
        raise LeaseLostError(f"account {account!r} is traded by {row.holder!r} (token {row.token}); to be had in {wait:.1f} s")
    token = 1 if row is None else row.token + 1
    values = {"holder": holder, "token": token, "acquired_us": tx.now_us, "expires_us": tx.now_us + ttl_us, "released": False}
    taken = sql.upsert(tx.connection, table).values(account=account, **values)
    tx.connection.execute(taken.on_conflict_do_update(index_elements=["account"], set_=values))
    tx.log("lease.acquired", {"token": token})
    return Lease(account=account, holder=holder, token=token, expires_us=tx.now_us + ttl_us)


def outgrow(tx: Tx, token: int) -> None:
    """No later holder gets this token, which was given out where the ledger took no writes."""
    row = sql.LEASE_OF.first(tx.connection, {"at_account": tx.account})
    if row is not None and row.token < token:
        sql.LEASE_SET.run(tx.connection, {"at_account": tx.account, "token": token})


def check(connection: Connection, lease: Lease, now_us: int) -> None:
    """Raise LeaseLostError unless `lease` carries the newest token and has not expired."""
    row = sql.LEASE_OF.first(connection, {"at_account": lease.account})
    if row is None or row.token != lease.token or row.holder != lease.holder or row.released:
        newest = "none" if row is None else f"{row.token} of {row.holder!r}{', released' if row.released else ''}"
        raise LeaseLostError(f"lease token {lease.token} of {lease.holder!r} is not the newest ({newest})")
    if row.expires_us <= now_us:
        late = (now_us - row.expires_us) / 1e6
        raise LeaseLostError(f"lease token {lease.token} expired {late:.1f} s ago; acquire and reconcile first")


def renew(tx: Tx, lease: Lease, ttl_us: int) -> Lease:
    """Extend a lease that is still ours. Renewals are not journalled: they change no state of the account."""
    check(tx.connection, lease, tx.now_us)
    expires_us = tx.now_us + ttl_us
    sql.LEASE_SET.run(tx.connection, {"at_account": tx.account, "expires_us": expires_us})
    return Lease(account=lease.account, holder=lease.holder, token=lease.token, expires_us=expires_us)


def release(tx: Tx, lease: Lease) -> None:
    """Give the lease back, so that the next holder need not wait; does nothing once it was taken over."""
    freed = tx.connection.execute(
        update(table)
        .where(table.c.account == tx.account, table.c.token == lease.token, table.c.holder == lease.holder, not_(table.c.released))
        .values(released=True, expires_us=tx.now_us)
        .returning(table.c.token)
    ).first()
    if freed is not None:
        tx.log("lease.released", {"token": lease.token})


class AccountLock:
    """The operating system's lock on an account; the kernel frees it when the process dies, however it dies."""

    def __init__(self, directory: Path, account: str) -> None:
        name = hashlib.blake2b(account.encode(), digest_size=8).hexdigest()
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = directory / f"account-{name}.lock"
        self._file: int | None = None

    def acquire(self) -> None:
        """LeaseLostError when another process of this machine holds it."""
        file = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(file)
            raise LeaseLostError(f"{self._path}: another process on this machine trades this account") from error
        self._file = file

    def release(self) -> None:
        """Free the lock; harmless when it is not held."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
