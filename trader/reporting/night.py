"""The night's report from what its steps found: one line, a few lines for a message, and the page (SPEC section 13, night)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from trader.domain.money import add, plain
from trader.reporting.analytics import Z_95, Trade, TradeFigures
from trader.reporting.periodic import UNKNOWN, table
from trader.reporting.words import decision_words, exit_words, money, number, percent, point_words

Found = Mapping[str, Any]
Steps = Mapping[str, Found]
BOOKS, DATA, REPLAY, FIGURES, AI = "close the books", "audit the data", "replay the day", "sum up", "score the AI"
SUGGEST = "suggest"
SHOWN = 40  # differences on the page; all of them are in the artifact's table


# --- plain values ---------------------------------------------------------------------------------------------------------
def plain_figures(figures: TradeFigures) -> dict[str, Any]:
    """Figures as JSON keeps them: money as text."""
    return {name: plain(value) if isinstance(value, Decimal) else value for name, value in asdict(figures).items()}


def grouped(named: Iterable[tuple[str, Trade]]) -> list[dict[str, Any]]:
    """Per name: trades, net, mean return on stake, and half the width of its 95 % interval (None below two trades)."""
    groups: dict[str, list[Trade]] = {}
    for name, trade in named:
        groups.setdefault(name, []).append(trade)
    return [_group(name, groups[name]) for name in sorted(groups, key=lambda name: (-len(groups[name]), name))]


def _group(name: str, trades: Sequence[Trade]) -> dict[str, Any]:
    returns = [float(t.net / t.stake) for t in trades if t.stake]
    mean = math.fsum(returns) / len(returns) if returns else None
    half = None
    if mean is not None and len(returns) > 1:
        half = Z_95 * math.sqrt(math.fsum((r - mean) ** 2 for r in returns) / (len(returns) - 1) / len(returns))
    return {"name": name, "trades": len(trades), "net": plain(add(*(t.net for t in trades))), "mean": mean, "half_width": half}


# --- words ----------------------------------------------------------------------------------------------------------------
def replay_words(found: Found) -> str:
    """What the replay of the day says, in one sentence; unknown is never told as equal."""
    if not found:
        return "Replay: not done."
    if found["verdict"] == "UNKNOWN":
        return f"Replay: unknown, the day cannot be replayed: {found['reason']}."
    legs = f"{found['legs_same']} of {found['legs_traded']} trade legs"
    if found["verdict"] == "EQUAL":
        rulings = f"; {found['rulings_checked']} rulings of the AI follow from its raw replies" if found["rulings_checked"] else ""
        return (
            f"Replay: equal, {legs} and {found['candidates_traded']} judged candidates came out the same from the stored candles{rulings}."
        )
    return f"Replay: DIFFERENT in {len(found['differences'])} fields; {legs} are the same."


def data_words(found: Found) -> str:
    """What the audit of stored candles says."""
    if not found:
        return "Data: not audited."
    state = "sound" if found["ok"] else f"{found['critical']} critical failures, {len(found['damaged'])} damaged files"
    return f"Data: {found['rows']:,} candles in {found['series']} series, {state}, {found['warnings']} warnings."


def books_words(found: Found) -> str:
    """What closing the books found."""
    if not found:
        return "Books: not closed."
    quote = found["quote"]
    wrong = [f"{len(found[name])} {word}" for name, word in (
        ("problems", "problems in the ledger"), ("unresolved_now", "orders unresolved"), ("without_stop_now", "positions without a stop"),
    ) if found[name]]  # fmt: skip
    state = "; ".join(wrong) or f"{found['rows_audited']:,} ledger rows audited, nothing wrong"
    equity = UNKNOWN if found["closed"] is None else f"{money(found['closed'])} {quote} ({money(found['change'], sign=True)})"
    checks = f"{found['reconciliations']} reconciliations, {found['differences']} differences"
    return f"Books: equity {equity}, realised {money(found['realised'], sign=True)}, {checks}; {state}."


def figures_words(found: Found) -> str:
    """The day's trades."""
    if not found:
        return "Trades: not summed up."
    day = found["spans"]["day"]
    return f"Trades: {day['trades']} closed, {day['wins']} with a gain, net {money(day['net'], sign=True)}, fees {money(day['fees'])}."


def ai_words(found: Found) -> str:
    """What the AI may do, what is held of it, and what the night changed about that."""
    if not found:
        return "AI: not scored."
    labelled = found["labelled"]
    new = f" {labelled['new']} new outcomes, {labelled['unlabelled']} signals wait for candles."
    return f"{found['lines'][0]}{new}" + (" IT LOST ITS VETO tonight." if found["demoted"] else "")


def suggestion_words(found: Found) -> list[str]:
    """What was suggested, each with its trial; nothing of it has come true."""
    if not found["suggestions"]:
        return [f"No suggestions{': ' + found['why'] if found['why'] else ''}."]
    rows = [
        {name: one[name] for name in ("id", "state", "words", "reason")} | {"tried": one["trial"].get("sentence", ""), "by": one["label"]}
        for one in found["suggestions"]
    ]
    return [table(rows), "Each waits for a person: `trader night approve ID --reason WHY`, or `reject`."]


def lines(steps: Steps, failures: Mapping[str, str]) -> list[str]:
    """The night in a few lines, failures first."""
    failed = [f"Step {name!r} failed: {why}" for name, why in failures.items()]
    found = [books_words(steps.get(BOOKS, {})), figures_words(steps.get(FIGURES, {})), replay_words(steps.get(REPLAY, {})),
             data_words(steps.get(DATA, {})), ai_words(steps.get(AI, {}))]  # fmt: skip
    return failed + found


def headline(day: str, steps: Steps, failures: Mapping[str, str]) -> str:
    """The night in one line."""
    verdict = str(steps.get(REPLAY, {}).get("verdict", "not done")).lower()
    broken = f", {len(failures)} step{'s' if len(failures) > 1 else ''} failed" if failures else ""
    return f"Night of {day}: replay {verdict}{broken}"


def markdown(day: str, steps: Steps, failures: Mapping[str, str], pictures: Sequence[str] = ()) -> str:
    """The page; `pictures` are put after the summary."""
    figures, played = steps.get(FIGURES, {}), steps.get(REPLAY, {})
    summary = "\n".join(f"- {line}" for line in lines(steps, failures))
    parts = [f"# Night of {day}", summary, *pictures]
    parts += ["## Results", _spans(figures)] if figures else []
    parts += ["## Replay of the day", *_replayed(played)] if played else []
    for title, name, say in (("Why trades were closed", "reasons", exit_words), ("What the AI had said", "rulings", str.lower),
                             ("What evidence came to, all trades", "evidence", point_words)):  # fmt: skip
        if rows := figures.get(name):
            parts += [f"## {title}", table([_row(row, say(row["name"])) for row in rows])]
    if scored := steps.get(AI, {}):
        parts += ["## What the AI is worth", "\n".join(f"- {line}" for line in scored["lines"])]
        if reasons := scored["labelled"]["reasons"]:
            parts.append("Without an outcome so far: " + "; ".join(f"{count} because {why}" for why, count in reasons.items()) + ".")
    if suggested := steps.get(SUGGEST, {}):
        parts += ["## Suggestions", *suggestion_words(suggested)]
    if refusals := figures.get("refusals"):
        parts += ["## Decisions of the day", _decisions(refusals)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _decisions(counts: Mapping[str, int]) -> str:
    """Most frequent first."""
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return table([{"decision": decision_words(code), "count": f"{count:,}"} for code, count in ordered])


def _spans(figures: Found) -> str:
    return table([_span(name, one) for name, one in figures["spans"].items()])


def _span(name: str, one: Found) -> dict[str, str]:
    interval = "" if one["win_low"] is None else f" ({percent(one['win_low'], 0)} to {percent(one['win_high'], 0)})"
    return {  # eight columns fit Prefect's page
        "closed": name, "trades": str(one["trades"]), "net": money(one["net"], sign=True), "won (95 %)": _share(one["win_rate"]) + interval,
        "profit factor": _number(one["profit_factor"]), "expectancy": _number(one["expectancy"]),
        "fees": money(one["fees"]), "fees of gains": _share(one["fee_share"]),
    }  # fmt: skip


def _row(row: Found, name: str) -> dict[str, str]:
    mean, half = row["mean"], row["half_width"]
    shown = UNKNOWN if mean is None else percent(mean, sign=True) + (f" ± {percent(half)}" if half is not None else "")
    return {"": name, "trades": str(row["trades"]), "net": money(row["net"], sign=True), "mean return": shown}


def _replayed(found: Found) -> list[str]:
    if found["verdict"] == "UNKNOWN":
        return [f"**Unknown.** {found['reason'][:1].upper()}{found['reason'][1:]}. Nothing was compared; this is not the same as equal."]
    counts = [
        {"": name, "replay": str(found[f"{key}_replayed"]), "ledger": str(found[f"{key}_traded"])}
        for name, key in (("exit legs", "legs"), ("judged candidates", "candidates"))
    ]
    scope = (
        f"From {found['since']} to {found['until']}, {found['pairs']} pairs, the AI's rulings as recorded; candles {found['digest']}. "
        f"**{found['verdict'].capitalize()}.**"
    )
    parts = [scope, table(counts)]
    if found["first_input"]:
        parts.append(f"First input that diverged: {found['first_input']}.")
    if caveats := found["caveats"]:
        parts.append("\n".join(f"- {caveat}" for caveat in caveats))
    if rows := found["differences"]:
        parts.append(table([dict(row) for row in rows[:SHOWN]]))
        parts += [f"and {len(rows) - SHOWN} more differences, in the table beside this page"] if len(rows) > SHOWN else []
    return parts


def _share(value: float | None) -> str:
    return UNKNOWN if value is None else percent(value)


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else number(value)
