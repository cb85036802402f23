"""Whether the AI earns its place, in words: for the night's report, the weekly message, the page and `trader ai report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trader.reporting.words import percent

Told = Mapping[str, Any]
MODES = {"veto": "may veto", "shadow": "in shadow: asked, never obeyed", "off": "off"}


def lines(told: Told) -> list[str]:
    """The report in a few lines; a stand-in says what it is in the first."""
    return [standing(told), labels(told), *_ready(told), *_worth(told), *_calls(told), *_changes(told)]


def standing(told: Told) -> str:
    """What the AI may do and what is held of it."""
    who = f" ({told['label']})" if told["label"] else ""
    mode = MODES.get(told["mode"], told["mode"])
    causes = f", because of {', '.join(told['causes']).lower()}" if told["causes"] else ""
    return f"AI{who}: {mode}; {told['status']}{causes}, {told['labels']} signals scored for {told['group']['strategy']}."


def labels(told: Told) -> str:
    """What there is to score."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in told["kinds"].items() if count) or "none yet"
    error = told["simulator_error"]
    off = f"; labels of {told['executed']} executed trades are off by {percent(error)} on average" if error is not None else ""
    return f"Outcomes: {kinds}{off}."


def _ready(told: Told) -> list[str]:
    """How often a verdict was there when a signal fired."""
    share = told["ready_share"]
    if share is None:
        return []
    return [f"Ready: {percent(share)} of {sum(told['lookups'].values())} signals met a usable verdict at their first look-up."]


def _worth(told: Told) -> list[str]:
    card = told["recent"]
    if card is None:
        return ["Worth: no scored verdict yet; the first outcomes come a day after their signals."]
    skill, value = card["calibration"]["skill"], card["veto"]["r"]
    vetoes = (
        f"{card['veto']['vetoes']} vetoes, saved per 100: {_interval(value, 1)} R, better than {card['veto']['placebo']:.0f} % of random"
        if card["veto"]["vetoes"]
        else "no veto so far"
    )
    return [f"Worth of the newest {card['labels']}: Brier {card['calibration']['brier']:.3f}, skill {_interval(skill, 3)}; {vetoes}."]


def _calls(told: Told) -> list[str]:
    day = told["last_day"]
    if day is None:
        return []
    took = day["network_ms"]
    speed = "" if took["p50"] is None else f", {took['p50']:.0f} ms (p95 {took['p95']:.0f})"
    cost = "cost unknown, no price is set" if day["cost_usd"] is None else f"{day['cost_usd']:.3f} USD"
    bad = f"{percent(told['invalid_share_24h'])} of {day['answers']} answers unusable"
    return [f"Last 24 h: {day['questions']} questions in {day['calls']} calls{speed}, {day['tokens_in']:,} tokens, {cost}; {bad}."]


def _changes(told: Told) -> list[str]:
    newest = told["changes"][-1:]
    return [f"Since {one['at']}: {one['after']}, by {one['who']}: {one['reason']}." for one in newest]


def _interval(estimate: Mapping[str, float | None], digits: int) -> str:
    value, low, high = (estimate[name] for name in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return "unknown"
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def screen(told: Told) -> str:
    """`trader ai report`: the lines, reliability, and what stands between shadow and veto."""
    card, out = told["recent"], lines(told)
    if card is not None:
        out += ["", "said      lost      of", *(_bin(one) for one in card["calibration"]["bins"])]
    if told["mode"] == "shadow":
        missing: Sequence[str] = told["missing_for_promotion"]
        out += ["", "promotion: " + ("; ".join(missing) or "nothing is missing but a person: trader ai promote --reason WHY")]
    return "\n".join(out)


def _bin(one: Mapping[str, float]) -> str:
    return f"{one['said']:<8.2f}  {one['seen']:<8.2f}  {one['count']:.0f} (share lost {one['low']:.2f} to {one['high']:.2f})"
