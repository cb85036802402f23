"""Messages to people from outside the session: one row in the outbox, sent by whoever drains it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trader.bootstrap.paths import Paths
from trader.config import Settings
from trader.data.outbox import Outbox
from trader.errors import ConfigError
from trader.ports import Clock
from trader.simulation.clock import load_clock, wall_clock


def clock_of(settings: Settings, paths: Paths) -> Clock:
    """The running demo's clock; the machine's own where none runs or the environment is not a demo."""
    if settings.environment != "demo":
        return wall_clock()
    try:
        return load_clock(paths.clock)
    except FileNotFoundError:
        return wall_clock()


def post_notice(settings: Settings, kind: str, payload: Mapping[str, Any], *, dedupe_key: str) -> None:
    """Put one message into this installation's outbox unless its key is known. Raises ConfigError where there is no installation."""
    if not settings.state.is_dir():
        raise ConfigError(f"state_dir {settings.state_dir!r}: no such directory; start with `trader up --env demo`")
    paths = Paths(settings.state).make()
    outbox = Outbox(paths.ops, environment=settings.environment)
    try:
        outbox.post(kind, payload, dedupe_key=dedupe_key, now_us=clock_of(settings, paths).now_us())
    finally:
        outbox.close()
