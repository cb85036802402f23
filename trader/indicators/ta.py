"""TA-Lib, imported where it finds neither pandas nor polars.

Its package looks for both to take their series, too. Ours are numpy arrays: out of its sight, each call is spared a look at its
arguments, and each process pandas, 67 MB.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _unseen(*packages: str) -> Iterator[None]:
    """Inside, these packages are not to be found; afterwards they are where they were."""
    known = {name: sys.modules.get(name) for name in packages}
    sys.modules.update(dict.fromkeys(packages))  # type: ignore[arg-type]  # None is Python's own word for it
    try:
        yield
    finally:
        for name, module in known.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


with _unseen("pandas", "polars"):
    import talib
    from talib import stream

__all__ = ["stream", "talib"]
