"""Exchange time inside ccxt: it reads its clock from its classes, so what a test sets there must be undone after it."""

from __future__ import annotations

from collections.abc import Callable

_CHANGED: list[tuple[type, str, object]] = []


def set_clock(owner: type, name: str, read: Callable[..., int]) -> None:
    """Let `owner.name()` answer `read()` until `restore`."""
    _CHANGED.append((owner, name, vars(owner).get(name)))
    setattr(owner, name, staticmethod(read))


def restore() -> None:
    """Give every class back what it had."""
    while _CHANGED:
        owner, name, before = _CHANGED.pop()
        if before is None:
            delattr(owner, name)
        else:
            setattr(owner, name, before)
