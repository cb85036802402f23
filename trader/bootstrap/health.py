"""`trader doctor`: what is checked, each with a level, a code, what was seen, why it matters and how to fix it."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from importlib import metadata

from trader.bootstrap.children import MODULES, PORTS, TWINS, installed, project_root, settings_environ
from trader.bootstrap.health_running import Running, running_checks
from trader.bootstrap.paths import Paths
from trader.config import Settings
from trader.data.birth import Birthmark
from trader.data.engine import exists
from trader.data.reader import LedgerReader
from trader.errors import ConfigError, TraderError
from trader.maintenance import kin
from trader.maintenance.checks import Check, judged
from trader.maintenance.locks import SUPERVISOR, is_locked
from trader.maintenance.sockets import owner_of, port_free
from trader.simulation.clock import load_clock

LEAST_FREE = 2_000_000_000
_LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.M)


def examine(settings: Settings) -> list[Check]:
    """All checks, in the order in which a person should look at them. Changes nothing."""
    paths = Paths(settings.state.resolve())
    checks = [*_python(), *_lock_file(), *_settings(settings), *_directories(paths), *_disk(paths)]
    up = is_locked(paths.root / SUPERVISOR)
    checks += [*_ports(settings, paths, up), *_clock(paths), *_ledger(paths), *_ai(settings, up)]
    if not up:
        return [*checks, Check(level="ok", code="E-UP-001", what=f"no `trader up` runs on {paths.root}; twins and Prefect are not checked")]
    return [*checks, *(_of_running(found) for found in running_checks(settings))]


def _ai(settings: Settings, up: bool) -> Iterator[Check]:
    from trader.bootstrap.health_ai import ai_checks  # lazy: the SDK alone takes seconds, and the page's process reads this module

    yield from ai_checks(settings, up=up)


def _of_running(found: Running) -> Check:
    return Check(level="ok" if found.ok else "FAIL", code=found.code, what=found.what, why=found.why, fix=found.fix)


# --- the machine -----------------------------------------------------------------------------------------------------------
PINS: tuple[tuple[str, Callable[[tuple[int, ...]], bool], str, str], ...] = (
    ("prefect", lambda v: v == (3, 8, 8), "3.8.8", "the other pins are chosen for it"),
    ("fastapi", lambda v: (0, 139) <= v[:2] < (0, 151), ">=0.139,<0.151", "Prefect's server dies on import with 0.155"),
    ("sqlalchemy", lambda v: (2, 0, 58) <= v < (2, 1), ">=2.0.58,<2.1", "with 2.1 Prefect's scheduler silently creates no run"),
)
"""Package, whether a version will do, the allowed range, and why (decision 0002)."""


def _python() -> Iterator[Check]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    good = sys.version_info >= (3, 11)
    yield Check(
        level="ok" if good else "FAIL",
        code="E-PY-001",
        what=f"Python {version}",
        why="3.11 is the oldest that works",
        fix="make setup PYTHON=python3.11",
    )
    for name, will_do, allowed, why in PINS:
        seen = _version(name)
        good = seen is not None and will_do(_numbers(seen))
        yield Check(
            level="ok" if good else "FAIL", code="E-PIN-001", what=f"{name} {seen or 'is missing'} ({allowed})", why=why, fix="make setup"
        )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _lock_file() -> Iterator[Check]:
    """Installed versions against requirements.lock, as far as a package is installed at all."""
    try:
        lock = project_root() / "requirements.lock"
    except ConfigError as error:
        yield Check(
            level="warn", code="E-LOCK-001", what=str(error), why="versions cannot be compared with the lock", fix="run from a clone"
        )
        return
    locked: dict[str, list[str]] = {}  # a package may be locked twice, for two versions of Python
    for name, version in _LOCKED.findall(lock.read_text() if lock.exists() else ""):
        locked.setdefault(name, []).append(version)
    seen = {name: _version(name) for name in locked}
    other = [
        f"{name} {seen[name]} (locked {' or '.join(want)})" for name, want in sorted(locked.items()) if seen[name] not in (None, *want)
    ]
    good = bool(locked) and not other
    shown = f"{len(locked)} locked packages" if good else f"{len(other)} packages differ from the lock: {', '.join(other[:5])}"
    yield Check(
        level="ok" if good else "warn", code="E-LOCK-002", what=shown, why="only the locked versions were tested together", fix="make setup"
    )


def _disk(paths: Paths) -> Iterator[Check]:
    here = next(path for path in (paths.root, *paths.root.parents) if path.exists())
    free = shutil.disk_usage(here).free
    yield Check(
        level="ok" if free >= LEAST_FREE else "warn", code="E-DISK-001", what=f"{free / 1e9:.1f} GB free at {here}",
        why="Prefect's database, logs and history grow by some GB a day", fix="free at least 2 GB, or move the state directory (--state)",
    )  # fmt: skip


# --- the installation ------------------------------------------------------------------------------------------------------
def _settings(settings: Settings) -> Iterator[Check]:
    yield Check(
        level="ok", code="E-CFG-001", what=f"settings are valid: {settings.environment}, {settings.strategy}, AI {settings.ai.mode}"
    )
    try:
        settings_environ(settings, project_root())
    except ConfigError as error:
        yield Check(
            level="FAIL", code="E-CFG-002", what=str(error), why="the processes of `trader up` would not see it", fix="see the message"
        )


def _directories(paths: Paths) -> Iterator[Check]:
    if not paths.root.exists():
        yield Check(level="ok", code="E-DIR-001", what=f"{paths.root} does not exist yet; `trader up` makes it")
        return
    mode = paths.root.stat().st_mode & 0o777
    if not os.access(paths.root, os.R_OK | os.W_OK | os.X_OK):
        yield Check(
            level="FAIL", code="E-DIR-002", what=f"{paths.root} cannot be written", why="all state lives there", fix="chown or chmod it"
        )
    elif mode & 0o077:
        fix = f"chmod 700 {paths.root}"
        yield Check(
            level="warn", code="E-DIR-003", what=f"{paths.root} is open to others ({mode:o})", why="it holds the account's books", fix=fix
        )
    else:
        yield Check(level="ok", code="E-DIR-001", what=f"{paths.root} is private to its owner")
    yield _files(paths)


def _files(paths: Paths) -> Check:
    """Books, keys and secrets lie beside each other; folders are judged as their contents would be."""
    opened = [entry.name for entry in sorted(paths.root.iterdir()) if entry.stat().st_mode & 0o077 and not entry.is_socket()]
    return judged(
        not opened, "E-FILE-001", f"open to others: {', '.join(opened)}" if opened else "files and folders in it are private, too",
        bad="warn", why="they hold the account's books", fix=f"chmod -R go= {paths.root}",
    )  # fmt: skip


def _ports(settings: Settings, paths: Paths, up: bool) -> Iterator[Check]:
    """Free, or while `trader up` runs, ours."""
    ours = kin.marked(paths.root) if up else []
    for name, who in PORTS.items():
        port = getattr(settings.ports, name)
        if who in TWINS and settings.environment != "demo":
            continue
        if who in MODULES and not installed(who):
            continue
        owner = None if port_free(port) else owner_of(port)
        what = f"port {port} for {who} is " + ("free" if owner is None else "ours" if owner.pid in ours else f"taken by {owner}")
        if up:
            fix = f"see logs/{who}.jsonl; are these the settings that `trader up` was started with?"
            good, why = owner is not None and owner.pid in ours, f"{who} of the running `trader up` does not listen there"
        else:
            good, why, fix = owner is None, f"{who} could not listen there", f"end it, or set ports.{name} (TRADER_PORTS__{name.upper()})"
        yield Check(level="ok" if good else "FAIL", code="E-PORT-001", what=what, why=why, fix=fix)


def _clock(paths: Paths) -> Iterator[Check]:
    year = time.gmtime().tm_year
    sane = year >= 2024
    yield Check(
        level="ok" if sane else "FAIL", code="E-CLOCK-001", what=f"the machine's clock is in {year}",
        why="schedules and signatures count in it", fix="set the clock (timedatectl set-ntp true)",
    )  # fmt: skip
    if paths.clock.exists():
        try:
            clock = load_clock(paths.clock)
            yield Check(level="ok", code="E-CLOCK-002", what=f"simulated time runs at speed {clock.speed:g}")
        except TraderError as error:
            fix = f"delete {paths.clock}; `trader up` makes it anew"
            yield Check(level="FAIL", code="E-CLOCK-002", what=str(error), why="sessions and twins share it", fix=fix)


def _ledger(paths: Paths) -> Iterator[Check]:
    try:
        Birthmark(paths.birth).examine(paths.ledger_at)
        if not exists(paths.ledger_at):
            yield Check(level="ok", code="E-LED-001", what="no ledger yet; the first session makes it")
            return
        reader = LedgerReader(paths.ledger_at)
        rows, halts = len(reader.equity()), reader.halts()
        reader.close()
    except TraderError as error:
        fix = "restore a copy, or `trader reset` for a fresh demo"
        yield Check(level="FAIL", code="E-LED-001", what=str(error), why="nothing is traded without it", fix=fix)
        return
    yield Check(level="ok", code="E-LED-001", what=f"the ledger opens: {rows} equity rows")
    if halts:
        causes = ", ".join(f"{halt.cause} ({halt.level}: {halt.reason})" for halt in halts)
        yield Check(
            level="warn",
            code="E-LED-002",
            what=f"entries are halted: {causes}",
            why="no position is opened",
            fix="trader resume, once the cause is clear",
        )
