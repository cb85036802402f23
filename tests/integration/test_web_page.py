"""The status page over real ledgers: alive, ended, silent, empty, damaged; never a failure, never a request elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from status_kit import BARS, T0, lively

from trader.bootstrap import judgements, nights
from trader.bootstrap.dependencies import missing
from trader.bootstrap.past import SCRATCH as PAST_SCRATCH
from trader.bootstrap.paths import Paths
from trader.bootstrap.readmodel import SCRATCH, ReadModel
from trader.data.projector import Projector
from trader.data.suggestions import Suggestions
from trader.domain.market import MINUTE
from trader.domain.suggestions import Act, Proposal, Suggestion, SuggestionKind, SuggestionReason, Tunable
from trader.simulation.clock import save_clock
from trader.web.app import create_app


def browse(state: Path) -> TestClient:
    model = ReadModel(state, prefect_url="http://127.0.0.1:4200", ask=lambda url: missing("prefect", url))
    return TestClient(create_app(model), base_url="http://127.0.0.1:8787")


def text_of(state: Path) -> str:
    answer = browse(state).get("/")
    assert answer.status_code == 200
    return answer.text


def running(state: Path, *, wall_s: float, speed: float = 30.0) -> None:
    """A paced clock that shows the ledger's last minute at `wall_s`."""
    save_clock(state / "clock.json", origin_us=T0 + BARS * MINUTE, wall_s=wall_s, speed=speed)


def test_page_shows_a_running_demo(tmp_path: Path) -> None:
    state = lively(tmp_path)
    page = text_of(state)
    assert "DEMO" in page
    assert "scripted stand-in, not AI" in page
    for told in ("SOL/EUR", "first target", "stop-loss", "allowed", "score too low", "viable/mitraillette/AGGRESSIVE", "10,006.75"):
        assert told in page, told
    assert "The daily loss limit was reached" in page
    assert "ADA/EUR is not traded" in page
    assert "no_gap" in page


def test_equity_curve_is_in_the_page_itself(tmp_path: Path) -> None:
    page = text_of(lively(tmp_path))
    paths = re.findall(r'class="line" d="(M[^"]+)"', page)
    assert len(paths) == 1
    assert paths[0].count("L") == BARS - 2
    assert re.search(r'role="img" aria-label="Equity from 10,000.25 to 10,006.75 EUR', page)


def _night(state: Path, **steps: dict[str, object]) -> str:
    record = nights.Night(day="2026-01-04")
    for name, found in steps.items():
        record.steps[name] = nights.Step(state=nights.DONE, at="2026-01-05T00:10:00Z", found=found)
    nights.save(state / "nights", record)
    return text_of(state)


def test_the_page_tells_of_the_last_night_and_leads_to_its_own_page(tmp_path: Path) -> None:
    state = lively(tmp_path)
    assert "Last night" not in text_of(state)
    assert "Night of 2026-01-04: under way, steps done: 1" in _night(state, books={})
    found = {"headline": "Night of 2026-01-04: replay different", "lines": ["Replay: DIFFERENT in 2 fields."], "sound": False, "page": "x"}
    page = _night(state, publish=found)
    for told in ("replay different", "DIFFERENT in 2 fields", "look at it", 'href="http://127.0.0.1:4200/artifacts/artifact/x"'):
        assert told in page, told
    assert "look at it" not in _night(state, publish={**found, "sound": True})


def _judgement(state: Path, **more: Any) -> str:
    row = {"name": "viable/sniper/DEFAULT", "mean": 0.001, "sharpe": 0.12, "p": 0.01, "p_adjusted": 0.02, "trades": 51, "pairs": 7}
    row |= {"gain_a_trade": 0.004, "train_sharpe": 0.2, "eligible": True, "failed": []}
    told = {"run": "R1", "at": "2026-01-05T03:31:00Z", "at_us": 1, "decision": "SWITCH", "current": "viable/mitraillette/DEFAULT"}
    told |= {"candidate": row["name"], "sentence": "SWITCH from one to the other", "leaderboard": [row], "flow_run": "f-1"}
    judgements.write(Paths(state), told | more)
    return text_of(state)


def test_the_page_tells_of_the_newest_judgement_and_leads_to_the_question_that_waits(tmp_path: Path) -> None:
    state = lively(tmp_path)
    assert "Keep or switch" not in text_of(state)
    page = _judgement(state, ai={"mode": "veto", "binding": True, "words": "the AI's stand-in (scripted, not AI) does not reject"})
    for told in (
        "SWITCH from one to the other",
        "waits for a person",
        "/runs/flow-run/f-1",
        "--approve R1",
        "+0.100 %",
        "scripted, not AI",
    ):
        assert told in page, told
    settled = _judgement(state, outcome="one/DEFAULT to two/DEFAULT", current="viable/sniper/DEFAULT")
    assert "What came of it: one/DEFAULT to two/DEFAULT." in settled and "waits for a person" not in settled
    assert "in use</span>" in settled and "in use</span>" not in page
    assert "waits for a person" not in _judgement(state, decision="KEEP")
    (state / "optimizer" / "R1.json").write_text("{")
    assert "Keep or switch" not in text_of(state), "a file that cannot be read leaves the page whole"


def test_a_record_of_a_night_that_cannot_be_read_leaves_the_page_whole(tmp_path: Path) -> None:
    state = lively(tmp_path)
    (state / "nights").mkdir()
    (state / "nights" / "2026-01-04.json").write_text("{")
    assert "Last night" not in text_of(state)


def test_stored_text_is_escaped(tmp_path: Path) -> None:
    page = text_of(lively(tmp_path))
    assert "52 below 58 &lt;b&gt;" in page
    assert "58 <b>" not in page


def test_state_follows_lease_and_halts(tmp_path: Path) -> None:
    def state_of(state: Path) -> str:
        return ReadModel(state, ask=lambda url: missing("prefect", url)).status().session.state

    ended, alive = lively(tmp_path / "a", end=True), lively(tmp_path / "b")
    assert state_of(ended) == "STOPPED"
    assert state_of(alive) == "PAUSED"


def test_dead_trader_is_silent_and_grey_with_its_age(tmp_path: Path) -> None:
    state = lively(tmp_path)
    running(state, wall_s=0.0)  # fifty years of machine time ago: every lease has expired
    model = ReadModel(state, ask=lambda url: missing("prefect", url))
    status = model.status()
    assert status.session.state == "SILENT"
    assert status.stale_s is not None
    assert status.stale_s > 86_400
    page = text_of(state)
    assert 'class="stale"' in page
    assert "died or hangs" in page


def test_empty_and_missing_directories_guide_the_newcomer(tmp_path: Path) -> None:
    for state in (tmp_path, tmp_path / "nowhere"):
        page = text_of(state)
        assert "Nothing has run here yet" in page
        assert "trader up --env demo" in page
    assert not (tmp_path / "nowhere").exists()


def test_simulated_past_is_followed_while_it_is_played(tmp_path: Path) -> None:
    state = tmp_path / "demo"
    state.mkdir()
    lively(tmp_path / "made").rename(state / SCRATCH)
    assert SCRATCH == PAST_SCRATCH
    page = text_of(state)
    assert "Playing the simulated past" in page
    assert "10,006.75" in page


@pytest.mark.parametrize("name", ["ledger.sqlite", "ops.sqlite", "ai.sqlite", "clock.json"])
def test_broken_files_are_named_and_never_break_the_page(tmp_path: Path, name: str) -> None:
    state = lively(tmp_path)
    for tail in ("-wal", "-shm"):
        (state / f"{name}{tail}").unlink(missing_ok=True)
    (state / name).write_bytes(b"not what was written" * 500)
    client = browse(state)
    assert client.get("/").status_code == 200
    assert client.get("/panels.json").status_code == 200
    ready = client.get("/readyz")
    failed = [one["name"] for one in ready.json()["dependencies"] if one["state"] == "failed"]
    assert failed == [{"ledger.sqlite": "ledger", "ops.sqlite": "outbox", "ai.sqlite": "ai", "clock.json": "clock"}[name]]
    assert ready.status_code == 503


def test_a_ledger_that_cannot_be_read_invents_nothing(tmp_path: Path) -> None:
    state = lively(tmp_path)
    (state / "ledger.sqlite").write_bytes(b"garbage" * 2_000)
    page = text_of(state)
    assert "The ledger can&#39;t be read" in page
    assert "No position is open" not in page
    client = browse(state)
    money = client.get("/api/v1/status").json()["money"]
    assert (money["equity"], money["trades"], money["open"]) == (None, None, None)
    for name in ("equity", "positions", "trades", "decisions", "pairs"):
        answer = client.get(f"/api/v1/{name}")
        assert answer.status_code == 503
        assert "ledger.sqlite" in answer.json()["detail"]
    assert client.get("/api/v1/notifications").status_code == 200


def test_messages_are_shown_as_slack_would_show_them(tmp_path: Path) -> None:
    state = lively(tmp_path)
    projector = Projector(state / "ledger.sqlite", state / "ops.sqlite")
    assert projector.run() > 5
    projector.close()
    page = text_of(state)
    assert "BUY SOL/EUR 0.5 @ 100.00" in page
    assert "HALT: The daily loss limit was reached" in page


def test_page_asks_for_nothing_off_this_machine(tmp_path: Path) -> None:
    client = browse(lively(tmp_path))
    page = client.get("/").text
    assets = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert len(assets) == 3
    for asset in assets:
        assert client.get(asset).status_code == 200, asset
    addresses = re.findall(r"https?://[^\s\"'<]+", page + "".join(client.get(asset).text for asset in assets))
    outside = [one for one in addresses if not one.startswith(("http://127.0.0.1:", "http://www.w3.org/2000/svg"))]
    assert addresses
    assert not outside
    assert " style=" not in page  # the policy forbids it


def test_landmarks_and_headings_are_there(tmp_path: Path) -> None:
    page = text_of(lively(tmp_path))
    assert page.count("<main") == 1
    assert page.count("<h1") == 1
    labelled = re.findall(r'aria-labelledby="([^"]+)"', page)
    assert len(labelled) > 8
    assert all(f'id="{name}"' in page for name in labelled)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_a_suggestion_that_waits_is_shown_with_the_command_that_answers_it(tmp_path: Path) -> None:
    state = lively(tmp_path)
    change = Proposal(
        name="S1", kind=SuggestionKind.PARAM_CHANGE, strategy="viable/mitraillette/AGGRESSIVE", reason=SuggestionReason.WEAK_ENTRIES_LOSE,
        parameter=Tunable.MIN_SCORE, current=58.0, proposed=62.0,
    )  # fmt: skip
    table = Suggestions(Paths(state).ops)
    for name, twin in (("20260106-S1", True), ("20260106-S2", False)):
        made = Suggestion(
            suggestion_id=name, night="2026-01-06", proposal=change, trial={"sentence": "the trial's sentence"}, model="m", is_twin=twin,
            made_us=T0,
        )  # fmt: skip
        table.add([made])
    table.answer_suggestion("20260106-S2", Act.REJECT, who="ann", why="no", now_us=T0)
    table.close()
    page = text_of(state)
    assert "min_score 58 -&gt; 62" in page and "trader night approve 20260106-S1" in page and "the trial&#39;s sentence" in page
    assert "20260106-S2" not in page
    assert "No scored verdict yet" in page
