"""The status page: rendered on the server from the read model, so it works without a script; with one it stays current in place."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from trader import __version__
from trader.bootstrap.views import MessageView, StatusView
from trader.reporting import words
from trader.reporting.words import RULINGS
from trader.web.api import Nothing, model_of
from trader.web.curve import curve_of

router = APIRouter()
POINTS = 400
RECENT = timedelta(hours=6)  # of the exchange's clock
STATES = {
    "NEVER_STARTED": ("Not started", "idle"),
    "PAST": ("Playing the simulated past", "good"),
    "RUNNING": ("Trading", "good"),
    "PAUSED": ("Paused: no new entries", "warn"),
    "HALTED": ("Halted: no new entries", "warn"),
    "STOPPED": ("No session runs now", "idle"),
    "SILENT": ("Silent: the session has died or hangs", "bad"),
    "UNREADABLE": ("The ledger can't be read", "bad"),
}


def _when(text: str | None, *, date: bool = True) -> str:
    if text is None:
        return "–"
    return words.clock_time(int(datetime.fromisoformat(text).timestamp()) * 1_000_000, date=date)


def _money(value: str | None, places: int = 2, *, sign: bool = False) -> str:
    return "–" if value is None else words.money(value, places, sign=sign)


def _price(value: str | None) -> str:
    return "–" if value is None else words.price(value)


def _percent(value: float | None, places: int = 2, *, sign: bool = False) -> str:
    return "–" if value is None else words.percent(value, places, sign=sign)


def _trend(value: str | float | None) -> str:
    """A class and an arrow name: gain, loss or even."""
    if value is None or Decimal(str(value)) == 0:
        return "even"
    return "gain" if Decimal(str(value)) > 0 else "loss"


def _quantity(value: str) -> str:
    number = Decimal(value)
    return f"{number:,f}" if number.adjusted() < 6 else words.money(number, 0)


def _code(text: str) -> Markup:
    """`word` in backticks becomes code; everything else is escaped."""
    made = [escape(part) if index % 2 == 0 else Markup("<code>{}</code>").format(part) for index, part in enumerate(text.split("`"))]
    return Markup("").join(made)


def _templates() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=select_autoescape(), undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters.update(
        when=_when, money=_money, price=_price, percent=_percent, span=words.span, trend=_trend, quantity=_quantity, code=_code
    )
    made.globals.update(rulings=RULINGS, version=__version__)
    return made


TEMPLATES = _templates()


def context(request: Request) -> dict[str, Any]:
    """Everything the templates name."""
    model = model_of(request)
    status = model.status()
    label, tone = STATES[status.session.state]
    return {
        "s": status, "alarms": _alarms(status),
        "label": label, "tone": tone, "curve": curve_of(model.curve(POINTS), status.money.quote), "prefect": model.prefect_url,
        "state_dir": str(model.root), "stale": status.session.state in ("SILENT", "UNREADABLE"),
        "empty": status.session.state == "NEVER_STARTED", "known": status.session.state not in ("NEVER_STARTED", "UNREADABLE"),
    }  # fmt: skip


def _alarms(status: StatusView) -> list[MessageView]:
    """Alarms of the last hours that are not shown as a halt or a blocked pair anyway."""
    if status.clock.now is None:
        return list(status.alarms)
    since = datetime.fromisoformat(status.clock.now) - RECENT
    return [one for one in status.alarms if one.kind not in ("halt.set", "data.blocked") and datetime.fromisoformat(one.time) >= since]


@router.get("/")
def overview(request: Request, _query: Annotated[Nothing, Query()]) -> HTMLResponse:
    """The page."""
    made = context(request)
    return HTMLResponse(TEMPLATES.get_template("page.html").render(made, panels=Markup(drawn(made))))  # noqa: S704 - escaped when drawn


@router.get("/panels.json")
def panels(request: Request, _query: Annotated[Nothing, Query()]) -> JSONResponse:
    """What the page's script puts in place every two seconds: the same panels, rendered again."""
    made = context(request)
    return JSONResponse({"as_of": made["s"].as_of, "title": title(made), "html": drawn(made)})


def drawn(made: dict[str, Any]) -> str:
    """The panels, without space around them: the script compares node by node."""
    return TEMPLATES.get_template("panels.html").render(made).strip()


def title(made: dict[str, Any]) -> str:
    """Shown in the browser's tab."""
    return f"{made['label']} · trader {made['s'].environment}"
