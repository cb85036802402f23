"""The night's look at the AI: label what its signals came to, judge it, take the veto where it must be taken, tell people."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

from trader.bootstrap import nights, scoring
from trader.bootstrap.labels import label_signals
from trader.bootstrap.notices import post_notice
from trader.config import Settings
from trader.domain.market import DAY
from trader.reporting import ai as words
from trader.research.scorecard.standing import Cause

SUNDAY: Final = 6


def score(settings: Settings, day: str) -> dict[str, Any]:
    """Label the signals of the day and of those before it that could not be labelled yet, and judge the AI by all labels.

    A demotion binds the next session. Running it again labels nothing twice, demotes once, and tells people once.
    """
    labelled = label_signals(settings, nights.day_of(day) + DAY)
    report = scoring.judge(settings)
    change = scoring.demote(settings, report)
    told = scoring.judge(settings).as_dict() if change is not None else report.as_dict()
    lines = words.lines(told)
    if Cause.INVALID in report.standing.causes:
        payload = {"day": day, "share": report.health.invalid_share, "answers": report.health.answers, "label": report.label}
        post_notice(settings, "ai.invalid", payload, dedupe_key=f"ai.invalid {day}")
    if date.fromisoformat(day).weekday() == SUNDAY:
        post_notice(settings, "report.ai", {"headline": f"The AI, week up to {day}", "lines": lines}, dedupe_key=f"report.ai {day}")
    return {
        "labelled": labelled.as_dict(), "mode": told["mode"], "status": told["status"], "label": told["label"], "labels": told["labels"],
        "causes": told["causes"], "demoted": change is not None, "lines": lines,
    }  # fmt: skip


def report(settings: Settings) -> dict[str, Any]:
    """What is known of the AI's worth now, for `trader ai report`."""
    return scoring.judge(settings).as_dict()


def promote(settings: Settings, *, who: str, reason: str) -> dict[str, Any]:
    """Give the veto back from the next session on, in a person's name. Raises RejectedError naming what is missing."""
    made = scoring.promote(settings, who=who, reason=reason)
    return {"mode": made.after.value, "who": made.who, "reason": made.reason, "group": made.group}
