"""What became of the killed order: counted in the exchange's books, never by the ledger's opinion."""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.kill.watch import Lived
from trader.bootstrap.paths import Paths
from trader.data.reader import LedgerReader
from trader.domain.market import Timeframe
from trader.domain.orders import Leg
from trader.simulation.exchange_books import LOG, SNAPSHOT, Books, State
from trader.simulation.exchange_orders import TwinOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """The entry the dead process was busy with, as its ledger file was left: the newest intent's."""

    pair: str
    key: str
    entry_us: int
    outcome: str
    leg: str


def busy_with(paths: Paths) -> Busy | None:
    """Read right after the death; None where nothing was ever begun, not even the ledger's first table."""
    with closing(sqlite3.connect(f"{paths.ledger.as_uri()}?mode=ro", uri=True)) as raw:
        if raw.execute("SELECT 1 FROM sqlite_master WHERE name = 'intent'").fetchone() is None:
            return None
    reader = LedgerReader(paths.ledger)
    try:
        orders = [view.intent for view in reader.orders(limit=10_000)]
    finally:
        reader.close()
    if not orders:
        return None
    newest = orders[0]
    entry = next(i for i in orders if i.leg is Leg.ENTRY and i.key == newest.key)
    return Busy(pair=newest.pair, key=newest.key, entry_us=entry.created_us, outcome=newest.outcome, leg=newest.leg)


def books_hash(paths: Paths) -> str:
    """SHA-256 over the exchange's files; call it before anybody asks the exchange again."""
    digest = hashlib.sha256()
    for name in (SNAPSHOT, LOG):
        file = paths.twin / name
        digest.update(file.read_bytes() if file.exists() else b"")
    return digest.hexdigest()


def read_books(paths: Paths) -> State:
    state, books = State(), Books(paths.twin)
    books.load(state)
    books.close()
    return state


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Of one entry key on the exchange: buy orders, buys that filled (positions), and stops that stood for them."""

    orders: int = 0
    positions: int = 0
    stops: int = 0


def count(state: State, busy: Busy | None) -> Counted:
    """Our buys of the pair in the bar that the entry was decided in, and the stops that came before the next buy."""
    if busy is None:
        return Counted()
    bar = Timeframe.M15.floor(busy.entry_us)
    ours = sorted((o for o in state.orders.values() if o.ours and o.pair == busy.pair), key=lambda o: o.number)
    buys = [o for o in ours if o.side == "buy" and bar <= o.opened_us < bar + Timeframe.M15.us]
    later = [o.number for o in ours if o.side == "buy" and o.opened_us >= bar + Timeframe.M15.us]
    stops = [o for o in ours if o.ordertype == "stop-loss" and o.opened_us >= bar and o.number < min(later, default=1 << 60)]
    return Counted(orders=len(buys), positions=sum(o.executed > 0 for o in buys), stops=len(stops))


def entries_once(state: State) -> bool:
    """No pair was bought twice in one bar, by any order of ours that filled."""
    seen: set[tuple[str, int]] = set()
    for order in _filled_buys(state):
        bar = (order.pair, Timeframe.M15.floor(order.opened_us))
        if bar in seen:
            return False
        seen.add(bar)
    return True


def _filled_buys(state: State) -> list[TwinOrder]:
    return [o for o in state.orders.values() if o.ours and o.side == "buy" and o.executed > 0]


def clients_once(state: State) -> bool:
    """No client id stands twice."""
    ids = Counter(order.cl_ord_id for order in state.orders.values() if order.cl_ord_id)
    return max(ids.values(), default=0) <= 1


def journal_of(ledger: Path) -> list[tuple[str, int]]:
    """Type and time of each line of the journal."""
    with closing(sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT type, time_us FROM journal ORDER BY seq").fetchall()


def own_lines(ledger: Path) -> int:
    """How many lines of the journal the session wrote itself, so that it can die at them: a person's orders come from another process."""
    return sum(type_ != "control.submitted" for type_, _ in journal_of(ledger))


def lives_of(ledger: Path, deaths_us: Sequence[int], end_us: int) -> list[Lived]:
    """Each life of the ledger from its lease to its death, its own end, or the end of all."""
    starts = [time_us for type_, time_us in journal_of(ledger) if type_ == "lease.acquired"]
    ends = sorted((*deaths_us, *starts[1:], end_us))
    return [Lived(from_us=start, to_us=next(end for end in ends if end > start)) for start in starts if start < end_us]


def checks(counted: Counted, state: State, unprotected: Sequence[str], bare_s: float, limit_s: float) -> dict[str, bool]:
    """What the exchange's books must say, by name; `bare_s`: the longest that a holding was bare while a life had its lease."""
    return {
        "not_doubled": counted.orders <= 1 and entries_once(state) and clients_once(state),
        "stop_in_time": bare_s <= limit_s,
        "protected": not unprotected,
    }
