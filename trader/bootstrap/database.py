"""`trader db`: the ledger's schema, a checked copy of it, and putting one back; nothing that was written is lost by any of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trader.bootstrap.ledger_place import settle
from trader.bootstrap.paths import Paths
from trader.bootstrap.state_time import now_of
from trader.bootstrap.trading import sole_trader
from trader.config import Settings
from trader.data.birth import Birthmark
from trader.data.engine import shown, upgrade
from trader.data.ledger_copy import Copied, back_up, of_backup, restore
from trader.simulation.clock import wall_clock


def upgrade_ledger(settings: Settings) -> dict[str, Any]:
    """Make the ledger, or bring an old one to this program's schema; what it is now. Raises CorruptError for a newer one."""
    paths = Paths(settings.state).make()
    place = settle(settings, paths)
    Birthmark(paths.birth).examine(place)
    return {"ledger": shown(place), "schema": upgrade(place)}


def back_up_ledger(settings: Settings, target: Path | None) -> dict[str, Any]:
    """A checked copy in one file, by default `backups/ledger-TIME.sqlite` in the state directory; the session may go on."""
    paths = Paths(settings.state)
    file = target or paths.backups / f"ledger-{datetime.fromtimestamp(wall_clock().now_us() / 1e6, UTC):%Y%m%dT%H%M%SZ}.sqlite"
    Birthmark(paths.birth).examine(paths.ledger_at)
    return {"ledger": shown(paths.ledger_at), "backup": str(file)} | _told(back_up(paths.ledger_at, file))


def restore_ledger(settings: Settings, backup: Path) -> dict[str, Any]:
    """Put a backup back. Raises LeaseLostError while a session runs, UnsafeError where the ledger is newer or another one."""
    paths = Paths(settings.state).make()
    with sole_trader(paths):
        with of_backup():
            Birthmark(paths.birth).admit(backup)
        place = settle(settings, paths)
        return {"ledger": shown(place), "backup": str(backup)} | _told(restore(backup, place, now_us=now_of(paths)))


def _told(copied: Copied) -> dict[str, Any]:
    return {"journal_rows": copied.tip.seq, "journal_hash": copied.tip.hash, "rows": dict(copied.rows)}
