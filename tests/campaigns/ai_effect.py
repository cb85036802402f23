"""What the AI can do to a session, and what it cannot: `python -m tests.campaigns.ai_effect [--edition full|small] [--planted KIND]`.

Entries. A day of the demo market in veto mode, with every ruling and every reason to have none, drawn by hash. At each review the same
candidates are judged a second time, in the same state, without the AI. Each entry that leaves must be one of those without AI, none
larger, dearer or with another stop; the one exception is a place that the AI left free a moment before in the same review.

Exits. Sessions in which the AI allows about two of three pairs and fails at every other look-up: it raises, the provider hangs, the worker
is gone, the breaker is open. No entry may leave in a pair it fails at, and every exit leg must be, line for line, that of the same session
with the AI off and those pairs not entered.

Exit code 1 on a difference and below the edition's counts. `--planted larger` lets the AI enlarge, `--planted exit` lets a broken look-up
end the session: the campaign must turn red.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from tests.ai_kit import ALLOWED, SaidBook, live
from tests.session_kit import PAIRS, Stage
from trader.bootstrap.world import World, world_of
from trader.config import Settings, load
from trader.domain.market import MINUTE
from trader.domain.messages import Refusal
from trader.domain.verdicts import Lookup, Ruling, RulingResult, VerdictKey
from trader.execution import asking, close
from trader.execution.risk import Approved, Candidate, Deferred, Refused, Reviewed, review
from trader.execution.thresholds import SHRINK_FACTOR
from trader.simulation.exchange_orders import unit_hash

ROOM = frozenset({
    Refusal.MAX_POSITIONS, Refusal.MAX_NEW_PER_BAR, Refusal.CASH, Refusal.EXPOSURE, Refusal.CORRELATED, Refusal.MIN_NOTIONAL,
    Refusal.DEEP_CHECK,
})  # fmt: skip
"""What a candidate may have been refused for without the AI, and no longer is where the AI held another one back."""
FAILURES: dict[str, str] = {"raises": "ok", "hangs": "ok", "no worker": "NO_WORKER", "breaker": "BREAKER"}
"""How the AI fails, and the state of its link then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """Pairs and minutes of the day of entries and the fewest that must leave and be held back; seeds and minutes of the sessions about
    exits, and the fewest exit legs beside each failure."""

    pairs: int
    day: int
    entries: int
    held_back: int
    seeds: tuple[int, ...]
    minutes: int
    exits: int
    failures: tuple[str, ...] = tuple(FAILURES)


EDITIONS = {
    "full": Edition(pairs=150, day=1_440, entries=10, held_back=30, seeds=(1, 2, 3, 5, 7, 11, 13), minutes=1_440, exits=20),
    "small": Edition(pairs=8, day=120, entries=2, held_back=3, seeds=(3,), minutes=200, exits=2, failures=("raises", "hangs")),
}


# --- entries ----------------------------------------------------------------------------------------------------------------
@dataclass(slots=True, kw_only=True)
class Witness:
    """Judges each review a second time without the AI. `freed`: entries that took a place the AI had left free."""

    reviews: int = 0
    entries: int = 0
    shrunk: int = 0
    freed: int = 0
    held_back: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def review(self, *given: Any, **named: Any) -> tuple[Reviewed, ...]:
        """In place of `trader.execution.risk.review`."""
        with_ai, without = review(*given, **named), review(*given, **named | {"rule": None})
        others, held_back = {one.decision.pair: one for one in without}, 0
        self.reviews += 1
        for one in with_ai:
            if isinstance(one, Approved):
                self.entries += 1
                self.wrong += self._judged(one, others.get(one.decision.pair), held_back)
            elif one.ruling is not None:
                self.held_back[f"{one.ruling.ruling} {one.ruling.lookup}"] += 1
            held_back += isinstance(one, Deferred) or (isinstance(one, Refused) and one.code is Refusal.AI_VETO) or _shrunk(one)
        return with_ai

    def _judged(self, one: Approved, other: Reviewed | None, held_back: int) -> list[str]:
        """What is wrong with an entry, beside what became of the same candidate without the AI."""
        name, self.shrunk = f"{one.decision.pair} at {one.decision.close_us}", self.shrunk + _shrunk(one)
        if isinstance(other, Approved):
            same = (one.cap_price, one.stop_trigger, one.plan) == (other.cap_price, other.stop_trigger, other.plan)
            larger = not held_back and (one.quantity > other.quantity or one.stake > other.stake)
            return [f"{name}: larger or at other prices than without the AI"] if larger or not same else []
        self.freed += 1
        free = isinstance(other, Refused) and other.code in ROOM and held_back
        return [] if free else [f"{name}: no entry without the AI ({other.code if isinstance(other, Refused) else 'unknown'})"]


def _shrunk(one: Reviewed) -> bool:
    return one.ruling is not None and one.ruling.ruling is Ruling.SHRINK


def drawn(factor: float) -> Callable[[VerdictKey, int], RulingResult]:
    """Every ruling, and every reason to have none, by a hash of pair and minute; `factor`: of a stake that is shrunk."""
    doubts = [RulingResult(ruling=Ruling.DEFER, lookup=one) for one in Lookup if one is not Lookup.HIT]
    halved = RulingResult(ruling=Ruling.SHRINK, lookup=Lookup.HIT, p_loss=0.35, factor=factor)
    choices = [ALLOWED] * 3 + [halved] * 3 + [RulingResult(ruling=Ruling.VETO, lookup=Lookup.HIT, p_loss=0.9)] * 3 + doubts
    return lambda key, now_us: choices[int(unit_hash("drawn", key.pair, now_us // MINUTE) * len(choices))]


def entries(edition: Edition, *, planted: bool) -> dict[str, Any]:
    """The day of entries; its line."""
    if edition.pairs == PAIRS:
        settings, world = _small(edition.seeds[0])
    else:
        settings = load({"market.pairs": edition.pairs, "universe": edition.pairs, "market.seed": 12, "ai.mode": "veto"}, environ={})
        world = world_of(settings)
    witness = Witness()
    with mock.patch.object(close, "review", witness.review):
        live(settings, world, minutes=edition.day, book=SaidBook(drawn(1.5 if planted else SHRINK_FACTOR)))
    back = witness.held_back.total()
    lacking = [f"{witness.entries} entries of {edition.entries}"] if witness.entries < edition.entries else []
    lacking += [f"{back} held back of {edition.held_back}"] if back < edition.held_back else []
    return {
        "entries": witness.entries, "shrunk": witness.shrunk, "in_a_place_left_free": witness.freed, "held_back": dict(witness.held_back),
        "reviews": witness.reviews, "wrong": witness.wrong, "lacking": lacking,
    }  # fmt: skip


# --- exits ------------------------------------------------------------------------------------------------------------------
def good(pair: str) -> bool:
    """Whether the AI has verdicts on this pair: on about two of three."""
    return unit_hash("good", pair) < 0.7


def failing(how: str, met: Counter[str]) -> Callable[[VerdictKey, int], RulingResult]:
    """Verdicts on the good pairs, none on the others; `met` counts the look-ups that failed."""

    def said(key: VerdictKey, _now_us: int) -> RulingResult:
        if good(key.pair):
            return ALLOWED
        met[how] += 1
        if how == "raises":
            raise ArithmeticError("planted")
        return RulingResult(ruling=Ruling.DEFER, lookup={"hangs": Lookup.MISS, "no worker": Lookup.NO_WORKER}.get(how, Lookup.BREAKER))

    return said


def only_good(candidates: Sequence[Candidate], *given: Any, **named: Any) -> tuple[Reviewed, ...]:
    """In place of `review` with the AI off: the other pairs are no candidates."""
    return review([one for one in candidates if good(one.decision.pair)], *given, **named)


def exits(edition: Edition, *, planted: bool) -> list[dict[str, Any]]:
    """The sessions about exits: a line for each way to fail, over all seeds."""
    met: Counter[str] = Counter()
    told = {how: {"failure": how, "exits": 0, "differing": 0, "wrongly_entered": 0} for how in edition.failures}
    for seed in edition.seeds:
        settings, world = _small(seed)
        with mock.patch.object(close, "review", only_good):
            off = live(_mode(settings, "off"), world, minutes=edition.minutes)
        for how in edition.failures:
            row: dict[str, Any] = told[how]
            with mock.patch.object(asking, "unruled", _end if planted else asking.unruled):
                lived = live(settings, world, minutes=edition.minutes, book=SaidBook(failing(how, met)), state=FAILURES[how])
            row["exits"] += len(off.exits)
            row["differing"] += len(set(lived.exits) ^ set(off.exits)) + (len(lived.exits) != len(off.exits))
            row["wrongly_entered"] += sum(not good(pair) for pair in lived.entered)
    rows = list(told.values())
    for row in rows:
        row["failed_lookups"] = met[row["failure"]]
        row["lacking"] = [f"{row['exits']} exits of {edition.exits}"] if row["exits"] < edition.exits else []
        row["lacking"] += [] if row["failed_lookups"] else ["no look-up failed"]
    return rows


def _end(_mode: Any) -> Any:
    raise ArithmeticError("the look-up broke, and the session with it")


def _small(seed: int) -> tuple[Settings, World]:
    """Eight pairs before their liveliest hour, in veto mode."""
    stage = Stage.of(seed)
    return _mode(stage.settings, "veto"), stage.world


def _mode(settings: Settings, mode: str) -> Settings:
    return settings.model_copy(update={"ai": settings.ai.model_copy(update={"mode": mode})})


def main(arguments: list[str] | None = None) -> int:
    """Run both; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.ai_effect", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--edition", choices=tuple(EDITIONS), default="full")
    parser.add_argument("--planted", choices=("larger", "exit"), help="break a rule: must turn red")
    asked = parser.parse_args(arguments)
    edition = EDITIONS[asked.edition]
    first = entries(edition, planted=asked.planted == "larger")
    print(json.dumps({"entries": first}), flush=True)
    rows = exits(edition, planted=asked.planted == "exit")
    for row in rows:
        print(json.dumps({"exits": row}), flush=True)
    bad = first["wrong"] or first["lacking"] or any(row["differing"] or row["wrongly_entered"] or row["lacking"] for row in rows)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
