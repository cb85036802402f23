"""The twenty invariants of RELIABILITY section 8, each one function of a run's evidence that returns what is wrong.

They read the exchange's books and the ledger's file (`tests.chaos.evidence`), never the session's own opinion. What an act of
the plan found wrong on the spot (`Seen.breaches`) is added under the invariant's name.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal
from itertools import pairwise

from tests.chaos.evidence import Evidence, Row
from tests.chaos.exits import EXIT_S, exits
from tests.chaos.folds import Halted, Tokens, bar_of, bought_twice, guess, oversold, promised_away, sends_entry
from trader.domain.halts import MISMATCH, asset_of
from trader.domain.market import SECOND, Timeframe
from trader.domain.money import ZERO
from trader.execution.reconcile import RECOVERED

BARE_S = 5.0  # while every request of the order path is answered
HINDERED_BARE_S = 12.0  # where a fault of the order path, or the start of a life, fell into it: one lost request
SILENT_BEATS_S = 330.0  # longest pause between beats of one life: three beats and a time-out
TASKS = 120
Invariant = Callable[[Evidence], list[str]]


# --- exchange and ledger agree -------------------------------------------------------------------------------------------
def fills_equal(e: Evidence) -> list[str]:
    """INV-1: ledger fills are the exchange's trades of our orders: none more, none fewer, every field equal."""
    ours = e.ours()
    remote = {trade.trade_id: trade for trade in e.trades.values() if trade.txid in ours}
    local = {row["trade_id"]: row for row in e.fills if row["cl_ord_id"] is not None}
    found = [f"trade {i} of {remote[i].pair} is missing" for i in sorted(remote.keys() - local.keys())]
    found += [f"fill {i} is unknown to the exchange" for i in sorted(local.keys() - remote.keys())]
    for i in sorted(remote.keys() & local.keys()):
        for name in ("txid", "pair", "side", "price", "quantity", "cost", "fee"):
            told, stored = str(getattr(remote[i], name)), str(local[i][name])
            if told != stored and (name in ("txid", "pair", "side") or Decimal(told) != Decimal(stored)):
                found.append(f"fill {i}: {name} is {stored}, on the exchange {told}")
    return found


def intents_first(e: Evidence) -> list[str]:
    """INV-2: every order of ours on the exchange has a committed intent that is older."""
    known = {row["txid"]: row for row in e.intents if row["txid"]}
    found = []
    for txid, order in sorted(e.ours().items()):
        row = known.get(txid)
        if row is None:
            found.append(f"{order.ordertype} {txid} of {order.pair} has no intent")
        elif row["origin"] == "strategy" and row["created_us"] > order.opened_us and not e.skewed_stamp(order):
            found.append(f"{order.ordertype} {txid} of {order.pair} is older than its intent")
    return found


def nothing_guessed(e: Evidence) -> list[str]:
    """INV-3: REJECTED carries the words, ABSENT its proof and no order on the exchange, and in the end nothing is SENT."""
    standing = {order.cl_ord_id for order in e.orders.values() if order.cl_ord_id}
    found = []
    for row in e.intents:
        name = f"{row['leg']} {row['cl_ord_id']} of {row['pair']}"
        if row["outcome"] == "SENT":
            found.append(f"{name} is still SENT")
        elif why := guess(row["outcome"], row["answer"], json.loads(row["proof_json"] or "{}"), row["deadline_us"]):
            found.append(f"{name} is {why}")
        if row["outcome"] in ("REJECTED", "ABSENT") and row["cl_ord_id"] in standing:
            found.append(f"{name} is {row['outcome']}, and stands on the exchange")
    return found


def money_adds_up(e: Evidence) -> list[str]:
    """INV-4: the ledger agrees with itself and its journal; cash and coins are the exchange's, but for what others traded."""
    found = [f"{p.check} {p.row}: {p.detail}" for p in e.problems]
    expected = dict(e.cash)
    for row in e.positions:
        base = row["pair"].partition("/")[0]
        expected[base] = expected.get(base, ZERO) + Decimal(row["quantity"])
    foreign = _foreign(e)
    for asset, amount in foreign.items():
        expected[asset] = expected.get(asset, ZERO) + amount - _accepted(e, asset)
    for asset in sorted(expected.keys() | e.balances.keys()):
        if expected.get(asset, ZERO) != e.balances.get(asset, ZERO):
            found.append(f"{asset}: {expected.get(asset, ZERO)} in the ledger, {e.balances.get(asset, ZERO)} on the exchange")
    alarms = [row for row in e.halts if row["cause"].startswith(MISMATCH) and asset_of(row["cause"]) not in foreign]
    return found or [f"false alarm: {row['cause']} ({row['reason']})" for row in alarms]


def _foreign(e: Evidence) -> dict[str, Decimal]:
    """What others' trades on the account moved, by asset."""
    ours, moved = e.ours(), dict[str, Decimal]()
    for trade in e.trades.values():
        if trade.txid not in ours:
            base, _, quote = trade.pair.partition("/")
            sign = 1 if trade.side == "buy" else -1
            moved[base] = moved.get(base, ZERO) + sign * trade.quantity
            moved[quote] = moved.get(quote, ZERO) - sign * trade.cost - trade.fee
    return moved


def _accepted(e: Evidence, asset: str) -> Decimal:
    """How much of it a person has said to be right, so that the ledger has booked it."""
    moves = [line.payload for line in e.journal if line.type == "external_move"]
    return sum((Decimal(move["amount"]) for move in moves if move["asset"] == asset and move["kind"] != "opening"), ZERO)


def entered_once(e: Evidence) -> list[str]:
    """INV-5: one entry order at most per key on the exchange, whatever was lost on the way."""
    bars = Counter(bar_of(order) for order in e.ours().values() if order.side == "buy" and not e.skewed_stamp(order))
    found = bought_twice(bars)
    ids = Counter(order.cl_ord_id for order in e.orders.values() if order.cl_ord_id)
    found += [f"client id {name} stands {count} times" for name, count in sorted(ids.items()) if count > 1]
    keys = Counter(row["key"] for row in e.intents if row["leg"] == "entry")
    return found + [f"entry key {key} has {count} intents" for key, count in sorted(keys.items()) if count > 1]


# --- positions -------------------------------------------------------------------------------------------------------------
def protected(e: Evidence) -> list[str]:
    """INV-6: no holding is without stops of its size for longer than a lost request takes, and none is in the end but one that the
    ledger has written off as dust and that is below the exchange's minimum even then, so that no stop of it could stand.

    The clock restarts at a proof: a sale without an answer may have sold what a stop would hold, until it is proved absent.
    """
    found = []
    for pair, since, to in e.seen.bare:
        *proofs, _ = moments = [*_proofs(e, pair, since, to), to]
        for begin, end in pairwise([since, *moments]):
            if end - begin > (HINDERED_BARE_S * SECOND if end in proofs else bare_limit_us(e, pair, begin, end)):
                found.append(f"{pair} was bare for {(end - begin) / 1e6:.1f} s")
    written_off = {p["pair"] for p in e.positions if p["state"] == "DUST" and Decimal(p["quantity"]) < e.rules[p["pair"]].ordermin}
    return found + [f"{pair} is bare in the end" for pair in sorted(e.protection.unprotected.keys() - written_off)]


def _proofs(e: Evidence, pair: str, since: int, to: int) -> list[int]:
    """When a reducing order of the pair was proved absent within this span."""
    proved = (line for line in e.journal if line.type == "resolved" and since < line.time_us < to and line.payload["outcome"] == "ABSENT")
    return [line.time_us for line in proved if line.payload["pair"] == pair and line.payload["leg"] != "entry"]


def bare_limit_us(e: Evidence, pair: str, since: int, to: int) -> int:
    """How long a holding may be bare in this span."""
    hindered = any(one.concerns(pair) and one.since_us <= to and one.until_us >= since for one in e.seen.troubles)
    return int((HINDERED_BARE_S if hindered else BARE_S) * SECOND)


def never_oversold(e: Evidence) -> list[str]:
    """INV-7: resting sells never exceed what is held, no balance is below zero, live and unresolved reducers fit their position."""
    found = [f"{asset}: {amount}" for asset, amount in sorted(e.balances.items()) if amount < ZERO]
    found += oversold((order for order in e.orders.values() if order.live), e.balances)
    held = {row["position_id"]: Decimal(row["quantity"]) for row in e.positions}
    return found + promised_away((row for row in e.intents if row["leg"] != "entry" and _live(row)), held)


def exits_unhindered(e: Evidence) -> list[str]:
    """INV-8: while the exchange answers, a person's exit is done within seconds, whichever neighbour is down."""
    late = [one for one in exits(e) if one.done_us - one.clock_us > EXIT_S * SECOND]
    return [
        f"an exit asked for in {one.pair} took {(one.done_us - one.asked_us) / 1e6:.0f} s,"
        f" {(one.done_us - one.clock_us) / 1e6:.0f} s of them without an excuse"
        for one in late
    ]


# --- the process -------------------------------------------------------------------------------------------------------------
def one_holder(e: Evidence) -> list[str]:
    """INV-9: tokens grow by one, and every intent carries the newest at its commit."""
    tokens = Tokens()
    return [what for line in e.journal for what in tokens.read(line.type, line.payload)]


def in_time(e: Evidence) -> list[str]:
    """INV-10: no entry is sent on a candle more than two bars old, and no beat waits for ever."""
    found = []
    for row in e.intents:
        close = int(row["key"].split("|")[2])
        if row["leg"] == "entry" and row["created_us"] - close > 2 * Timeframe.M15.us:
            found.append(f"{row['pair']}: entered {(row['created_us'] - close) / 1e6:.0f} s after its candle")
    last: int | None = None
    for line in e.journal:
        if line.type in ("system.started", "system.stopped"):
            last = None
        elif line.type == "beat":
            gap = 0 if last is None else line.time_us - last
            if gap > SILENT_BEATS_S * SECOND and "T2" not in e.injected:
                found.append(f"no beat for {gap / 1e6:.0f} s")
            last = line.time_us
    return found


def converged(e: Evidence) -> list[str]:
    """INV-11: within three beats after the last fault a reconciliation has agreed, and the next one wrote nothing."""
    after = [line for line in e.journal if line.type == "reconcile" and line.time_us >= e.healed_us]
    if not after:
        return ["no reconciliation agreed after the faults had ended"]
    return [f"the last reconciliation found {after[-1].payload['differences']} differences"] if after[-1].payload["differences"] else []


def counted_high(e: Evidence) -> list[str]:
    """INV-12: our model of the exchange's counter is never below it."""
    return [f"ours {ours:.2f}, the exchange's {theirs:.2f}" for _, ours, theirs in e.seen.limiter[:5]]


def on_the_rules(e: Evidence) -> list[str]:
    """INV-13: every order of ours lies on tick and lot, above the minimum, and is a finite positive number."""
    found = []
    for txid, order in sorted(e.ours().items()):
        rules = e.rules[order.pair]
        prices = [price for price in (order.price, order.trigger) if price is not None]
        if any(not price.is_finite() or price <= 0 or price % rules.tick for price in prices):
            found.append(f"{txid} of {order.pair}: prices {prices} are not on the tick {rules.tick}")
        if order.volume % rules.lot or order.volume <= 0:
            found.append(f"{txid} of {order.pair}: volume {order.volume} is not on the lot {rules.lot}")
        elif order.volume < rules.ordermin and order.refid is None and "H14" not in e.injected and not order.amends:
            found.append(f"{txid} of {order.pair}: volume {order.volume} is below the minimum {rules.ordermin}")
    return found


def reconciled_first(e: Evidence) -> list[str]:
    """INV-14: no life sends an entry before its first reconciliation has agreed."""
    found, ready = [], False
    for line in e.journal:
        if line.type == "system.started":
            ready = False
        elif line.type == "reconcile":
            ready = True
        elif sends_entry(line.type, line.payload) and not ready:
            found.append(f"entry {line.payload['cl_ord_id']} in {line.payload['pair']} before the start was reconciled")
    return found


def bounded(e: Evidence) -> list[str]:
    """INV-15: tasks do not pile up."""
    return [f"{count} tasks in the end" for count in e.seen.tasks if count > TASKS]


def others_go_on(e: Evidence) -> list[str]:
    """INV-16: no task of the session fails by an error it did not expect, and in the end no pair but the faulty one is missing."""
    found = [
        f"task {line.payload['task']}: {line.payload['error']}"
        for line in e.journal
        if line.type == "task.failed" and not line.payload["error"].startswith(_expected(e))
    ]
    rows: dict[int, int] = {}  # close -> pairs; what was put off is decided on once more, by itself
    for line in e.journal:
        if line.type == "decisions":
            close_us = line.payload["close_us"]
            rows[close_us] = max(rows.get(close_us, 0), line.payload["rows"])
    if rows and rows[max(rows)] < max(rows.values()) - 1:
        found.append(f"{rows[max(rows)]} pairs are decided on in the end, {max(rows.values())} were")
    return found


EXPECTED = ("RetryableError", "FatalError", "LeaseLostError", "Killed", "CorruptError")
KEY_REFUSED = ("H9", "H17", "C3", "C4")  # rows under which the exchange refuses the key, and a session must end by it


def _expected(e: Evidence) -> tuple[str, ...]:
    """Errors by which a task may fail: trouble that passes, and what ends the session on purpose."""
    return (*EXPECTED, "AuthError") if e.injected.intersection(KEY_REFUSED) else EXPECTED


def only_smaller(e: Evidence) -> list[str]:
    """INV-17: an entry is the decision's own pair and side, never above its stake, and none against a veto. Of one that an older
    backup has forgotten the decision is forgotten too."""
    decisions = {f"{d['pair']}|{d['strategy']}|{d['close_us']}|{d['side']}": d for d in e.decisions if d["final"] == "ENTER"}
    found = []
    for row in e.intents:
        if row["leg"] != "entry" or row["reason"] == RECOVERED:
            continue
        decision = decisions.get(row["key"])
        if decision is None or (decision["pair"], decision["side"]) != (row["pair"], row["side"]):
            found.append(f"{row['side']} {row['pair']} was never decided: {row['key']}")
            continue
        worth = Decimal(row["quantity"]) * Decimal(row["limit_price"])
        if decision["stake"] is not None and worth > Decimal(decision["stake"]) * Decimal("1.02"):
            found.append(f"{row['pair']}: {worth} for a stake of {decision['stake']}")
        if e.ai and decision["ruling"] in ("VETO", "NO_VERDICT"):
            found.append(f"{row['pair']}: entered against {decision['ruling']}")
    return found


def halts_hold(e: Evidence) -> list[str]:
    """INV-18: no entry is begun while a halt of the account or of its assets is on, in the order of the journal."""
    halted = Halted()
    return [what for line in e.journal for what in halted.read(line.type, line.payload)]


def repeatable(e: Evidence) -> list[str]:
    """INV-19: the same seed gives the same journal and the same books."""
    if e.again is None or e.again == (e.journal_hash, e.books_hash):
        return []
    return [f"played again: journal {e.again[0][:12]} for {e.journal_hash[:12]}, books {e.again[1][:12]} for {e.books_hash[:12]}"]


def no_secret(e: Evidence) -> list[str]:
    """INV-20: the key's secret is in no log line and in no file the run wrote."""
    found = [f"a secret in {name}" for name, text in sorted(e.files.items()) if any(s.encode() in text for s in e.secrets)]
    return found + [f"a secret in a log line: {line[:40]}" for line in e.logs if any(s in line for s in e.secrets)]


INVARIANTS: Mapping[str, Invariant] = {
    f"INV-{number}": check
    for number, check in enumerate(
        (
            fills_equal, intents_first, nothing_guessed, money_adds_up, entered_once, protected, never_oversold, exits_unhindered,
            one_holder, in_time, converged, counted_high, on_the_rules, reconciled_first, bounded, others_go_on, only_smaller,
            halts_hold, repeatable, no_secret,
        ),
        start=1,
    )
}  # fmt: skip


def judge(e: Evidence, invariants: Mapping[str, Invariant] = INVARIANTS) -> dict[str, list[str]]:
    """Invariant -> what is wrong, for those that do not hold."""
    found = {name: [*check(e), *e.seen.breaches.get(name, ())] for name, check in invariants.items()}
    return {name: problems for name, problems in found.items() if problems}


# --- helpers -------------------------------------------------------------------------------------------------------------
def _live(row: Row) -> bool:
    return row["outcome"] == "SENT" or (row["outcome"] == "ACKED" and row["status"] in (None, "pending", "open"))
