"""The AI's rulings of a day, held against the raw replies they came from: the cassette of that day, parsed and ruled on anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from trader.bootstrap.paths import Paths
from trader.data.verdicts import SqliteVerdictStore
from trader.domain.verdicts import AskOutcome, Lookup, Ruling
from trader.execution.thresholds import ruling_at
from trader.gemini.cassette import Heard, recorded
from trader.gemini.replay import reply_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """`checked`: rulings whose reply is stored; `lost`: those whose reply is not, past retention for instance; `differences`: rows as
    those of a replay's legs."""

    checked: int = 0
    lost: int = 0
    differences: tuple[Mapping[str, str], ...] = ()


def hold(paths: Paths, used: Iterable[Mapping[str, Any]]) -> Held:
    """What the replies say of each verdict the book used, by the parser and the thresholds of now. `used`: rows of the journal."""
    rows = [row for row in used if row["lookup"] == Lookup.HIT]
    calls = _calls(paths, {str(row["verdict_id"]).partition("-")[0] for row in rows})
    checked, differences = 0, []
    for row in rows:
        call_id, _, name = str(row["verdict_id"]).partition("-")
        call = calls.get(call_id)
        if call is None or name not in call.keys:
            continue
        checked += 1
        anew, then = _ruled(call, name, float(row["tau"])), f"{row['ruling']} at {row['p_loss']}"
        if anew != then:
            differences.append(
                {"leg": str(row["decision_id"]), "field": "ruling", "replay": anew, "ledger": then, "why": "by the raw reply of the AI"}
            )
    return Held(checked=checked, lost=len(rows) - checked, differences=tuple(differences))


def _ruled(call: Heard, name: str, tau: float) -> str:
    answer = reply_of(call).answers[name]
    usable = answer.outcome is AskOutcome.OK and answer.p_loss is not None
    return f"{ruling_at(answer.p_loss or 0.0, tau) if usable else Ruling.DEFER} at {answer.p_loss}"


def _calls(paths: Paths, ids: set[str]) -> dict[str, Heard]:
    """Those of the calls whose bodies are still stored."""
    if not ids or not paths.ai.exists():
        return {}
    store = SqliteVerdictStore(paths.ai, read_only=True)
    try:
        return {call.call_id: call for call in recorded(str(paths.ai), store.named(sorted(ids))).calls}
    finally:
        store.close()
