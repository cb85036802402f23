"""The leaderboard of a judgement as people read it: on a terminal, and as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from textwrap import wrap
from typing import Any

HEADS = ("strategy", "mean a day", "Sharpe", "p", "p Holm", "trades", "pairs", "a trade", "train Sharpe", "fails")
NARROW = ("Sharpe", "p Holm", "train Sharpe"), ("mean a day", "p", "trades", "pairs", "a trade")
"""Columns of the leaderboard and of the table beside it where a page has room for six."""
SCREEN = ("mean a day", "Sharpe", "p Holm", "trades", "a trade", "train Sharpe")
WIDTH = 100  # of a terminal


def rows(told: Mapping[str, Any]) -> list[dict[str, str]]:
    """One row a strategy, best first; `told` is the judgement as plain values."""
    return [dict(zip(HEADS, _row(one, told), strict=True)) for one in told["leaderboard"]]


def _row(one: Mapping[str, Any], told: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        one["name"], f"{one['mean']:+.3%}", f"{one['sharpe']:+.2f}", f"{one['p']:.4f}", f"{one['p_adjusted']:.4f}", str(one["trades"]),
        str(one["pairs"]), f"{one['gain_a_trade']:+.2%}", f"{one['train_sharpe']:+.2f}" if one["eligible"] else "too few trades",
        "(in use)" if one["name"] == told["current"] else ", ".join(_failed(one)) or "nothing",
    )  # fmt: skip


def _failed(one: Mapping[str, Any]) -> list[str]:
    """Binding conditions that a strategy would fail."""
    return [name for name in one["failed"] if not name.startswith("plain_")]


def narrow(told: Mapping[str, Any]) -> tuple[list[dict[str, str]], list[dict[str, str]], list[dict[str, str]]]:
    """Leaderboard, what else is known of each strategy, and folds: tables that fit Prefect's page without scrolling sideways.

    Strategies go without their profile, and conditions that fail are counted; `markdown` names them.
    """
    wide = rows(told)
    boards = [[{"strategy": _short(row["strategy"], told), **{head: row[head] for head in heads}} for row in wide] for heads in NARROW]
    for row, one in zip(boards[0], told["leaderboard"], strict=True):
        row["fails"] = _count(one, told, in_use="")
    return boards[0], boards[1], _narrow_folds(told)


def _count(one: Mapping[str, Any], told: Mapping[str, Any], *, in_use: str) -> str:
    """How many conditions a strategy would fail as a candidate; `in_use` for the one that is none."""
    return in_use if one["name"] == told["current"] else str(len(_failed(one)) or "nothing")


def _narrow_folds(told: Mapping[str, Any]) -> list[dict[str, str]]:
    """One row a fold, without its number and train block."""
    return [
        {
            "test": fold["test"], "best in train": _short(fold["best in train"], told), "a day": fold["it made a day"],
            "in use": fold["in use made a day"], "trades": fold["trades"],
        }
        for fold in fold_rows(told)
    ]  # fmt: skip


def _short(name: str, told: Mapping[str, Any]) -> str:
    """A strategy's name without its profile, or what stands in its place."""
    return name.partition("/")[2] + (" (in use)" if name == told["current"] else "") if "/" in name else name


def fold_rows(told: Mapping[str, Any]) -> list[dict[str, str]]:
    """One row a fold, oldest first."""
    return [
        {
            "fold": str(one["fold"]), "train": f"{_day(one['train_first'])} to {_day(one['train_end'])}",
            "test": f"{_day(one['test_first'])} to {_day(one['test_end'])}", "best in train": one["best_in_train"] or "none",
            "it made a day": f"{one['test_mean']:+.3%}", "in use made a day": f"{one['current_mean']:+.3%}", "trades": str(one["trades"]),
        }
        for one in told["folds"]
    ]  # fmt: skip


def _day(number: int) -> str:
    return datetime.fromtimestamp(number * 86_400, UTC).strftime("%Y-%m-%d")


def screen(told: Mapping[str, Any]) -> str:
    """The judgement for a terminal, its tables of at most 100 columns; its last line is the answer."""
    parts = []
    if told["leaderboard"]:
        parts += [_grid(_on_screen(told)), "", *_would_fail(told), "", _grid(_narrow_folds(told)), ""]
    if told["no_edge"]:
        parts.append("NO_EDGE: no strategy gains after costs by more than luck")
    if told["excluded"]:
        first = next(iter(told["excluded"].items()))
        parts.append(f"{len(told['excluded'])} pairs left out, for instance {first[0]}: {first[1]}")
    if told.get("ai"):
        parts.append(ai_words(told["ai"]))
    return "\n".join([*parts, told["sentence"]])


def _on_screen(told: Mapping[str, Any]) -> list[dict[str, str]]:
    """The leaderboard without profiles, with how many conditions each strategy would fail."""
    return [
        {
            "strategy": one["name"].partition("/")[2] or one["name"],
            **{head: row[head] for head in SCREEN},
            "fails": _count(one, told, in_use="in use"),
        }
        for row, one in zip(rows(told), told["leaderboard"], strict=True)
    ]


def _would_fail(told: Mapping[str, Any]) -> list[str]:
    """A line a candidate, of what it would fail."""
    lines = [f"{_short(row['strategy'], told)} would fail: {row['fails']}" for row in rows(told) if row["strategy"] != told["current"]]
    return [part for line in lines for part in wrap(line, WIDTH, subsequent_indent="    ", break_on_hyphens=False)]


def ai_words(ai: Mapping[str, Any]) -> str:
    """What the AI said of a switch; a stand-in is named as one."""
    return f"AI, {ai['mode']}{'' if ai['binding'] else ' (binds nothing)'}: {ai['words']}"


def _grid(table: Sequence[Mapping[str, str]]) -> str:
    heads = list(table[0])
    widths = [max(len(head), *(len(row[head]) for row in table)) for head in heads]
    lines = [heads, *([row[head] for head in heads] for row in table)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def markdown(told: Mapping[str, Any]) -> str:
    """The judgement as a page: the sentence, what the candidate was asked, and what the others would fail."""
    lines = [f"# {told['decision']}", "", told["sentence"], ""]
    if told["conditions"]:
        lines += ["| condition | holds | seen |", "|---|---|---|"]
        for one in told["conditions"]:
            seen = "yes" if one["holds"] else "no"
            holds = seen if one["binding"] else f"({seen})"
            lines.append(f"| ({one['spec']}) {one['name']} | {holds} | {one['words']} |")
    if told["leaderboard"]:
        lines += ["", "In brackets: shown only. What each would fail as a candidate:", ""]
        lines += [f"- {_short(row['strategy'], told)}: {row['fails']}" for row in rows(told) if row["strategy"] != told["current"]]
    return "\n".join([*lines, *_below(told)])


def form(told: Mapping[str, Any]) -> str:
    """The same for the form that a person answers in, which is narrow: the leaderboard in three columns, the conditions as a list."""
    lines = ["| strategy | Sharpe | p Holm |", "|---|---|---|"]
    for row in rows(told):
        lines.append(f"| {_short(row['strategy'], told)} | {row['Sharpe']} | {row['p Holm']} |")
    lines += ["", *(f"- ({one['spec']}) {one['words']}" for one in told["conditions"] if one["binding"])]
    return "\n".join([f"# {told['decision']}", "", told["sentence"], "", *lines, *_below(told)])


def _below(told: Mapping[str, Any]) -> list[str]:
    """What the AI said, and what all of it stands on."""
    said = ["", ai_words(told["ai"])] if told.get("ai") else []
    digest = told["inputs_digest"][:16]
    return [*said, "", f"{len(told['pairs'])} pairs, {told['out_of_sample_days']} days in test blocks, inputs `{digest}`"]
