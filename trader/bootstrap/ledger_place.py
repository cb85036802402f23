"""Which database an installation keeps its ledger in: decided once, written into the state directory, the same for all processes."""

from __future__ import annotations

import os

from trader.bootstrap.paths import Paths
from trader.config import Settings
from trader.data.engine import is_url, knock, place_of, shown
from trader.errors import ConfigError


def settle(settings: Settings, paths: Paths) -> str:
    """Where the ledger lies; a `ledger_url` in the settings is written down at its first use, for every later process.

    Raises ConfigError where the settings name another place than the one in use: an account's books are in one place;
    RetryableError where a server that would be written down does not answer, so that a slip in its name binds nothing.
    """
    if settings.ledger_url is None:
        return paths.ledger_at
    wanted = place_of(settings.ledger_url.get_secret_value())
    in_use = paths.ledger_at
    if paths.ledger_url.exists() or paths.ledger.exists():
        if wanted != in_use:
            move = "`trader db backup`, and `trader db restore` into a new --state, move it"
            raise ConfigError(f"setting ledger_url is {shown(wanted)}, but the ledger of {paths.root} is {shown(in_use)}; {move}")
    else:
        if is_url(wanted):
            knock(wanted)
        handle = os.open(paths.ledger_url, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(wanted + "\n")
    return wanted
