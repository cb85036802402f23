"""Errors, named by the reaction they ask for.

TraderError
├── RetryableError      try again, with backoff; nothing happened
├── RejectedError       this request is wrong; repeating it is pointless
├── AmbiguousError      it may have happened: look it up, never resend
├── FatalError          stop and tell a human
│   ├── ConfigError     a setting is unknown, has the wrong unit or is out of range
│   ├── LeaseLostError  another session holds the account
│   ├── AuthError       the venue refuses our key, or gives it too few rights
│   ├── UnsafeError     what was asked is refused for safety; nothing was done
│   │   └── StoppedError    a person has stopped trading and not said to go on
│   ├── CorruptError    a stored file or row is not what was written
│   └── UnwritableError a disk is full, read-only or failing
└── BeginRefused        the ledger refused to commit an intent; carries a refusal code
"""

from __future__ import annotations


class TraderError(Exception):
    """Base of every error this package raises on purpose."""


class RetryableError(TraderError):
    """Nothing happened; the same call may be made again after a pause (`retry_after_s` where the peer said so)."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RejectedError(TraderError):
    """The peer understood the request and refused it."""


class AmbiguousError(TraderError):
    """The request may or may not have taken effect."""


class FatalError(TraderError):
    """No automatic reaction is safe."""


class ConfigError(FatalError):
    """A setting is unusable; the message names the key, the reason and what is allowed."""


class LeaseLostError(FatalError):
    """The ledger lease is held by somebody else or has expired."""


class AuthError(FatalError):
    """The venue refuses our key or what it may do; asking again would only get it locked."""


class UnsafeError(FatalError):
    """Refused for safety before anything was done; the message says what speaks against it."""


class StoppedError(UnsafeError):
    """A person has stopped trading; no session starts before that person, or another, lets it go on."""


class CorruptError(FatalError):
    """A stored file or row fails its own checks."""


class UnwritableError(FatalError):
    """A disk takes no writes: full, read-only or failing. What was there can still be read."""


class BeginRefused(TraderError):
    """The ledger did not commit an intent, so no byte may leave; `code` says why (HALTED, DUPLICATE_KEY, OVERSELL, UNWRITABLE)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
