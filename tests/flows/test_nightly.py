"""The flow of the night: a step that fails stops no other, a killed night goes on where it was, and people hear of it once."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from night_kit import DAY, DAY_US, lived
from prefect_kit import ROOT

from trader.bootstrap import nights
from trader.bootstrap.paths import Paths
from trader.config import Settings
from trader.data.outbox import Outbox
from trader.simulation.clock import save_clock

pytestmark = [pytest.mark.prefect, pytest.mark.slow]
LOOKING_BACK = ("close the books", "audit the data", "replay the day", "sum up", "score the AI", "suggest")


def _variables(settings: Settings) -> dict[str, str]:
    return {
        "TRADER_STATE_DIR": settings.state_dir, "TRADER_UNIVERSE": str(settings.universe),
        "TRADER_MARKET__PAIRS": str(settings.market.pairs), "TRADER_MARKET__SEED": str(settings.market.seed),
        "TRADER_MARKET__EPOCH": settings.market.epoch,
    }  # fmt: skip


def _killed_after(step: str, settings: Settings, api: str) -> None:
    """The flow as a process of its own, killed once this step is written down."""
    command = [sys.executable, "-m", "flows.nightly_analysis", "--day", DAY]
    environ = {**os.environ, **_variables(settings), "PREFECT_API_URL": api}
    child = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    until = time.monotonic() + 120
    while not _record(settings).done(step):
        assert child.poll() is None, child.communicate()[0].decode()[-2000:]
        assert time.monotonic() < until
        time.sleep(0.02)
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()


def _record(settings: Settings) -> nights.Night:
    return nights.load(Paths(settings.state).nights, DAY)


async def _night(**more: Any) -> Any:
    from flows.nightly_analysis import nightly_analysis

    return await nightly_analysis(day=DAY, return_state=True, **more)


async def _artifacts() -> list[Any]:
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        return [one for one in await client.read_artifacts() if (one.key or "").startswith("night")]


@pytest.fixture(scope="module")
def ran(prefect_api: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A night whose history cannot be read, the same killed in its replay, and the same once more."""
    settings = lived(tmp_path_factory.mktemp("night") / "state")
    catalog = Paths(settings.state).history / "catalog.sqlite"
    save_clock(Paths(settings.state).clock, origin_us=DAY_US + 27 * 3_600_000_000, wall_s=time.time(), speed=1.0)  # the night after
    found: dict[str, Any] = {"settings": settings}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _variables(settings).items():
            patch.setenv(name, value)
        patch.chdir(tmp_path_factory.mktemp("cwd"))
        sound = catalog.read_bytes()
        catalog.write_bytes(b"not a database " * 300)
        for beside in ("-wal", "-shm"):
            catalog.with_name(catalog.name + beside).unlink(missing_ok=True)
        found["broken"] = asyncio.run(_night()), _record(settings)
        catalog.write_bytes(sound)
        _killed_after("audit the data", settings, prefect_api)
        found["killed"] = _record(settings)
        found["whole"] = asyncio.run(_night()), _record(settings)
        found["again"] = asyncio.run(_night()), _record(settings)
        found["artifacts"] = asyncio.run(_artifacts())
    return found


def test_a_step_that_fails_stops_no_other_and_the_run_is_failed(ran: dict[str, Any]) -> None:
    state, record = ran["broken"]
    assert state.is_failed()
    assert "3 of 8 steps failed, the first: audit the data: CorruptError" in state.message
    assert [name for name in LOOKING_BACK if record.done(name)] == ["close the books", "sum up", "suggest"]
    assert record.done("publish") and record.done("tell people")


def test_a_killed_night_goes_on_where_it_was(ran: dict[str, Any]) -> None:
    _, first = ran["broken"]
    state, whole = ran["whole"]
    assert not ran["killed"].done("replay the day")
    assert state.is_completed(), state.message
    assert all(whole.done(name) for name in LOOKING_BACK)
    for name in ("close the books", "sum up", "tell people"):
        assert whole.steps[name] == first.steps[name], "a step that is done is not repeated"
    assert whole.steps["audit the data"] == ran["killed"].steps["audit the data"]
    assert whole.steps["publish"] != first.steps["publish"], "the page is made anew for what was found since"


def test_the_day_was_replayed_and_came_out_the_same(ran: dict[str, Any]) -> None:
    found = ran["whole"][1].found("replay the day")
    assert (found["verdict"], found["differences"]) == ("EQUAL", [])
    assert found["legs_same"] >= 3


def test_every_signal_that_was_put_to_the_ai_has_an_outcome_or_a_reason(ran: dict[str, Any]) -> None:
    found = ran["whole"][1].found("score the AI")
    labelled, signals = found["labelled"], ran["whole"][1].found("sum up")["rulings"]
    assert labelled["labels"] >= 3 and sum(labelled["kinds"].values()) == labelled["new"] == labelled["labels"]
    assert sum(labelled["reasons"].values()) == labelled["unlabelled"] and signals
    assert found["label"] == "scripted stand-in, not AI" and found["mode"] == "veto" and not found["demoted"]


def test_a_finished_night_runs_nothing_again(ran: dict[str, Any]) -> None:
    state, record = ran["again"]
    assert state.is_completed()
    assert record == ran["whole"][1]


def test_people_hear_of_a_night_once_and_of_its_failure_too(ran: dict[str, Any]) -> None:
    outbox = Outbox(Paths(ran["settings"].state).ops)
    try:
        told = {message.kind: message.payload for message in outbox.latest()}
        kinds = [message.kind for message in outbox.latest()]
    finally:
        outbox.close()
    assert kinds.count("report.night") == 1
    assert "flow.failed" in kinds
    assert any("Step 'replay the day' failed" in line for line in told["report.night"]["lines"])


def test_the_page_shows_verdict_figures_and_two_charts(ran: dict[str, Any]) -> None:
    pages = [one.data for one in ran["artifacts"] if one.key == "night"]
    text = max(pages, key=lambda page: "**Equal.**" in page)
    assert text.startswith(f"# Night of {DAY}")
    assert "**Equal.**" in text
    assert len(re.findall(r"!\[[^\]]+\]\(data:image/png;base64,", text)) == 2
