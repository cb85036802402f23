"""One signer per API key: a lock across processes, and the nonce floor that survives them (KRAKEN.md section 4).

Kraken takes only rising nonces of a key, whoever sends them, so a second process on the key would have half its calls refused.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
from pathlib import Path
from typing import IO, Self

from trader.errors import CorruptError, FatalError

log = logging.getLogger(__name__)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def fingerprint(api_key: str) -> str:
    """A name for a key that does not show it: 12 hex characters of BLAKE2b."""
    return hashlib.blake2b(api_key.encode(), digest_size=6).hexdigest()


class KeyFile:
    """`kraken-key-FINGERPRINT.json` in a directory: locked while the key is in use, holding the highest nonce that may have left."""

    def __init__(self, directory: Path, api_key: str) -> None:
        """Take the key. Raises FatalError where another process has it, CorruptError for a file that is not ours."""
        self.path = directory / f"kraken-key-{fingerprint(api_key)}.json"
        self._lock = _locked(self.path.with_suffix(".lock"))
        try:
            self.floor = _read(self.path)
        except CorruptError:
            self.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def save(self, ceiling: int) -> None:
        """Put a new ceiling on disk, atomically, before any nonce up to it is sent.

        On a disk that takes no new file the old one is written over; where not even that is possible the nonces, which follow the
        clock, go on without it: an exit must not wait for a neater number.
        """
        self.floor = max(self.floor, ceiling)
        text = json.dumps({"nonce": self.floor})
        try:
            self._replace(text)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            log.critical("%s: %s; nonces go on from the clock", self.path, error)
            with contextlib.suppress(OSError), self.path.open("r+", encoding="utf-8") as file:
                file.write(text)

    def _replace(self, text: str) -> None:
        scratch = self.path.with_suffix(".new")
        with scratch.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        scratch.chmod(0o600)
        scratch.replace(self.path)

    def release(self) -> None:
        """Let another process have the key."""
        self._lock.close()


def _locked(path: Path) -> IO[str]:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise FatalError(f"{path}: another process signs with this API key; one key takes one process, give each its own") from error
    return file


def _read(path: Path) -> int:
    """The stored floor, 0 before the first."""
    try:
        nonce = json.loads(path.read_text(encoding="utf-8"))["nonce"]
    except FileNotFoundError:
        return 0
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptError(f"{path}: not the file of a nonce floor ({type(error).__name__}: {error})") from error
    if isinstance(nonce, bool) or not isinstance(nonce, int) or nonce < 0:
        raise CorruptError(f"{path}: nonce {nonce!r} is not a whole number, 0 or more")
    return nonce
