"""Invariants that are told line by line, or order by order: one reading of each, for a whole run and for what a beat has brought."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from trader.domain.market import SECOND, Timeframe
from trader.domain.money import ZERO
from trader.simulation.exchange_orders import TwinOrder

Payload = Mapping[str, Any]


def sends_entry(type_: str, payload: Payload) -> bool:
    """Whether a journal line begins an entry; one that an older backup had forgotten is only written down again."""
    return type_ == "intent" and payload["leg"] == "entry" and not payload.get("recalled")


@dataclass(slots=True)
class Tokens:
    """INV-9: tokens grow by one, and an intent carries the newest. `newest` is None where it is to be learnt from the next line."""

    newest: int | None = 0
    free: bool = True

    def read(self, type_: str, payload: Payload) -> Iterator[str]:
        if type_ == "lease.acquired":
            if self.newest is not None and payload["token"] != self.newest + 1:
                yield f"token {payload['token']} after {self.newest}"
            self.newest, self.free = payload["token"], False
        elif type_ == "lease.released":
            self.free = True
        elif type_ == "intent" and payload.get("recalled"):  # begun where the ledger took no writes, by a holder that it did not see
            self.newest = max(self.newest or 0, payload["token"])
        elif type_ == "intent" and (self.free or payload["token"] != self.newest):
            yield f"intent {payload['cl_ord_id']} carries token {payload['token']}, the newest is {self.newest}"


@dataclass(slots=True)
class Halted:
    """INV-18: no entry is begun while a halt of the account or of its assets is on. `on`: causes."""

    on: dict[str, None] = field(default_factory=dict)

    def read(self, type_: str, payload: Payload) -> Iterator[str]:
        if type_ == "halt.set":
            self.on[payload["cause"]] = None
        elif type_ == "halt.cleared":
            self.on.pop(payload["cause"], None)
        elif sends_entry(type_, payload):
            pair = payload["pair"]
            if halting := [cause for cause in self.on if " " not in cause or cause.partition(" ")[2] in pair.split("/")]:
                yield f"entry {payload['cl_ord_id']} in {pair} while halted by {', '.join(halting)}"


def guess(outcome: str, answer: str, proof: Payload, deadline_us: int) -> str:
    """INV-3: what an outcome rests on, where that is no word of the exchange and no proof; empty where it is."""
    if outcome == "REJECTED" and not answer:
        return "REJECTED without a word"
    if outcome == "ABSENT":
        passes, late = proof.get("passes_us", []), proof.get("late", False)
        if len(passes) < 2 or passes[-1] - passes[0] < SECOND or (passes[0] <= deadline_us and not late):
            return f"ABSENT on {dict(proof) or 'no proof'}"
    return ""


def bought_twice(bars: Mapping[tuple[str, int], int]) -> list[str]:
    """INV-5: pairs of which the exchange took more than one entry within a bar."""
    return [
        f"{pair} was bought {bars[pair, bar]} times in one bar" for pair, bar in sorted(bar for bar, count in bars.items() if count > 1)
    ]


def bar_of(order: TwinOrder) -> tuple[str, int]:
    """The pair and the bar of an entry."""
    return order.pair, Timeframe.M15.floor(order.opened_us)


def oversold(live: Iterable[TwinOrder], balances: Mapping[str, Decimal]) -> list[str]:
    """INV-7 on the exchange: coins of which more is on sale than is held."""
    selling: dict[str, Decimal] = {}
    for order in live:
        if order.side == "sell":
            base = order.pair.partition("/")[0]
            selling[base] = selling.get(base, ZERO) + order.remaining
    return [f"{b}: {q} on sale, {balances.get(b, ZERO)} held" for b, q in sorted(selling.items()) if q > balances.get(b, ZERO)]


def promised_away(reducers: Iterable[Payload], held: Mapping[str, Decimal]) -> list[str]:
    """INV-7 in the ledger: positions of which live and unresolved orders would sell more than is held."""
    promised: dict[str, Decimal] = {}
    for row in reducers:
        promised[row["position_id"]] = promised.get(row["position_id"], ZERO) + Decimal(row["quantity"]) - Decimal(row["filled"])
    return [f"position {p}: {q} promised, {held.get(p, ZERO)} held" for p, q in sorted(promised.items()) if q > held.get(p, ZERO)]
