"""What must hold at every beat, looked at while the run goes on: the starred invariants of RELIABILITY section 8.

Only what a beat has brought is read, from the exchange's books and the ledger's file, so a look costs what has changed. What is
wrong for a while only, or stood in a ledger that an older backup has replaced, shows here and not in the end. INV-6 is
timed as it happens (`watching.Bare`); INV-8 is judged by the times of the journal, in the end as well as at any beat.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.chaos.folds import Halted, Payload, Tokens, bar_of, bought_twice, guess, oversold, promised_away
from tests.chaos.watching import Seen, Skew
from trader.domain.money import ZERO
from trader.simulation.exchange import TwinExchange
from trader.simulation.exchange_orders import TwinOrder

Read = Callable[..., list[sqlite3.Row]]
READ = ("intent", "resolved", "fill", "lease.acquired", "lease.released", "halt.set", "halt.cleared")
LIVE = "outcome = 'SENT' OR (outcome = 'ACKED' AND (status IS NULL OR status IN ('pending', 'open')))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What has come since the last look, and what is live now. `orders`: new ones of ours; `begun`: ids of committed intents with
    their time; `held`: size of every position that is touched or promised; `bought`: Σ fills of every touched one."""

    lines: Sequence[tuple[str, Payload]] = ()
    orders: Sequence[TwinOrder] = ()
    begun: Mapping[str, int] = field(default_factory=dict)
    live: Sequence[TwinOrder] = ()
    balances: Mapping[str, Decimal] = field(default_factory=dict)
    reducers: Sequence[Payload] = ()
    held: Mapping[str, Decimal] = field(default_factory=dict)
    bought: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(slots=True)
class Memory:
    """What a life's looks remember of the ones before."""

    tokens: Tokens = field(default_factory=lambda: Tokens(newest=None))
    halted: Halted = field(default_factory=Halted)
    bars: Counter[tuple[str, int]] = field(default_factory=Counter)
    named: set[str] = field(default_factory=set)  # client ids that stand on the exchange


def judge_moment(moment: Moment, memory: Memory) -> Iterator[tuple[str, str]]:
    """(invariant, what is wrong) at a look."""
    for order in moment.orders:
        begun = moment.begun.get(order.cl_ord_id or "")
        if begun is None or begun > order.opened_us:
            yield (
                "INV-2",
                f"{order.ordertype} {order.txid} of {order.pair} {'has no intent' if begun is None else 'is older than its intent'}",
            )
        memory.bars.update([bar_of(order)] if order.side == "buy" else ())
        memory.named.add(order.cl_ord_id or "")
    for what in bought_twice(memory.bars):
        yield "INV-5", what
    for type_, payload in moment.lines:
        if type_ == "resolved":
            name, outcome, proof = payload["cl_ord_id"], payload["outcome"], payload["proof"] or {}
            if why := guess(outcome, payload["answer"], proof, proof.get("deadline_us", 0)):
                yield "INV-3", f"{name} is {why}"
            elif outcome in ("REJECTED", "ABSENT") and name in memory.named:
                yield "INV-3", f"{name} is {outcome}, and stands on the exchange"
        for what in memory.tokens.read(type_, payload):
            yield "INV-9", what
        for what in memory.halted.read(type_, payload):
            yield "INV-18", what
    for position, quantity in sorted(moment.bought.items()):
        if moment.held.get(position, ZERO) != quantity:
            yield "INV-4", f"position {position} holds {moment.held.get(position, ZERO)}, its fills come to {quantity}"
    for what in (*oversold(moment.live, moment.balances), *promised_away(moment.reducers, moment.held)):
        yield "INV-7", what


class Looker:
    """Looks at a world's books and ledger, once for each beat of each of its lives. `skewed`: spans in which the clocks differ."""

    def __init__(self, ledger: Path, exchange: TwinExchange, tag: str, skewed: Sequence[Skew], seen: Seen) -> None:
        self.ledger, self.exchange, self.seen = ledger, exchange, seen
        self._mark, self._skewed = "t" + tag, skewed
        self._memory = Memory()
        self._seq = self._beat = self._orders = 0
        self._connection: sqlite3.Connection | None = None

    def begin(self) -> None:
        """A life begins, with a file that an older one may have replaced: what it says now is where its looks go on from."""
        self.close()
        self._connection = sqlite3.connect(f"{self.ledger.as_uri()}?mode=ro", uri=True)
        self._connection.row_factory = sqlite3.Row
        self._memory, self._orders = Memory(), len(self.exchange.state.orders)
        self._seq = _newest(self._read)
        for row in self._read("SELECT token, released FROM lease"):
            self._memory.tokens = Tokens(newest=row["token"], free=bool(row["released"]))
        self._memory.halted.on = dict.fromkeys(row["cause"] for row in self._read("SELECT cause FROM halt"))

    def close(self) -> None:
        """The life is over."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def look(self) -> bool:
        """Judge what came since the last look; False where the file has not got the beat yet, as while it takes no writes."""
        beat = self._read("SELECT MAX(seq) AS n FROM beat")[0]["n"]
        if beat is None or beat == self._beat:
            return False
        self._beat = beat
        moment = self._moment(self._read)
        self.seen.looks += 1
        for invariant, what in judge_moment(moment, self._memory):
            self.seen.breach(invariant, what)
        return True

    def _moment(self, read: Read) -> Moment:
        lines = [
            (row["type"], json.loads(row["payload"]))
            for row in read(f"SELECT type, payload FROM journal WHERE seq > ? AND type IN {READ} ORDER BY seq", self._seq)
        ]
        self._seq = _newest(read)
        orders = self._new_orders()
        begun = {
            name: read("SELECT created_us FROM intent WHERE cl_ord_id = ?", name) for name in (order.cl_ord_id or "" for order in orders)
        }
        reducers = [dict(row) for row in read(f"SELECT position_id, quantity, filled FROM intent WHERE leg <> 'entry' AND ({LIVE})")]
        filled = dict.fromkeys(payload["position_id"] for type_, payload in lines if type_ == "fill" and payload["position_id"])
        named = tuple(dict.fromkeys([*filled, *(row["position_id"] for row in reducers)]))
        sizes = read(f"SELECT position_id, quantity FROM position WHERE position_id IN ({', '.join('?' * len(named))})", *named)
        return Moment(
            lines=lines, orders=orders, begun={name: found[0]["created_us"] for name, found in begun.items() if found},
            live=self.exchange.open_orders(), balances=self.exchange.state.balances, reducers=reducers,
            held={row["position_id"]: Decimal(row["quantity"]) for row in sizes},
            bought={name: _left(read("SELECT side, quantity FROM fill WHERE position_id = ?", name)) for name in filled},
        )  # fmt: skip

    def _new_orders(self) -> list[TwinOrder]:
        """Orders with an id of ours since the last look, but for those of a time at which the clocks differed on purpose."""
        found, self._orders = (
            list(itertools.islice(self.exchange.state.orders.values(), self._orders, None)),
            len(self.exchange.state.orders),
        )
        ours = [order for order in found if (order.cl_ord_id or "").startswith(self._mark)]
        return [order for order in ours if not any(one.stamped(order) for one in self._skewed)]

    def _read(self, words: str, *values: Any) -> list[sqlite3.Row]:
        assert self._connection is not None
        return self._connection.execute(words, values).fetchall()


def _newest(read: Read) -> int:
    return int(read("SELECT COALESCE(MAX(seq), 0) AS n FROM journal")[0]["n"])


def _left(fills: Sequence[sqlite3.Row]) -> Decimal:
    """What the fills of a spot position leave of it."""
    return sum((Decimal(row["quantity"]) * (1 if row["side"] == "buy" else -1) for row in fills), ZERO)
