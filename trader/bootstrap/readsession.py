"""What state a session is in, judged from its lease, its newest rows and the clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trader.bootstrap import views as v
from trader.data.reader import LedgerReader
from trader.domain.halts import asset_of
from trader.domain.market import SECOND
from trader.domain.messages import stamp
from trader.ports import EquityRow, Halt
from trader.reporting.words import span
from trader.simulation.clock import PacedClock

QUIET_S = 300.0  # without a paced clock: nothing was written for so long, so the process is taken for gone

NO_MONEY = v.MoneyView(
    quote="EUR", equity=None, cash=None, held=None, paid_for_held=None, today=None, total=None, total_fraction=None, realised=None,
    fees=None, drawdown=None, max_drawdown=None, trades=None, wins=None, open=None, win_rate=None, win_low=None, win_high=None,
)  # fmt: skip
NOT_STARTED = v.SessionView(
    state="NEVER_STARTED", detail="no session has run in this directory", strategy="", holder="", since=None, ended="", last_beat=None,
    beat_number=None, beat_age_s=None, lag_s=None, pairs=None,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """`as_of_us`: newest stored moment; `now_us`: the exchange's clock; `stale_s`: machine seconds between the two."""

    as_of_us: int | None
    now_us: int
    stale_s: float | None
    paced: bool

    @classmethod
    def of(cls, ledger: LedgerReader, rows: Sequence[EquityRow], clock: PacedClock | None, quiet_s: float | None) -> Now:
        """With a paced clock the age is read from it, else from when the file was last written."""
        events = [ledger.newest_event(name) for name in ("system.started", "system.stopped", "beat", "decisions", "lease.acquired")]
        times = [event.time_us for event in events if event is not None] + [row.time_us for row in rows[-1:]]
        as_of = max(times, default=None)
        if clock is None or as_of is None:
            return cls(as_of_us=as_of, now_us=as_of or 0, stale_s=quiet_s, paced=False)
        now = max(clock.now_us(), as_of)
        return cls(as_of_us=as_of, now_us=now, stale_s=(now - as_of) / SECOND / clock.speed, paced=True)


def session(ledger: LedgerReader, now: Now, halts: Sequence[Halt]) -> v.SessionView:
    """The newest session of this ledger."""
    started, stopped = ledger.newest_event("system.started"), ledger.newest_event("system.stopped")
    if started is None:
        return NOT_STARTED
    ended = str(stopped.payload.get("ended", "")) if stopped is not None and stopped.seq > started.seq else ""
    beat = ledger.newest_event("beat")
    lease = ledger.lease()
    state, detail = _state(now, halts, over=bool(ended) or lease is None or lease.released, expires_us=lease.expires_us if lease else 0)
    return v.SessionView(
        state=state, detail=ended if state == "STOPPED" and ended else detail, strategy=str(started.payload.get("strategy", "")),
        holder=lease.holder if lease else "", since=stamp(started.time_us), ended=ended,
        last_beat=None if beat is None else stamp(beat.time_us), beat_number=None if beat is None else _whole(beat.payload.get("number")),
        beat_age_s=None if beat is None else max(0.0, (now.now_us - beat.time_us) / SECOND),
        lag_s=None if beat is None else float(beat.payload.get("lag_s", 0.0)),
        pairs=None if beat is None else _whole(beat.payload.get("pairs")),
    )  # fmt: skip


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _state(now: Now, halts: Sequence[Halt], *, over: bool, expires_us: int) -> tuple[str, str]:
    if over:
        return "STOPPED", "no session runs now"
    if now.paced and expires_us < now.now_us:
        return (
            "SILENT",
            f"its right to trade expired {span((now.now_us - expires_us) / SECOND)} ago on the exchange's clock: it died or hangs",
        )
    if not now.paced and now.stale_s is not None and now.stale_s > QUIET_S:
        return "SILENT", f"nothing was written for {span(now.stale_s)}: the process has ended without saying so"
    general = [halt for halt in halts if not asset_of(halt.cause)]
    if any(halt.level == "HALTED" for halt in general):
        return "HALTED", "no new entries; exits and stops go on"
    if general:
        return "PAUSED", "no new entries; exits and stops go on"
    return "RUNNING", "deciding at every 15-minute close"
