"""What time it is in a state directory."""

from __future__ import annotations

from contextlib import closing, suppress

from trader.bootstrap.installation import DEMO, environment_of
from trader.bootstrap.paths import Paths
from trader.data.engine import exists
from trader.data.reader import LedgerReader
from trader.errors import CorruptError
from trader.simulation.clock import load_clock, wall_clock


def now_of(paths: Paths) -> int:
    """The exchange's clock: the machine's in paper and live; the demo's paced one, else the newest moment stored in a sound ledger."""
    if environment_of(paths) != DEMO:
        return wall_clock().now_us()
    try:
        return load_clock(paths.clock).now_us()
    except FileNotFoundError:
        pass
    if exists(paths.ledger_at):
        with suppress(CorruptError), closing(LedgerReader(paths.ledger_at)) as reader:
            told = [reader.newest_event(name) for name in ("beat", "system.started", "system.stopped")]
            if times := [event.time_us for event in told if event is not None]:
                return max(times)
    return wall_clock().now_us()
