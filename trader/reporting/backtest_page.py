"""The page of a backtest: one HTML file with everything inside it, drawn from the very object that `--json` prints.

Every figure stands in a `<data>` element with the raw value and its place in that object, so that a test compares all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from trader.reporting import words
from trader.reporting.pictures import CandlePicture, daily_picture, equity_picture, histogram_picture
from trader.reporting.study import Bin

FOLDER = Path(__file__).parent / "templates"
Result = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Candles of a pair with trades on them; `candles`: how long one is, in words."""

    name: str
    candles: str
    picture: CandlePicture


def render(
    result: Result, *, curve: Sequence[tuple[int, float]], pairs: Sequence[Drawn], looks: Sequence[Drawn], command: str
) -> str:  # fmt: skip
    """The page. `curve`: (microseconds, equity); `pairs`: whole ranges of the first rows of `by_pair`; `looks`: the trades of
    `notable`, bar by bar; `command`: what made it."""
    days = [(_micros(one["label"]), one) for one in result["daily"]]
    hold = [(curve[0][0], float(result["cash"]))]
    hold += [(min(at + _DAY, curve[-1][0]), float(result["cash"]) * one["hold"]) for at, one in days]
    chance = result["benchmarks"]["random_entry"]
    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=select_autoescape(), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(sentence=lambda text: text[:1].upper() + text[1:], decision=words.decision_words, left=words.exit_words)
    return environment.get_template("backtest.html").render(
        r=result, show=Figures(result), css=Markup((FOLDER / "backtest.css").read_text()),  # noqa: S704 - our own file
        equity=equity_picture(curve, hold), daily=daily_picture([(at, one["return"]) for at, one in days]),
        spread_r=histogram_picture([Bin(**one) for one in result["r"]["bins"]], percent=False) if result["r"]["bins"] else None,
        chance=None if chance is None else histogram_picture(
            [Bin(**one) for one in chance["bins"]], percent=True, mark=chance["strategy_mean"], band=tuple(chance["random_95"])
        ),
        pairs=pairs, looks=looks, command=command, verdict=verdict(result),
    )  # fmt: skip


_DAY = 86_400_000_000


def _micros(label: str) -> int:
    return int(datetime.fromisoformat(f"{label}T00:00:00+00:00").timestamp()) * 1_000_000


def verdict(result: Result) -> str:
    """What the run says of the strategy, in one careful sentence without a figure."""
    chance, hold = result["benchmarks"]["random_entry"], result["benchmarks"]["buy_and_hold"]
    if chance is None:
        return "No trade was closed: there is nothing to judge."
    gained = "gained" if result["return"] > 0 else "lost" if result["return"] < 0 else "kept its"
    against = "more than" if result["return"] > hold["return"] else "less than" if result["return"] < hold["return"] else "the same as"
    tail = chance["as_good_or_better"]
    if tail <= 0.025:
        edge = "its entries did better than chance"
    elif tail >= 0.975:
        edge = "its entries did worse than chance"
    else:
        edge = "its entries cannot be told from chance"
    return f"The strategy {gained} money and made {against} holding the pairs; {edge}."


class Figures:
    """`show("r.mean", "number")`: the value at that place of the result, worded, in a `<data>` element."""

    def __init__(self, result: Result) -> None:
        self._result = result

    def __call__(self, place: str, kind: str) -> Markup:
        value = at(self._result, place)
        tone = _tone(value) if kind in SIGNED else ""
        raw = "" if value is None else value
        return Markup('<data value="{}" data-at="{}" data-as="{}"{}>{}</data>').format(raw, place, kind, tone, worded(value, kind))


def at(result: Any, place: str) -> Any:
    """The value at a place such as `by_pair.3.net`."""
    for step in place.split("."):
        result = result[int(step)] if isinstance(result, list) else result[step]
    return result


def _tone(value: Any) -> Markup:
    amount = 0.0 if value is None else float(value)
    return Markup(' class="gain"') if amount > 0 else Markup(' class="loss"') if amount < 0 else Markup("")


SIGNED = frozenset({"gain", "change", "change1"})
WORDED: dict[str, Any] = {
    "money": words.money,
    "gain": lambda value: words.money(value, sign=True),
    "percent": words.percent,
    "percent1": lambda value: words.percent(value, 1),
    "change": lambda value: words.percent(value, sign=True),
    "change1": lambda value: words.percent(value, 1, sign=True),
    "number": lambda value: f"{value:.2f}".replace("-", "−"),
    "price": words.price,
    "count": lambda value: f"{value:,}",
    "days": lambda value: f"{value:g} d",
    "hours": lambda value: f"{value:g} h",
    "times": lambda value: f"{value:.1f} times",
    "date": lambda value: value[:10],
    "minute": lambda value: value[:16].replace("T", " "),
}  # fmt: skip


def worded(value: Any, kind: str) -> str:
    """A figure as the page writes it; a dash for what is undefined."""
    made: str = "–" if value is None else WORDED[kind](value)
    return made
