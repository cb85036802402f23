"""The steps of the night as tasks: each fails alone, is tried again where nothing happened, and is not repeated once it is done.

What a step found is written down in the state directory before the next one begins, so a night that was killed goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from prefect import Task, task

from tasks.artifacts import picture, publish_page, publish_table
from tasks.policies import TRIED_AGAIN
from trader.config import load
from trader.errors import FatalError

if TYPE_CHECKING:
    from trader.bootstrap.nights import Night

TAGS: Final = ["night", "disk"]
PAGE_KEY, DIFFERENCES_KEY = "night", "night-differences"
PUBLISH, TELL = "publish", "tell people"
Found = dict[str, Any]


@task(
    name="open the night",
    task_run_name="open the night",
    tags=TAGS,
    description="Which day is looked back on, and what of it is done.",
    **TRIED_AGAIN,
)
async def begin(day: str | None, again: bool) -> Night | None:
    """The record of that night; None where no session had run by then."""
    from trader.bootstrap import night

    return night.begin(load(), day, again=again)


def _step(name: str, description: str, work: Callable[[str], Found]) -> Task[[str], Any]:
    @task(name=name, task_run_name=name, tags=TAGS, description=description, timeout_seconds=1800, **TRIED_AGAIN)
    async def step(day: str) -> Found:
        from trader.bootstrap import night

        found = await asyncio.to_thread(work, day)
        night.keep(load(), day, name, found)
        return found

    return step


def _books(day: str) -> Found:
    from trader.bootstrap import night

    return night.close_books(load(), day)


def _data(_day: str) -> Found:
    from trader.bootstrap import night

    return night.audit_data(load())


def _replay(day: str) -> Found:
    from trader.bootstrap import night

    return night.replay(load(), day)


def _figures(day: str) -> Found:
    from trader.bootstrap import night

    return night.sum_up(load(), day)


def _tell(day: str) -> Found:
    from trader.bootstrap import night

    return night.tell(load(), day)


def _ai(day: str) -> Found:
    from trader.bootstrap import ai_night

    return ai_night.score(load(), day)


def _suggestions(day: str) -> Found:
    from trader.bootstrap import suggesting

    return suggesting.suggest(load(), day)


@task(name=PUBLISH, task_run_name=PUBLISH, tags=TAGS, description="The page of the night with its charts, as an artifact.", **TRIED_AGAIN)
async def publish(day: str) -> Found:
    """Artifact ids of the page and, where the replay differs, of the table of differences."""
    from trader.bootstrap import night

    report = night.told(load(), day)
    pictures = [picture(png, words) for png, words in await asyncio.to_thread(night.draw, load(), report)]
    page = await publish_page.fn(PAGE_KEY, report.markdown(pictures), report.headline)
    found: Found = {"page": page, "headline": report.headline, "lines": list(report.lines), "sound": report.sound}
    if rows := report.differences:
        found["differences"] = await publish_table.fn(DIFFERENCES_KEY, rows, f"Replay and ledger of {day}")
    night.keep(load(), day, PUBLISH, found)
    return found


STEPS: Final[Mapping[str, Task[[str], Any]]] = {
    "close the books": _step("close the books", "Equity and cash of the day, reconciliations, the ledger's own audit.", _books),
    "audit the data": _step("audit the data", "Judge all stored candles; block what fails.", _data),
    "replay the day": _step("replay the day", "Play the day again from stored candles; name every difference.", _replay),
    "sum up": _step("sum up", "Figures of the trades, and what reasons, AI and evidence came to.", _figures),
    "score the AI": _step("score the AI", "Label what its signals came to, judge it, take the veto where it does harm.", _ai),
    "suggest": _step("suggest", "Ask the text provider for changes, try each on stored candles, keep them for a person.", _suggestions),
    PUBLISH: publish,
    TELL: _step(TELL, "The night's message into the outbox, once.", _tell),
}
"""Name -> task, in the order they run. The last two tell of whatever the others found."""


def failed(day: str, step: str, error: str) -> None:
    """Write down that a step failed for good; the next run tries it again."""
    from trader.bootstrap import night

    night.keep(load(), day, step, None, error)


def concluded(day: str) -> Found:
    """The night in short. Raises FatalError where a step failed, so that the run is Failed and people hear of it."""
    from trader.bootstrap import night

    record = night.recorded(load(), day)
    if failures := record.failures:
        name, why = next(iter(failures.items()))
        raise FatalError(f"night of {day}: {len(failures)} of {len(STEPS)} steps failed, the first: {name}: {why}")
    replay = record.found("replay the day")
    return {
        "day": day, "replay": replay["verdict"], "why": replay["reason"], "differences": len(replay["differences"]),
        "legs": replay["legs_traded"], "page": record.found(PUBLISH)["page"],
    }  # fmt: skip
