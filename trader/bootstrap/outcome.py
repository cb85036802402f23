"""The object that `trader demo --json` prints: what happened, and which invariants hold.

Figures about protection come from the exchange's own books, figures about the account from the ledger file, and whether
both agree from the independent checker: never from the session's memory.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from trader.bootstrap.paths import Paths
from trader.bootstrap.verification import verify_state
from trader.bootstrap.world import World
from trader.config import Settings
from trader.data.reader import ALL, LedgerReader
from trader.domain.money import ZERO, plain
from trader.domain.orders import Leg
from trader.ports import SessionSummary
from trader.simulation.exchange_account import ProtectionReport

MAX_UNPROTECTED_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is known at the end of a demo."""

    summary: SessionSummary
    twin: ProtectionReport
    ended_us: int
    first_ready_us: int
    journal: str


def describe(settings: Settings, world: World, paths: Paths, outcome: Outcome, *, wall_s: float) -> dict[str, Any]:
    """Plain values, JSON-ready; money as strings."""
    summary, twin = outcome.summary, outcome.twin
    with closing(LedgerReader(paths.ledger_at)) as reader:
        figures = _figures(reader, world)
    verdict = verify_state(paths.root)
    unprotected_s = round(twin.max_unprotected_us / 1e6, 3)
    invariants = {
        "protected": unprotected_s <= MAX_UNPROTECTED_S and not twin.unprotected,
        "one_order_per_entry": figures["entries"] == figures["entry_keys"],
        **{name: check["ok"] for name, check in verdict["checks"].items()},
        "tasks_healthy": figures["failed_tasks"] == 0,
    }
    return {
        "environment": settings.environment,
        "market": f"replay of {world.replay.rsplit('/', 1)[-1]}" if world.replay else "synthetic, no planted edge",
        "ai": f"{settings.ai.mode}, scripted stand-in, not AI",
        "seed": world.seed,
        "strategy": f"{settings.mode}/{settings.variation}",
        "profile": settings.profile,
        "pairs": summary.ready_pairs,
        "beats": summary.beats,
        "candles": summary.candles,
        "decisions": summary.decisions,
        "refusals": dict(sorted(summary.refusals.items())),
        "signals": summary.signals,
        "verdicts": {name: summary.verdicts.get(name, 0) for name in ("allow", "shrink", "veto", "defer")},
        "orders": figures["orders"],
        "fills": figures["fills"],
        "trades": figures["trades"],
        "exits": figures["exits"],
        "open_positions": figures["open_positions"],
        "unprotected_positions": len(twin.unprotected),
        "max_unprotected_s": unprotected_s,
        "blocked_pairs": dict(sorted(summary.blocked_pairs.items())),
        "realised_pnl": figures["realised_pnl"],
        "fees": figures["fees"],
        "equity_start": figures["equity_start"],
        "equity_end": figures["equity_end"],
        "reconcile_differences": summary.differences,
        "ledger_matches_exchange": verdict["ok"],
        "compared": {name: check["compared"] for name, check in verdict["checks"].items()},
        "problems": {name: check["problems"] for name, check in verdict["checks"].items() if check["problems"]},
        "invariants": invariants,
        "journal": outcome.journal,
        "wall_s": wall_s,
    }


def _figures(reader: LedgerReader, world: World) -> dict[str, Any]:
    """Counts and sums from the ledger file."""
    legs = reader.trades(limit=ALL)
    orders = reader.orders(limit=ALL)
    entries = [order for order in orders if order.intent.leg is Leg.ENTRY]
    equity = reader.equity()
    exits: dict[str, int] = {}
    for leg in legs:
        exits[leg.reason] = exits.get(leg.reason, 0) + 1
    start = Decimal(world.cash)
    realised, fees = ZERO, ZERO
    for leg in legs:
        realised, fees = realised + leg.net, fees + leg.fee
    return {
        "orders": len(orders),
        "entries": len(entries),
        "entry_keys": len({order.intent.key for order in entries}),
        "fills": len(reader.fills(limit=ALL)),
        "trades": reader.totals().trades,
        "exits": dict(sorted(exits.items())),
        "open_positions": len(reader.positions()),
        "realised_pnl": plain(realised),
        "fees": plain(fees),
        "equity_start": plain(start),
        "equity_end": plain(equity[-1].equity) if equity else plain(start),
        "failed_tasks": len([e for e in reader.events(limit=ALL) if e.type == "task.failed"]),
    }
