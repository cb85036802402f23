"""What the night does with a day that is over: close its books, judge the data, replay it, sum it up, tell people.

Each step reads the stores and returns plain values; the record of the night (`bootstrap.nights`) keeps them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from trader.bootstrap import nights
from trader.bootstrap.data_desk import audit as audit_candles
from trader.bootstrap.day_replay import replay_day
from trader.bootstrap.nights import DONE, FAILED, Night, Step
from trader.bootstrap.notices import post_notice
from trader.bootstrap.past_day import day_name
from trader.bootstrap.paths import Paths
from trader.bootstrap.promotion import active
from trader.bootstrap.state_time import now_of
from trader.bootstrap.world import World
from trader.config import Settings
from trader.data.audit import audit as audit_ledger
from trader.data.engine import exists
from trader.data.ledger_copy import as_file
from trader.data.reader import ALL, LedgerReader
from trader.domain.market import DAY
from trader.domain.messages import stamp
from trader.domain.money import ZERO, add, plain, sub
from trader.domain.orders import Outcome
from trader.errors import ConfigError
from trader.ports import EquityRow
from trader.reporting import charts
from trader.reporting import night as words
from trader.reporting.analytics import Trade, trade_figures, trades_of
from trader.simulation.clock import wall_clock

BOOKS, DATA, REPLAY, FIGURES, AI = words.BOOKS, words.DATA, words.REPLAY, words.FIGURES, words.AI
SUGGEST = words.SUGGEST
PAGE, MESSAGE = "publish", "tell people"
STEPS = (BOOKS, DATA, REPLAY, FIGURES, AI, SUGGEST, PAGE, MESSAGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class NightReport:
    """A night in words: one line, the lines of its message, and its page around pictures; differences as rows."""

    headline: str
    lines: tuple[str, ...]
    night: Night

    @property
    def sound(self) -> bool:
        """Whether nothing needs a person: no step failed, books and data hold, and the replay does not differ (unknown is no alarm)."""
        books, data, played = (self.night.found(name) for name in (BOOKS, DATA, REPLAY))
        wrong = any(books.get(name) for name in ("problems", "unresolved_now", "without_stop_now"))
        return not (self.night.failures or wrong or not data.get("ok", True) or played.get("verdict") == "DIFFERENT")

    def markdown(self, pictures: Sequence[str]) -> str:
        """The page with the pictures as the caller embeds them."""
        return words.markdown(self.night.day, {name: step.found for name, step in self.night.steps.items()}, self.night.failures, pictures)

    @property
    def differences(self) -> list[dict[str, str]]:
        """Every difference of the replay, by name."""
        return [dict(row) for row in self.night.found(REPLAY).get("differences", ())]


# --- the record -----------------------------------------------------------------------------------------------------------
def begin(settings: Settings, day: str | None, *, again: bool = False) -> Night | None:
    """The night of `day` (None: the day before the exchange's today) with what is done of it; `again`: nothing is.

    None where no session had run by the end of that day. Raises ConfigError for a day that is not over.
    """
    paths = Paths(settings.state)
    now = _now(settings, paths)
    day_us = now // DAY * DAY - DAY if day is None else nights.day_of(day)
    _must_be_over(day_us, now)
    if not _ran_by(paths, day_us + DAY):
        return None
    night = Night(day=day_name(day_us)) if again else nights.load(paths.nights, day_name(day_us))
    nights.save(paths.nights, night)
    return night


def check_day(settings: Settings, day: str) -> None:
    """Raises ConfigError for a day that is none or not over, before anything is started for it."""
    _must_be_over(nights.day_of(day), _now(settings, Paths(settings.state)))


def _must_be_over(day_us: int, now_us: int) -> None:
    if day_us + DAY > now_us:
        raise ConfigError(f"day {day_name(day_us)} is not over: the exchange's time is {stamp(now_us)}")


def _now(settings: Settings, paths: Paths) -> int:
    """The exchange's time; of a demo that does not run, the newest moment in its ledger."""
    return now_of(paths) if settings.environment == "demo" else wall_clock().now_us()


def _ran_by(paths: Paths, end_us: int) -> bool:
    if not exists(paths.ledger_at):
        return False
    with closing(LedgerReader(paths.ledger_at)) as reader:
        return bool(reader.events_of(("system.started",), until_us=end_us))


def keep(settings: Settings, day: str, step: str, found: Mapping[str, Any] | None, error: str = "") -> Night:
    """Write down how a step ended."""
    paths = Paths(settings.state)
    night = nights.load(paths.nights, day)
    at = stamp(_now(settings, paths))
    night.steps[step] = Step(state=DONE if found is not None else FAILED, at=at, found=dict(found or {}), error=error)
    nights.save(paths.nights, night)
    return night


def recorded(settings: Settings, day: str) -> Night:
    """The record as it stands."""
    return nights.load(Paths(settings.state).nights, day)


# --- steps ----------------------------------------------------------------------------------------------------------------
def close_books(settings: Settings, day: str) -> dict[str, Any]:
    """The day's account: equity and cash at both ends, what the session's reconciliations found, and the ledger's own audit."""
    paths, start = Paths(settings.state), nights.day_of(day)
    end = start + DAY
    with as_file(paths.ledger_at) as file:
        facts = audit_ledger(file)
    with closing(LedgerReader(paths.ledger_at)) as reader:
        rows = reader.equity()
        legs = reader.trades(limit=ALL, since_us=start)
        checks = reader.events_of(("reconcile",), since_us=start, until_us=end)
        halts = [
            f"{event.payload['cause']}: {event.payload['reason']}"
            for event in reader.events_of(("halt.set",), since_us=start, until_us=end)
        ]
        held, live = reader.positions(), [o.intent for o in reader.orders(ALL, live_only=True)]
    before, inside = [r for r in rows if r.time_us < start], [r for r in rows if start <= r.time_us < end]
    of_day = [leg for leg in legs if leg.exit_us < end]
    return {
        "quote": _quote(settings, paths), "opened": _money(before[-1:] or inside[:1]), "closed": _money(inside[-1:]),
        "change": _change(before[-1:] or inside[:1], inside[-1:]), "realised": plain(add(ZERO, *(leg.net for leg in of_day))),
        "fees": plain(add(ZERO, *(leg.fee for leg in of_day))), "legs": len(of_day), "beats": len(inside),
        "reconciliations": len(checks), "differences": sum(int(check.payload.get("differences", 0)) for check in checks),
        "halts": halts, "open_now": len(held), "without_stop_now": [p.position.pair for p in held if p.stop_state == "missing"],
        "unresolved_now": [intent.cl_ord_id for intent in live if intent.outcome is Outcome.SENT],
        "rows_audited": sum(facts.counts.values()),
        "problems": [f"{p.check} {p.row}: {p.detail}" for p in facts.problems[:20]],
    }  # fmt: skip


def audit_data(settings: Settings) -> dict[str, Any]:
    """Everything stored, judged by Great Expectations; what is critical is set aside and blocks its pair."""
    found = audit_candles(settings.state)
    return {**found, "failures": found["failures"][:50], "failed": len(found["failures"])}


def replay(settings: Settings, day: str, progress: Callable[[str], None] | None = None) -> dict[str, Any]:
    """The day played again, with the strategy in use, and compared with the ledger (`bootstrap.day_replay`)."""
    return asdict(replay_day(active(settings), nights.day_of(day), progress))


def sum_up(settings: Settings, day: str) -> dict[str, Any]:
    """Figures of the trades closed on the day, in the seven days up to it, and ever; what reasons, AI and evidence came to."""
    start = nights.day_of(day)
    with closing(LedgerReader(Paths(settings.state).ledger_at)) as reader:
        held = {p.position.position_id for p in reader.positions()}
        trades = [t for t in trades_of(reader.trades(limit=ALL), held) if t.exit_us < start + DAY]
        decisions = {d.decision_id: d for d in reader.decisions(limit=ALL)}
        keys = reader.entry_keys()
        refusals = reader.refusals(start)
    spans = {"day": start, "7 days": start - 6 * DAY, "all": 0}
    of_day = [t for t in trades if t.exit_us >= start]
    made = [(t, decisions[key]) for t in trades if (key := keys.get(t.position_id)) in decisions]
    return {
        "spans": {name: words.plain_figures(trade_figures([t for t in trades if t.exit_us >= since])) for name, since in spans.items()},
        "trades": [_trade(t) for t in of_day], "reasons": words.grouped([(t.reason, t) for t in of_day]),
        "pairs": words.grouped([(t.pair, t) for t in of_day]),
        "rulings": words.grouped([(d.ruling or "not asked", t) for t, d in made]),
        "evidence": words.grouped([(point.name, t) for t, d in made for point in d.points if point.value]),
        "refusals": dict(refusals),
    }  # fmt: skip


def told(settings: Settings, day: str) -> NightReport:
    """What the steps so far found, in words."""
    night = recorded(settings, day)
    found = {name: night.found(name) for name in STEPS}
    return NightReport(
        headline=words.headline(day, found, night.failures), lines=tuple(words.lines(found, night.failures)), night=night
    )  # fmt: skip


def draw(settings: Settings, report: NightReport) -> list[tuple[bytes, str]]:
    """The pictures of its page, each with the words for those who do not see it: the day's equity, and what each trade came to."""
    paths, start = Paths(settings.state), nights.day_of(report.night.day)
    with closing(LedgerReader(paths.ledger_at)) as reader:
        rows = [row for row in reader.equity(start) if row.time_us < start + DAY]
    quote, pictures = _quote(settings, paths), []
    if rows:
        pictures.append((charts.png(charts.equity(rows, quote, points=600), scale=1.5), charts.equity_words(rows, quote)))
    if trades := report.night.found(FIGURES).get("trades"):
        pictures.append((charts.png(charts.trades(trades, quote), scale=1.5), charts.trades_words(trades, quote)))
    return pictures


def tell(settings: Settings, day: str) -> dict[str, Any]:
    """The night's message, and an alarm where the replay differs; each is stored once a day, however often the night is run."""
    report = told(settings, day)
    played = report.night.found(REPLAY)
    if played.get("verdict") == "DIFFERENT":
        alarm = {"day": day, "count": len(played["differences"]), "first": played["first_input"], "traded": played["legs_traded"],
                 "same": played["legs_same"]}  # fmt: skip
        post_notice(settings, "replay.diff", alarm, dedupe_key=f"replay.diff {day}")
    payload = {"day": day, "headline": report.headline, "lines": list(report.lines)}
    post_notice(settings, "report.night", payload, dedupe_key=f"report.night {day}")
    return {"kinds": ["report.night", *(["replay.diff"] if played.get("verdict") == "DIFFERENT" else [])]}


def _quote(settings: Settings, paths: Paths) -> str:
    return World.load(paths.world).shape().quote if paths.world.exists() else settings.quote


def _trade(trade: Trade) -> dict[str, Any]:
    roi = float(trade.net / trade.stake) if trade.stake else None
    return {"pair": trade.pair, "closed": stamp(trade.exit_us), "net": plain(trade.net), "roi": roi, "reason": trade.reason}


def _money(rows: Sequence[EquityRow]) -> str | None:
    return plain(rows[0].equity) if rows else None


def _change(first: Sequence[EquityRow], last: Sequence[EquityRow]) -> str | None:
    return plain(sub(last[0].equity, first[0].equity)) if first and last else None
