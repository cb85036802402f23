"""`trader verify`: the ledger file against the exchange's REST answers, by code the session does not share.

The demo's exchange is started again from its books on a free loopback port, and asked over plain HTTP.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from trader.bootstrap.paths import API_KEY, API_SECRET, Paths, tag_of
from trader.bootstrap.stand_ins import HOST, kraken_twin
from trader.bootstrap.world import World
from trader.data.audit import LedgerFacts, audit
from trader.data.engine import exists
from trader.data.ledger_copy import as_file
from trader.errors import ConfigError
from trader.maintenance.exchange_facts import ExchangeFacts, ExchangeOrder, read_exchange
from trader.simulation.clock import PacedClock
from trader.simulation.faults import FaultPlan

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One comparison: how many things were compared, and what is wrong (empty: it holds)."""

    name: str
    compared: int
    problems: tuple[str, ...]


def verify_state(state: Path) -> dict[str, Any]:
    """Verdict on a state directory, JSON-ready; raises ConfigError when no session has run in it.

    A demo's exchange is asked, too. That of paper and live is not: a second signer on the key would have the session's calls
    refused, and the session itself reconciles at its start and every ten minutes.
    """
    paths = Paths(state)
    if not exists(paths.ledger_at):
        raise ConfigError(f"{state}: no session has run here (ledger.sqlite expected)")
    with as_file(paths.ledger_at) as file:
        facts = audit(file)
    checks = _with_exchange(paths, facts) if paths.world.exists() else (sound(facts), proved(facts))
    return {
        "ok": all(not check.problems for check in checks),
        "checks": {c.name: {"ok": not c.problems, "compared": c.compared, "problems": list(c.problems[:20])} for c in checks},
    }


def _with_exchange(paths: Paths, facts: LedgerFacts) -> tuple[Check, ...]:
    world = World.load(paths.world)
    with exchange_of(world, paths) as url:
        exchange = read_exchange(url, API_KEY, API_SECRET)
    return compare(facts, exchange, tag=tag_of(world.seed), quote=world.shape().quote)


@contextmanager
def exchange_of(world: World, paths: Paths) -> Iterator[str]:
    """The demo exchange from its books, time standing still, served from a thread of its own; yields its URL."""
    with tempfile.TemporaryDirectory(prefix="trader-verify-") as scratch:
        shutil.copytree(paths.twin, Paths(Path(scratch)).twin)  # our questions must leave no trace in the books
        with _serving(world, Paths(Path(scratch))) as url:
            yield url


@contextmanager
def _serving(world: World, paths: Paths) -> Iterator[str]:
    """That exchange on a free port, until the caller is done."""
    server = _Server(world, paths)
    thread = threading.Thread(target=server.run, name="exchange for verify", daemon=True)
    thread.start()
    server.started.wait(60)
    if server.error is not None or not server.port:
        raise ConfigError(f"{paths.twin}: the exchange's books cannot be opened ({server.error or 'no answer'})")
    try:
        yield f"http://{HOST}:{server.port}"
    finally:
        server.stop()
        thread.join(10)


class _Server:
    """The exchange in a thread with an event loop of its own."""

    def __init__(self, world: World, paths: Paths) -> None:
        self.world, self.paths = world, paths
        self.started = threading.Event()
        self.port = 0
        self.error: BaseException | None = None
        self._stopping: Callable[[], object] = lambda: None

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            self.error = error
            self.started.set()

    def stop(self) -> None:
        self._stopping()

    async def _serve(self) -> None:
        clock, ended, loop = _Still(), asyncio.Event(), asyncio.get_running_loop()
        twin = kraken_twin(self.world, self.world.market(), clock, paths=self.paths, plan=FaultPlan(seed=self.world.seed))
        clock.now = twin.exchange.state.tick_us
        self.port = await twin.start(HOST, 0)
        self._stopping = partial(loop.call_soon_threadsafe, ended.set)
        self.started.set()
        await ended.wait()
        await twin.close()


class _Still(PacedClock):
    """A clock that stands still, at the last moment in the exchange's books."""

    def __init__(self) -> None:
        super().__init__(0, 0.0, 1.0)
        self.now = 0

    def now_us(self) -> int:
        return self.now

    async def sleep_until(self, time_us: int) -> None:
        await asyncio.sleep(0)


def compare(ledger: LedgerFacts, exchange: ExchangeFacts, *, tag: str, quote: str) -> tuple[Check, ...]:
    """Every check, each with the number of things it looked at."""
    ours = _ours(exchange, tag)
    return (
        sound(ledger),
        _fills(ledger, exchange, ours),
        _orders(ledger, ours),
        _balances(ledger, exchange, quote),
        _foreign(exchange, ours),
        _oversell(exchange),
        proved(ledger),
    )


def sound(ledger: LedgerFacts) -> Check:
    """The hash chain holds, and every row is what journal and fills make of it."""
    problems = tuple(f"{p.check} {p.row}: {p.detail}" for p in ledger.problems)
    return Check(name="ledger_sound", compared=sum(ledger.counts.values()), problems=problems)


def proved(ledger: LedgerFacts) -> Check:
    """INV-3: no intent is left whose outcome is unknown."""
    return Check(name="outcomes_proved", compared=len(ledger.orders), problems=tuple(f"{i} is still SENT" for i in ledger.unresolved))


def _ours(exchange: ExchangeFacts, tag: str) -> dict[str, ExchangeOrder]:
    """Orders with our tag, and the conditional closes of those."""
    tagged = {t: o for t, o in exchange.orders.items() if (o.cl_ord_id or "").startswith("t" + tag)}
    return tagged | {t: o for t, o in exchange.orders.items() if o.refid in tagged}


def _fills(ledger: LedgerFacts, exchange: ExchangeFacts, ours: dict[str, ExchangeOrder]) -> Check:
    """INV-1: ledger fills == exchange trades of our orders, in every field; none more, none fewer."""
    remote = {i: t for i, t in exchange.trades.items() if t.txid in ours}
    local = {i: f for i, f in ledger.fills.items() if f.ours}
    problems = [f"trade {i} of order {remote[i].txid} is missing in the ledger" for i in sorted(remote.keys() - local.keys())]
    problems += [f"ledger fill {i} is unknown to the exchange" for i in sorted(local.keys() - remote.keys())]
    for i in sorted(remote.keys() & local.keys()):
        for name in ("txid", "pair", "side", "price", "quantity", "cost", "fee"):
            seen, told = getattr(local[i], name), getattr(remote[i], name)
            if seen != told:
                problems.append(f"fill {i}: {name} is {seen} in the ledger, {told} on the exchange")
    return Check(name="fills_match", compared=len(remote), problems=tuple(problems))


def _orders(ledger: LedgerFacts, ours: dict[str, ExchangeOrder]) -> Check:
    """INV-2 and INV-5: each order of ours has an older intent, and no client id stands on the exchange twice."""
    problems = []
    seen: dict[str, str] = {}
    for txid, order in sorted(ours.items()):
        known = ledger.orders.get(txid)
        if known is None:
            problems.append(f"order {txid} ({order.ordertype} {order.pair}) has no intent")
        elif known.origin == "sent" and known.created_us > order.opened_s * 1e6 + 1:
            problems.append(f"order {txid}: its intent is younger than the order")
        if order.cl_ord_id is not None and seen.setdefault(order.cl_ord_id, txid) != txid:
            problems.append(f"client id {order.cl_ord_id} stands twice: {seen[order.cl_ord_id]} and {txid}")
    return Check(name="orders_known", compared=len(ours), problems=tuple(problems))


def _balances(ledger: LedgerFacts, exchange: ExchangeFacts, quote: str) -> Check:
    """INV-4: cash and coins per asset."""
    expected = dict(ledger.coins)
    for asset, amount in ledger.cash.items():
        expected[asset] = expected.get(asset, ZERO) + amount
    assets = sorted({a for a, v in expected.items() if v} | {a for a, v in exchange.balances.items() if v} | {quote})
    problems = [
        f"{a}: {expected.get(a, ZERO)} in the ledger, {exchange.balances.get(a, ZERO)} on the exchange"
        for a in assets
        if expected.get(a, ZERO) != exchange.balances.get(a, ZERO)
    ]
    return Check(name="balances_match", compared=len(assets), problems=tuple(problems))


def _foreign(exchange: ExchangeFacts, ours: dict[str, ExchangeOrder]) -> Check:
    """Trades and orders of the account that are not ours."""
    problems = [f"trade {i} of order {t.txid} in {t.pair}" for i, t in sorted(exchange.trades.items()) if t.txid not in ours]
    problems += [f"order {t}" for t, o in sorted(exchange.orders.items()) if t not in ours and o.status == "open"]
    return Check(name="no_foreign_activity", compared=len(exchange.trades), problems=tuple(problems))


def _oversell(exchange: ExchangeFacts) -> Check:
    """INV-7: resting sells of an asset never exceed its balance."""
    selling: dict[str, Decimal] = {}
    for order in exchange.orders.values():
        if order.status in ("open", "pending") and order.side == "sell":
            base = order.pair.split("/")[0]
            selling[base] = selling.get(base, ZERO) + order.quantity - order.filled
    problems = [
        f"{b}: {q} on sale, {exchange.balances.get(b, ZERO)} held" for b, q in sorted(selling.items()) if q > exchange.balances.get(b, ZERO)
    ]
    return Check(name="no_oversell", compared=len(selling), problems=tuple(problems))
