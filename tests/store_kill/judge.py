"""After a kill: lose what was never synced, then compare the store with what was acknowledged, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from candle_kit import EPOCH

from tests.store_kill.world import PAIRS, SPAN, World, position
from trader.data.history import HistoryStore
from trader.domain.market import Timeframe
from trader.errors import CorruptError


def lose(log: Path) -> int:
    """Undo what a power cut may undo: names whose directory was not synced, bytes written after a file's last sync.

    SQLite syncs its own files (synchronous=FULL) and is trusted with them. Returns the files touched.
    """
    created: dict[Path, bool] = {}
    synced: dict[Path, int] = {}
    for line in log.read_text().splitlines() if log.exists() else ():
        kind, _, rest = line.partition(" ")
        if kind == "C":
            created[Path(rest)] = False
        elif kind == "F":
            size, _, name = rest.partition(" ")
            synced[Path(name)] = int(size)
        else:
            created |= {path: True for path in created if path.parent == Path(rest)}
    touched = 0
    for path, durable in created.items():
        if not path.exists():
            continue
        if not durable:
            path.unlink()
            touched += 1
        elif path.stat().st_size > synced.get(path, 0):
            with path.open("r+b") as file:
                file.truncate(synced.get(path, 0))
            touched += 1
    log.unlink(missing_ok=True)
    return touched


def faults(directory: Path, world: World, acknowledged: Mapping[Timeframe, int]) -> list[str]:
    """What is wrong with the store; empty when every acknowledged commit is there, once, with its coverage and cursor."""
    store = HistoryStore(directory)
    try:
        return [fault for tf in SPAN for fault in _faults(store, world, tf, acknowledged.get(tf, 0))]
    finally:
        store.close()


def _faults(store: HistoryStore, world: World, tf: Timeframe, acknowledged: int) -> list[str]:
    try:
        steps = position(store, tf)
        snapshot = store.snapshot(tf=tf)
        snapshot.verify()
        rows = snapshot.scan().collect().sort("pair", "time")
    except (CorruptError, AssertionError) as error:
        return [f"{tf}: {error}"]
    found = []
    if steps < acknowledged:
        found.append(f"{tf}: {acknowledged} commits were acknowledged, the cursor knows {steps}")
    if not rows.equals(world.until(tf, steps)):
        found.append(f"{tf}: {len(rows)} rows, {len(world.until(tf, steps))} expected for {steps} commits, or other values")
    end = EPOCH + steps * SPAN[tf] * tf.us
    covered = {pair: (c[0].start_us, c[-1].end_us) for pair, c in store.catalog.coverage("spot", tf).items()}
    if covered != (dict.fromkeys(PAIRS, (EPOCH, end)) if steps else {}):
        found.append(f"{tf}: coverage differs from the {steps} commits the cursor knows")
    return found
