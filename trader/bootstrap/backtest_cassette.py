"""What a backtest says of the cassette that answered for the AI: whose answers they are, how they ruled, and what they may have known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from trader.bootstrap.cassettes import Tape
from trader.bootstrap.replay import Replayed
from trader.bootstrap.world import moment
from trader.domain.messages import Refusal, stamp
from trader.domain.money import ZERO, plain
from trader.reporting.analytics import Trade
from trader.research.account import Pass

SCRIPTED = "scripted stand-in, not AI"
UNASKED = frozenset(
    map(
        str,
        (
            Refusal.NOT_READY,
            Refusal.NO_SIGNAL,
            Refusal.H4_BEARISH,
            Refusal.SCORE_LOW,
            Refusal.FALLING_KNIFE,
            Refusal.QUIET_MARKET,
            Refusal.TARGET_BELOW_COST,
        ),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """A session that was played with a cassette. `cutoffs`: model -> end of its training data, as the settings say."""

    tape: Tape
    played: Replayed
    cutoffs: Mapping[str, str]


def pass_of(played: Replayed, end_us: int) -> Pass:
    """The session's account up to `end_us`, in the words of the kernel's pass."""
    return Pass(
        legs=tuple(leg for leg in played.legs if leg.exit_us <= end_us),
        equity=tuple(row for row in played.equity if row.time_us <= end_us), open=tuple(sorted({*played.positions.values()})),
        held=tuple(played.positions), signals=played.summary.signals, refusals=_of_signals(played.summary.refusals), halted=played.halts,
    )  # fmt: skip


def _of_signals(refusals: Mapping[str, int]) -> dict[str, int]:
    """Refusals of candles that asked for an entry; a session counts those that did not among them."""
    return {code: count for code, count in sorted(refusals.items()) if code not in UNASKED}


def told(confirmed: Confirmed, trades: Sequence[Trade]) -> dict[str, Any]:
    """JSON-ready."""
    tape = confirmed.tape
    provider, model = tape.source()
    calls = tape.cassette.calls
    scripted = [call.is_twin for call in calls]
    return {
        "file": tape.cassette.name, "sha256": tape.cassette.sha256, "provider": provider, "model": model,
        "label": SCRIPTED if any(scripted) else "", "calls": len(calls), "answers": sum(len(call.keys) for call in calls),
        "miss": tape.miss.value, "asked": tape.asked, "missed": tape.missed, "rulings": dict(confirmed.played.summary.verdicts),
        "look_ahead": look_ahead("" if all(scripted) else model, confirmed.cutoffs, trades),
    }  # fmt: skip


def look_ahead(model: str, cutoffs: Mapping[str, str], trades: Sequence[Trade]) -> dict[str, Any]:
    """Trades that the model may remember, because they were entered before its training data ends, apart from those after it.

    `model` "": a script, which remembers nothing. Where the end is not known, all trades are at risk.
    """
    known = cutoffs.get(model)
    cutoff = moment(known) if known else None
    late = list(trades) if not model else [trade for trade in trades if cutoff is not None and trade.entry_us >= cutoff]
    early = [trade for trade in trades if trade not in late]
    return {
        "cutoff": None if cutoff is None else stamp(cutoff), "at_risk": len(early), "at_risk_net": plain(_net(early)), "after": len(late),
        "after_net": plain(_net(late)),
    }  # fmt: skip


def _net(trades: Sequence[Trade]) -> Decimal:
    return sum((trade.net for trade in trades), ZERO)


def warnings(told: Mapping[str, Any]) -> list[str]:
    """What a reader must know of the answers, each one sentence."""
    risk = told["look_ahead"]
    found = [f"The AI's part was played by cassette {told['sha256'][:12]}: what {told['model']} answered when it was recorded."]
    if told["label"]:
        found.append(f"These answers came from a {told['label']}: they say nothing of a model's skill.")
    elif risk["cutoff"] is None:
        found.append(
            f"Look-ahead risk: ai.training_cutoff does not say when the training data of {told['model']} ends, so it may know "
            "every trade here."
        )
    elif risk["at_risk"]:
        found.append(
            f"Look-ahead risk: {risk['at_risk']} trades (net {risk['at_risk_net']}) were entered before the training data of "
            f"{told['model']} ends ({risk['cutoff'][:10]}), which may know them; the {risk['after']} after it made {risk['after_net']}."
        )
    if told["missed"]:
        found.append(f"{told['missed']} of {told['asked']} questions were not on the cassette and brought no verdict.")
    return found
