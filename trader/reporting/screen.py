"""`trader status` as one screen of at most 100 columns, from the same values the page and `--json` show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

WIDTH = 100
UNKNOWN = ("NEVER_STARTED", "UNREADABLE")  # states of which no figure is known
Row = Mapping[str, Any]


def status_screen(status: Row) -> str:
    """Account, session, positions, last trades and decisions, halts, and what needs a person; of what nothing is known, only why."""
    money, session, ai = status["money"], status["session"], status["ai"]
    head = f"trader {status['environment']}" + (": simulated market, no real money" if status["environment"] == "demo" else "")
    if session["state"] in UNKNOWN:
        told = wrap(f"session   {session['state']}: {session['detail']}", WIDTH, subsequent_indent=" " * 10, break_on_hyphens=False)
        return "\n".join([head, *told])
    lines = [
        head,
        f"session   {session['state']} ({session['detail']}), {session['strategy']}, {session['pairs']} pairs",
        f"as of     {status['as_of']} UTC, beat {session['beat_number']}, {_ago(session['beat_age_s'])}",
        f"equity    {_money(money['equity'])} {money['quote']}, cash {_money(money['cash'])}, in positions {_money(money['held'])}",
        f"result    {_money(money['total'])} {money['quote']} net of {_money(money['fees'])} fees, "
        f"{money['trades']} trades, {money['wins']} gained, drawdown {_percent(money['drawdown'])}",
        f"AI        {ai['mode']}{', scripted stand-in, not AI' if ai['twin'] else ''}: "
        + (", ".join(f"{r['words']} {r['count']}" for r in ai["rulings"]) or "no ruling yet"),
        *([f"          breaker {ai['breaker']}, {_percent(ai['budget'])} of the day's budget used"] if ai["breaker"] else []),
    ]
    for halt in status["halts"]:
        lines += [
            "",
            f"HALT      {halt['words']}: {halt['reason']} since {halt['since']}",
            *wrap(halt["next_step"], WIDTH, initial_indent=" " * 10, subsequent_indent=" " * 10),
        ]
    for pair in status["blocked"]:
        lines += [
            "",
            f"blocked   {pair['pair']}: {pair['expectation']} since {pair['since']}",
            *wrap(f"{pair['detail']}. {pair['next_step']}", WIDTH, initial_indent=" " * 10, subsequent_indent=" " * 10),
        ]
    lines += _table("open positions", status["positions"], ("pair", "quantity", "entry", "stop", "opened"), "none open")
    lines += _table("last trades", status["trades"][:8], ("pair", "closed", "net", "reason"), "none closed yet")
    lines += _table("last decisions", status["decisions"][:8], ("pair", "time", "score", "words"), "none yet")
    return "\n".join(line[:WIDTH] for line in lines)


def _table(title: str, rows: Sequence[Row], columns: Sequence[str], empty: str) -> list[str]:
    """Left-aligned columns as wide as their widest value."""
    if not rows:
        return ["", f"{title}: {empty}"]
    cells = [[str(row.get(name) if row.get(name) is not None else "-") for name in columns] for row in rows]
    widths = [max(len(name), *(len(line[i]) for line in cells)) for i, name in enumerate(columns)]
    head = "  ".join(name.ljust(width) for name, width in zip(columns, widths, strict=True))
    body = ["  ".join(value.ljust(width) for value, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return ["", title, head.rstrip(), *body]


def _money(text: str | None) -> str:
    """Two places; a dash where it is not known."""
    return "-" if text is None else f"{float(text):,.2f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def _ago(seconds: float | None) -> str:
    return "no beat yet" if seconds is None else f"{seconds:,.0f} s ago"
