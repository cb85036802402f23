"""The one numba decorator, with a cache folder that notices every change of source.

numba's disk cache looks only at the file of the outermost function, so an edit in a function it calls goes unseen
(PERFORMANCE.md section 5). The cache folder is therefore named by a digest of all sources that can hold compiled code and of the versions.
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba import types
from numba.extending import overload

from trader.domain import costs

F = TypeVar("F", bound=Callable[..., Any])
_PACKAGE = Path(__file__).resolve().parent.parent
_SOURCES = ("domain", "indicators", "strategy", "execution", "research")
_SLIP_ONE = costs.SLIP_ONE
_roots: list[Path] = []


def digest(files: Iterable[Path]) -> str:
    """16 hex digits over names and contents of `files` and the versions of numba, numpy and the interpreter."""
    seen = hashlib.sha256("|".join((numba.__version__, np.__version__, sys.version)).encode())
    for file in sorted(files):
        seen.update(f"\0{file.parent.name}/{file.name}\0".encode() + file.read_bytes())
    return seen.hexdigest()[:16]


def sources() -> list[Path]:
    """Every module whose functions may be compiled, or called by compiled ones."""
    return [file for folder in _SOURCES for file in sorted((_PACKAGE / folder).glob("*.py"))]


def use_cache_root(folder: Path) -> None:
    """Keep compiled code under `folder` (the state directory); call before the first module with compiled functions is imported."""
    _roots.append(folder)
    _prepare()


def _prepare() -> bool:
    """Point numba at `<root>/numba/<digest>`, mode 0700; False where no such folder can be made: then nothing is cached.

    Root: the one given to `use_cache_root`, else NUMBA_CACHE_DIR (numba's own variable), else `~/.cache/trader`.
    """
    global _given  # noqa: PLW0603 - numba's setting is global, and we overwrite it
    if _given is None:
        _given = numba.config.CACHE_DIR
    root = _roots[-1] if _roots else Path(_given) if _given else Path.home() / ".cache" / "trader"
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = root / "numba"
        for part in (folder, folder / digest(sources())):
            part.mkdir(mode=0o700, exist_ok=True)
            folder = part
    except OSError:
        return False
    numba.config.CACHE_DIR = str(folder)
    return True


_given: str | None = None
_cache = _prepare()


def compiled(function: F) -> F:
    """Compile on first call, without the GIL, cached on disk; `.py_func` is the plain original.

    numpy division rules (no ZeroDivisionError in compiled code), no fastmath (it would break `isnan`), no parallel.
    """
    return _made(function)


def inlined(function: F) -> F:
    """`compiled`, and its source a part of every compiled caller, which keeps a large state in registers; those compile longer."""
    return _made(function, inline="always")


def flattened(function: F) -> F:
    """`compiled`, and its machine code a part of every compiled caller's: `inlined` for small helpers, at no cost in compiling."""
    return _made(function, forceinline=True)


def _made(function: F, **options: Any) -> F:
    return cast(F, numba.njit(cache=_cache, nogil=True, error_model="numpy", **options)(function))


# --- what domain/costs.py says of ticks and prices, said to numba ------------------------------------------------------------
@overload(costs.floor_like, strict=False)  # type: ignore[untyped-decorator, unused-ignore]
def _floor_like(value: Any, like: Any) -> Any:
    if isinstance(like, types.Integer):
        return lambda value, like: np.int64(math.floor(value + abs(value) * 1e-12))
    return lambda value, like: value


@overload(costs.slipped, strict=False)  # type: ignore[untyped-decorator, unused-ignore]
def _slipped(price: Any, units: Any) -> Any:
    if isinstance(price, types.Integer):
        return lambda price, units: price * (_SLIP_ONE - units) // _SLIP_ONE
    return lambda price, units: price * (1.0 - units / _SLIP_ONE)


@overload(costs.bought, strict=False)  # type: ignore[untyped-decorator, unused-ignore]
def _bought(price: Any, units: Any) -> Any:
    return lambda price, units: -costs.slipped(-price, -units)
