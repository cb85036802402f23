"""Bugs that others shipped or that we could ship, each as one change of one file, with the invariants that must notice it."""

from __future__ import annotations

from dataclasses import dataclass, field

DESK, KEEPER, SESSION = "trader/execution/desk.py", "trader/execution/keeper.py", "trader/execution/session.py"
RECOVERY, CLOSE, ENTRIES = "trader/execution/recovery.py", "trader/execution/close.py", "trader/execution/entries.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bug:
    """A planted bug: the change, the faults under which it shows, and the invariants of which one must break.

    `words`: more of the campaign's command line; `seeds`: how many seeds are tried before it counts as missed.
    """

    name: str
    file: str
    old: str
    new: str
    breaks: tuple[str, ...]
    faults: str = "none"
    seeds: int = 2
    days: float = 0.06
    words: tuple[str, ...] = field(default=())


SUBMIT = "        answer = await self.exchange.submit(intent)\n"
BEGIN = "        self.ledger.begin(intent, self._leased(), self.clock.now_us(), position=position)\n"
BUGS: tuple[Bug, ...] = (
    Bug(
        name="an order without an answer is sent again under a new id", file=DESK, old=SUBMIT, breaks=("INV-2", "INV-5"), faults="H2,H5",
        new=SUBMIT + "        if isinstance(answer, Ambiguous):\n"
        '            other = __import__("dataclasses").replace(intent, cl_ord_id=intent.cl_ord_id[:-1] + "2")\n'
        "            answer = await self.exchange.submit(other)\n",
    ),
    Bug(
        name="an order without an answer is sent again under the same id", file=DESK, old=SUBMIT, breaks=("INV-5",), faults="H2,H5",
        new=SUBMIT + "        if isinstance(answer, Ambiguous):\n            answer = await self.exchange.submit(intent)\n",
    ),
    Bug(
        name="sent before the intent is on disk", file=DESK, old=BEGIN, breaks=("INV-2",), faults="K5",
        new="        early = await self.exchange.submit(intent)\n        self.kill.reach(_point(intent.leg, \"ack\"))\n" + BEGIN,
    ),
    Bug(
        name="a lost answer counts as refused", file="trader/kraken/sending.py", breaks=("INV-3",), faults="H2,H5",
        old="        return Ambiguous(message=str(error))\n", new="        return Rejected(kind=Class.LATER, message=str(error))\n",
    ),
    Bug(
        name="no grace before an order counts as absent", file=DESK, breaks=("INV-3",), faults="H26", seeds=5,
        old="past = late or now > intent.deadline_us + int(grace * SECOND)", new="past = now > intent.created_us",
    ),
    Bug(
        name="an unknown word counts as refused", file="trader/kraken/outcomes.py", breaks=("INV-3",), faults="H23", seeds=4,
        old="if key.startswith(prefix)), Class.AMBIGUOUS)\n", new="if key.startswith(prefix)), Class.STYLE)\n",
    ),
    Bug(
        name="absent after a single pass", file=DESK, breaks=("INV-3",), faults="H1,H4",
        old="if len(clean) >= 2 and clean[-1] - clean[0] >= SECOND:", new="if clean:",
    ),
    Bug(
        name="the stream's fill and the answer's fill both count", file=SESSION, breaks=("INV-1", "INV-4"),
        old="changes = self.w.ledger.apply_fills(fills,",
        new='changes = self.w.ledger.apply_fills([__import__("dataclasses").replace(f, trade_id=f"{source}-{f.trade_id}") for f in fills],',
    ),
    Bug(
        name="quantities are floats", file="trader/domain/money.py", breaks=("INV-1", "INV-4", "INV-7", "INV-13"),
        old="    return EXACT.subtract(a, b)\n", new="    return Decimal(repr(float(a) - float(b)))\n",
    ),
    Bug(
        name="fees of the stream are forgotten", file="trader/kraken/translate.py", breaks=("INV-1", "INV-4"), seeds=1,
        old="    fees = item.get(\"fees\") or ()\n", new="    fees = ()\n",
    ),
    Bug(
        name="the stop waits for the next beat", file=KEEPER, breaks=("INV-6",), faults="K7",
        old="                self.begin_guard(held, before)\n                self.spawn(self.protect(held)",
        new="                self.begin_guard(held, before)\n                held.retrying and self.spawn(self.protect(held)",
    ),
    Bug(
        name="a recovery protects nothing", file=RECOVERY, breaks=("INV-6",), faults="K7", seeds=3,
        old="        await self.keeper.protect(held)\n        return int(before is None)\n",
        new="        return int(before is None)\n",
    ),
    Bug(
        name="halts are judged when deciding only", file="trader/data/ledger_orders.py", breaks=("INV-18",),
        faults="N7,H1,H3,H21,H22,H5", seeds=5, days=0.25,
        old="    if halted:\n", new="    if halted and position is None:\n",
    ),
    Bug(
        name="ids of adopted stops are drawn by chance", file="trader/execution/adoption.py", breaks=("INV-19",), words=("--twice", "1"),
        seeds=1,
        old="        name = client_order_id(self.desk.tag, self.desk.account, entry.key, Leg.STOP, attempt)\n",
        new='        name = "t" + __import__("uuid").uuid4().hex[:17]\n',
    ),
    Bug(
        name="the beat looks at the machine's clock", file=SESSION, breaks=("INV-19", "INV-10"), words=("--twice", "1"), seeds=1,
        old="beat = pulse.begin(w.clock.now_us())", new='beat = pulse.begin(w.clock.now_us() + __import__("time").time_ns() % 1000)',
    ),
    Bug(
        name="the limiter counts a history call as a simple one", file="trader/kraken/tariff.py", breaks=("INV-12",), seeds=1,
        old="Kind.HISTORY: 2.0}", new="Kind.HISTORY: 1.0}",
    ),
    Bug(
        name="an entry grows on its way", file=ENTRIES, breaks=("INV-17",), seeds=1,
        old="quantity=approved.quantity,", new="quantity=approved.quantity * 2,",
    ),
    Bug(
        name="one pair's missing price ends the bar for all", file=CLOSE, breaks=("INV-16",), seeds=1,
        old="        reviewed = await self._review(signals, row, {})\n",
        new="        [self.engine.marks[s.pair + \"?\"] for s in signals]\n        reviewed = await self._review(signals, row, {})\n",
    ),
    Bug(
        name="the secret is in an error's log line", file="trader/kraken/client.py", breaks=("INV-20",), faults="H15,H11",
        old="        if hard or (errors and result is None):\n",
        new="        if hard or (errors and result is None):\n            log.warning(\"refused for %s\", self.secret)\n",
    ),
    Bug(
        name="a lease keeps its token", file="trader/data/lease.py", breaks=("INV-9",), faults="N5,K1", seeds=2,
        old="token = 1 if row is None else row.token + 1", new="token = 1 if row is None else row.token",
    ),
    Bug(
        name="trading begins without a reconciliation", file=SESSION, breaks=("INV-14",), seeds=1,
        old='        self.summary.differences = await w.stage("reconcile", partial(self._kept, self.recovery.run, "reconcile"))\n',
        new="        w.ledger.set_opening_cash({a: b.total for a, b in (await w.exchange.balances()).items()}, w.clock.now_us())\n"
        "        self.recovery._last_full_us = w.clock.now_us() + 3_600_000_000\n",
    ),
    Bug(
        name="a task is left behind at every beat", file=SESSION, breaks=("INV-15",), seeds=1, days=0.2,
        old='            await w.stage("check", partial(self._kept, self.recovery.cheap_check, "check"))\n',
        new='            self.spawn(asyncio.sleep(1e9), "left")\n'
        '            await w.stage("check", partial(self._kept, self.recovery.cheap_check, "check"))\n',
    ),
    Bug(
        name="an exit waits for a neighbour", file=KEEPER, breaks=("INV-8",), seeds=1,
        old="        for pause_s in (0.0, *LEAVE_PAUSES_S):\n", new="        for pause_s in (60.0, *LEAVE_PAUSES_S):\n",
    ),
    Bug(
        name="a beat waits without an end", file=RECOVERY, breaks=("INV-10",), seeds=1,
        old='        """Open orders against live intents; a surprise, or ten minutes, asks for the full reconciliation."""\n',
        new='        """Slow."""\n        await asyncio.sleep(400)\n',
    ),
    Bug(
        name="a reconciliation never ends in agreement", file=RECOVERY, breaks=("INV-11",), seeds=1,
        old="        differences = self._recall(remote) + await", new="        differences = 1 + self._recall(remote) + await",
    ),
)  # fmt: skip
