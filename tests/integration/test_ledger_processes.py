"""The ledger between processes: kill -9 loses nothing acknowledged, a second writer is refused, readers never disturb."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from ledger_kit import ACCOUNT, T0, TTL, buy, entry, lease_of, open_ledger
from postgres_kit import postgres_ledger

from trader.data.audit import audit
from trader.data.lease import AccountLock
from trader.data.ledger import SqlLedger
from trader.data.reader import LedgerReader
from trader.errors import LeaseLostError

KIT = str(Path(__file__).parents[1])
WRITER = """
import sys
from pathlib import Path
from ledger_kit import T0, buy, lease_of, open_ledger
ledger = open_ledger(Path(sys.argv[1]))
lease = lease_of(ledger)
start = len(ledger.positions())
for n in range(start, start + 100_000):
    buy(ledger, lease, close_us=T0 + n * 60_000_000, trade_id=f"F{n}")
    print(n, flush=True)
"""


def child(code: str, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([KIT, *sys.path])}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.kill
def test_kill_9_at_any_instant_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    for number in range(8):
        process = child(WRITER, str(tmp_path))
        assert process.stdout is not None
        seen = [process.stdout.readline()]  # at least one write per round, then an instant that differs each time
        time.sleep(0.011 * (number + 1) + 0.0007 * number**2)
        os.kill(process.pid, signal.SIGKILL)
        seen += process.stdout.readlines()
        process.wait()
        acknowledged |= {f"F{line.strip()}" for line in seen if line.endswith("\n")}
        facts = audit(tmp_path / "state" / "ledger.sqlite")
        assert facts.problems == ()
        assert acknowledged <= set(facts.fills)
        assert len(facts.fills) <= len(acknowledged) + number + 1  # each round at most one that was not told yet
    assert len(acknowledged) >= 8


SECOND = """
import sys
from pathlib import Path
from ledger_kit import ACCOUNT, T0, TTL, entry
from trader.data.lease import AccountLock
from trader.data.ledger import SqlLedger
from trader.errors import LeaseLostError
from trader.ports import Lease
place, folder = sys.argv[1], Path(sys.argv[2])
ledger = SqlLedger(place, account=ACCOUNT)
intent, position = entry()
stale = Lease(account=ACCOUNT, holder="first", token=0, expires_us=T0 + TTL)
for attempt in (lambda: ledger.acquire_lease(ACCOUNT, "second", T0 + 1, TTL),
                lambda: ledger.begin(intent, stale, T0 + 1, position=position),
                AccountLock(folder, ACCOUNT).acquire):
    try:
        attempt()
        print("granted")
    except LeaseLostError as error:
        print("refused", error)
print(ledger.acquire_lease(ACCOUNT, "second", T0 + TTL + 10_000_000, TTL).token)
"""


@pytest.mark.parametrize("kind", ["file", "postgres"])
def test_a_second_process_is_refused_lease_token_and_lock_until_it_takes_over(kind: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        place = str(tmp_path / "ledger.sqlite") if kind == "file" else stack.enter_context(postgres_ledger())
        ledger = SqlLedger(place, account=ACCOUNT)
        first = ledger.acquire_lease(ACCOUNT, "first", T0, TTL)
        lock = AccountLock(tmp_path / "state", ACCOUNT)
        lock.acquire()
        lines = child(SECOND, place, str(tmp_path / "state")).communicate(timeout=60)[0].splitlines()
        assert [line.split()[0] for line in lines] == ["refused", "refused", "refused", str(first.token + 1)]
        assert "'first'" in lines[0] and "not the newest" in lines[1]
        with pytest.raises(LeaseLostError, match="not the newest"):  # the fenced holder can neither renew nor send
            ledger.renew_lease(first, T0 + TTL - 1, TTL)
        intent, position = entry()
        with pytest.raises(LeaseLostError, match="not the newest"):
            ledger.begin(intent, first, T0 + TTL - 1, position=position)
        assert ledger.intents() == []
        with pytest.raises(LeaseLostError, match="another process on this machine"):
            AccountLock(tmp_path / "state", ACCOUNT).acquire()
        lock.release()
        again = AccountLock(tmp_path / "state", ACCOUNT)
        again.acquire()
        again.release()
        ledger.close()


def test_readers_see_whole_transactions_while_another_process_writes(tmp_path: Path) -> None:
    open_ledger(tmp_path).close()
    process = child(WRITER, str(tmp_path))
    assert process.stdout is not None
    process.stdout.readline()
    reader = LedgerReader(tmp_path / "state" / "ledger.sqlite")
    counts = []
    until = time.monotonic() + 1.0
    while time.monotonic() < until or counts[-1] == counts[0]:
        positions, totals = reader.positions(), reader.totals()
        filled = [p for p in positions if p.quantity]
        assert len(positions) - len(filled) <= 1 and totals.open >= len(filled)
        counts.append(len(positions))
    process.kill()
    process.wait()
    assert counts == sorted(counts) and counts[-1] > counts[0]
    reader.close()
    ledger = open_ledger(tmp_path)
    before = len(ledger.positions())
    buy(ledger, lease_of(ledger), close_us=T0 - 60_000_000)
    assert len(ledger.positions()) == before + 1
    ledger.close()
