"""What happens to a life while it trades: a person's orders and the market's doings, at fixed moments of the story."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.chaos.deaths import Reaper
from tests.chaos.kills import EXIT_US
from tests.session_kit import LEAD_US
from trader.data.ledger_control import submit_control
from trader.domain.account import PositionState
from trader.domain.market import MINUTE, SECOND
from trader.domain.orders import Leg
from trader.execution.session import Session
from trader.ports import Clock

TOUCH_US = LEAD_US + 30 * SECOND  # a stage begins that long before its first entries; one who died of them is back 20 s later
Timetable = tuple[tuple[int, str], ...]
ACTS: Mapping[str, Timetable] = {
    "touch_stop": ((TOUCH_US, "stop_touched"),),
    "kill_switch_set": (
        (22 * MINUTE, "kill_switch_set"), (27 * MINUTE, "resume"), (29 * MINUTE, "kill_switch_set"), (34 * MINUTE, "resume"),
    ),
    "ending": ((22 * MINUTE, "ending"), (29 * MINUTE, "ending")),
}  # fmt: skip


def timetable(act: str, end_us: int) -> Timetable:
    """The moments of an act, and the exits that a person asks for until then, in their order."""
    return tuple(sorted((*ACTS.get(act, ()), *((when, "exit") for when in range(EXIT_US, end_us, EXIT_US)))))


async def happening(session: Session, ledger: Path, clock: Clock, reaper: Reaper, *, begins_us: int, plan: Timetable) -> None:
    """Do what is still to come of the plan; its moments count from `begins_us`, the first life's first moment."""
    for after_us, what in plan:
        if begins_us + after_us < clock.now_us():
            continue
        await clock.sleep_until(begins_us + after_us)
        if what == "exit":
            _exit_oldest(session, ledger, clock)
        elif what == "resume":
            _submit(ledger, clock, "resume")
        elif what == "stop_touched" and not any(one.leg is Leg.STOP for one in session.w.ledger.intents(live_only=True)):
            continue  # nothing rests that the market could take out
        else:
            if what == "kill_switch_set":
                _submit(ledger, clock, "stop", reason="kill switch")
            reaper.reach(what)
            if what == "ending":
                session.stop("asked to end")


def _exit_oldest(session: Session, ledger: Path, clock: Clock) -> None:
    opened = [one for one in session.w.ledger.positions() if one.state is PositionState.OPEN]
    if opened:
        _submit(ledger, clock, "exit", opened[0].position_id)


def _submit(ledger: Path, clock: Clock, verb: str, argument: str = "", *, reason: str = "") -> None:
    now = clock.now_us()
    submit_control(ledger, verb, argument, "person", now, reason=reason, key=f"{verb}{now}")
