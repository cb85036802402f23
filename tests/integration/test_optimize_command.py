"""`trader optimize` on a state directory: the answer, approval, the next session's strategy, and taking it back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.optimizer_kit import EDGE, NOISE, state_with
from trader import cli
from trader.bootstrap import judgements, optimizing, promotion
from trader.bootstrap.optimizer_records import store, stored
from trader.bootstrap.paths import Paths
from trader.config import Settings, load
from trader.domain.market import DAY
from trader.errors import CorruptError


def run(*arguments: str) -> int:
    return cli.run(["optimize", *arguments])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    state = tmp_path_factory.mktemp("edge")
    return state, state_with(EDGE, state)


@pytest.fixture
def edge(made: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in made[1].items():
        monkeypatch.setenv(name, value)
    return load()


def test_a_switch_is_found_approved_used_by_the_next_session_and_taken_back(edge: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json", "--force") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["decision"] == "SWITCH", told["sentence"]
    assert told["candidate"] == "viable/mitraillette/DEFAULT" != told["current"] == edge.strategy
    assert len(told["leaderboard"]) == 6 and told["out_of_sample_days"] == 56 and len(told["inputs_digest"]) == 64
    assert promotion.active(edge).strategy == edge.strategy, "nothing changes before somebody approves"

    assert run("--approve", told["run"], "--reason", "looked at it") == 0
    assert "from the next session on" in capsys.readouterr().out
    assert promotion.active(edge).strategy == told["candidate"]
    assert promotion.active(edge.model_copy(update={"profile": "seed"})).mode == edge.mode, "another table, other strategies"
    assert run("--approve", told["run"]) == 0, "the same approval twice is one change"
    assert len(promotion.history(edge)) == 1

    capsys.readouterr()
    assert run("--force") == 0
    assert "KEEP viable/mitraillette/DEFAULT" in capsys.readouterr().out, "what is judged is what is in use"

    assert run("--revert") == 0
    assert promotion.active(edge).strategy == edge.strategy
    assert run("--revert") == 1, "a taking back is not taken back"
    capsys.readouterr()
    assert run("--approve", told["run"]) == 1, "nor approved again"
    assert "approved before" in capsys.readouterr().err
    assert run("--changes") == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("looked at it" in line for line in lines) == 1 and sum("takes back" in line for line in lines) == 1


def test_a_judgement_is_not_repeated_within_55_minutes(edge: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--force") == 0
    assert run() == 1
    assert "runs are 55 apart" in capsys.readouterr().err


SWITCH = {
    "run": "r",
    "at_us": 9 * DAY,
    "decision": "SWITCH",
    "current": "viable/sniper/DEFAULT",
    "candidate": "viable/mitraillette/DEFAULT",
}


@pytest.mark.parametrize(
    ("case", "said"),  # a case: what of the judgement is different, what of a second one, days of the clock
    [
        (({}, {}, 9), ""),
        (({"decision": "KEEP"}, {}, 9), "judgement r says KEEP"),
        (({"candidate": "viable/sniper/DEFAULT patient"}, {}, 9), "row of the candidates' table"),
        (({}, {}, 16), ""),
        (({}, {}, 16.1), "7.1 days old"),
        (({}, {"run": "s", "decision": "KEEP"}, 9), "judgement s is newer"),
        (({}, {"run": "s"}, 9), ""),
        (({}, {"run": "q", "decision": "KEEP"}, 9), ""),
        (({"current": "viable/sniper/AGGRESSIVE"}, {}, 9), "strategy viable/sniper/DEFAULT is in use now, not viable/sniper/AGGRESSIVE"),
    ],
)
def test_what_may_not_become_a_change_is_named(
    edge: Settings, tmp_path: Path, case: tuple[dict[str, str], dict[str, str], float], said: str
) -> None:
    changed, newest, days = case
    paths, told, used = Paths(tmp_path), SWITCH | changed, edge.model_copy(update={"mode": "sniper", "variation": "DEFAULT"})
    for one in (told, told | newest):
        judgements.write(paths, one)
    found = promotion.obstacles(used, paths, told, round(days * DAY))
    assert said in found and bool(found) == bool(said)
    locked = used.model_copy(update={"optimizer": used.optimizer.model_copy(update={"lock": True})})
    assert promotion.obstacles(locked, paths, told, round(days * DAY))


def test_a_second_switch_waits_seven_days(edge: Settings, tmp_path: Path) -> None:
    from trader.data.ledger import SqlLedger
    from trader.data.ledger_strategy import submit_change

    paths = Paths(tmp_path)
    SqlLedger(paths.ledger, account="demo").close()
    judgements.write(paths, SWITCH)
    submit_change(paths.ledger, 3 * DAY, before=SWITCH["candidate"], after=SWITCH["current"], who="ann", reason="why", run="first")
    assert "7 are needed" in promotion.obstacles(edge, paths, SWITCH, 10 * DAY - 1)
    assert promotion.obstacles(edge, paths, SWITCH, 10 * DAY) == ""


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--revert", "--changes"], 2, "give one"),
        (["--current", "sniper/FAST"], 2, "sniper/FAST"),
        (["--candidates", "none.toml"], 2, "cannot be read"),
        (["--warmup", "long"], 2, "warmup"),
        (["--approve", "nobody"], 2, "nobody"),
        (["--data", "none.parquet"], 2, "none.parquet"),
        (["--state", "nowhere"], 2, "nowhere"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(
    edge: Settings, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    assert run("--force", *arguments) == code
    captured = capsys.readouterr()
    assert captured.out == "" and said in captured.err and captured.err.count("\n") == 1


def test_noise_is_kept_and_the_same_inputs_give_the_same_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in state_with(NOISE, tmp_path).items():
        monkeypatch.setenv(name, value)
    question = promotion.question_of(load())
    one, two = optimizing.decide_on(question, state=tmp_path), optimizing.decide_on(question, state=tmp_path, threads=2)
    assert one.as_dict() == two.as_dict()
    assert one.judgement.decision == "KEEP" and one.judgement.conditions


def test_a_pinned_file_that_is_gone_decides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in state_with(NOISE, tmp_path).items():
        monkeypatch.setenv(name, value)
    material = optimizing.load(promotion.question_of(load()), state=tmp_path)
    optimizing.forget()
    next((tmp_path / "history" / "parts").rglob("*.parquet")).unlink()
    with pytest.raises(CorruptError, match="not a readable part"):
        optimizing.record(material, material.question.current)


def test_another_number_in_a_row_of_the_table_is_another_input(edge: Settings, tmp_path: Path) -> None:
    """Else a finished record of the row as it was would be taken for one of the row as it is."""
    table, digests = tmp_path / "more.toml", set()
    for oversold in (30, 30, 31):
        table.write_text(f'[[candidate]]\nname = "patient"\nbase = "sniper/DEFAULT"\nrsi_oversold = {oversold}\n')
        question = replace(promotion.question_of(edge), table=table)
        digests.add(optimizing.load(question, state=edge.state).digest)
    assert len(digests) == 2


def test_a_finished_record_is_found_again_and_a_damaged_one_is_not_one(edge: Settings, tmp_path: Path) -> None:
    material = optimizing.load(promotion.question_of(edge), state=edge.state)
    run_ = optimizing.record(material, edge.strategy)
    store(tmp_path, material.digest, run_)
    found = stored(tmp_path, material.digest, edge.strategy)
    assert found is not None and np.array_equal(found.returns, run_.returns) and found.trades.by_pair() == run_.trades.by_pair()
    assert stored(tmp_path, "0" * 64, edge.strategy) is None
    (file,) = (tmp_path / "optimizer" / "records").rglob("*.npz")
    file.write_bytes(file.read_bytes()[:200])
    assert stored(tmp_path, material.digest, edge.strategy) is None


def test_a_file_that_is_no_judgement_is_named(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.optimizer.mkdir()
    (paths.optimizer / "20260101T0000Z-abc.json").write_text("{}")
    with pytest.raises(CorruptError, match="20260101T0000Z-abc"):
        judgements.kept(paths)
