"""The night's replay of a day: the same trades from stored candles, any difference by name, and unknown never told as equal."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from night_kit import DAY_US, lived

from trader.bootstrap.day_replay import PlayedDay, judged, play_day, replay_day
from trader.bootstrap.held_rulings import hold
from trader.bootstrap.past_day import read_candles, read_traded
from trader.bootstrap.paths import Paths
from trader.config import Settings
from trader.domain.market import DAY

LEAST_LEGS, LEAST_CANDIDATES, LEAST_RULINGS = 3, 50, 3


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return lived(tmp_path_factory.mktemp("night") / "state")


@pytest.fixture(scope="module")
def played(installation: Settings) -> PlayedDay:
    return play_day(installation, DAY_US)


def copied(settings: Settings, tmp_path: Path) -> Settings:
    """The same installation to be spoiled."""
    shutil.copytree(settings.state, tmp_path / "state")
    return settings.model_copy(update={"state_dir": str(tmp_path / "state")})


def spoiled(file: Path, statement: str) -> None:
    """Change rows the way somebody with a database tool would."""
    with sqlite3.connect(file) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        assert connection.execute(statement).rowcount == 1
    connection.close()


@pytest.mark.slow
def test_a_day_comes_out_the_same_from_its_stored_candles(played: PlayedDay) -> None:
    found = judged(played)
    assert (found.verdict, found.reason, found.differences, found.first_input) == ("EQUAL", "", (), "")
    assert found.legs_replayed == found.legs_traded == found.legs_same >= LEAST_LEGS
    assert found.candidates_replayed == found.candidates_traded >= LEAST_CANDIDATES
    assert found.rulings_checked >= LEAST_RULINGS
    assert found.pairs == 12
    assert any("the stored minutes end at 2026-01-06T" in caveat for caveat in found.caveats)


def test_a_trade_booked_otherwise_and_a_value_judged_otherwise_are_named(installation: Settings, played: PlayedDay, tmp_path: Path) -> None:
    settings = copied(installation, tmp_path)
    ledger = Paths(settings.state).ledger
    traded = read_traded(Paths(settings.state), DAY_US, DAY_US + DAY)
    leg = min(traded.legs, key=lambda leg: leg.exit_us)
    spoiled(ledger, f"UPDATE fill SET price = '1.25' WHERE seq = (SELECT max(seq) FROM fill WHERE position_id = '{leg.position_id}')")
    first = min(traded.decisions, key=lambda d: (d.close_us, d.pair))
    spoiled(ledger, f"UPDATE decision SET score = score - 1 WHERE decision_id = '{first.decision_id}'")
    found = judged(replace(played, traded=read_traded(Paths(settings.state), DAY_US, played.stored.until_us)))
    assert found.verdict == "DIFFERENT"
    assert {(row["field"], row["ledger"]) for row in found.differences if leg.pair in row["leg"]} >= {("exit_price", "1.25")}
    assert found.first_input.startswith(f"{first.pair} at the close {first.close_us}: score")


def test_a_ruling_that_does_not_follow_from_its_raw_reply_is_named_and_one_without_a_reply_is_no_proof(
    installation: Settings, played: PlayedDay, tmp_path: Path
) -> None:
    paths, used = Paths(installation.state), played.traded.used
    hit = next(row for row in used if row["lookup"] == "HIT")
    held = hold(paths, [row | {"p_loss": 0.9876} if row is hit else row for row in used])
    found = judged(replace(played, held=held))
    assert found.verdict == "DIFFERENT" and found.legs_same == found.legs_traded
    (row,) = found.differences
    assert (row["leg"], row["field"]) == (hit["decision_id"], "ruling") and "at 0.9876" in row["ledger"]
    lost = hold(Paths(tmp_path), used)
    assert (lost.checked, lost.lost > 0) == (0, True)
    assert any("not stored any more" in caveat for caveat in judged(replace(played, held=lost)).caveats)


def _other_strategy(settings: Settings) -> Settings:
    return settings.model_copy(update={"variation": "DEFAULT"})


def _other_limit(settings: Settings) -> Settings:
    return settings.model_copy(update={"halts": settings.halts.model_copy(update={"stops": 5})})


def _no_history(settings: Settings) -> Settings:
    shutil.rmtree(Paths(settings.state).history)
    return settings


def _no_session(settings: Settings) -> Settings:
    Paths(settings.state).ledger.unlink()
    return settings


@pytest.mark.parametrize(
    ("spoil", "day_us", "reason"),
    [
        (_other_strategy, DAY_US, "ran with strategy viable/mitraillette/AGGRESSIVE, the settings now say viable/mitraillette/DEFAULT"),
        (_other_limit, DAY_US, "ran with settings "),
        (_no_history, DAY_US, "there is no history store here"),
        (_no_session, DAY_US, "no session has run here"),
        (lambda settings: settings, DAY_US - DAY, "a replay needs the books of the evening before"),
        (lambda settings: settings, DAY_US + DAY, "the history store has no minutes of that day"),
    ],
)
def test_a_day_that_cannot_be_replayed_is_unknown_and_says_why(
    installation: Settings, tmp_path: Path, spoil, day_us: int, reason: str  # type: ignore[no-untyped-def]
) -> None:  # fmt: skip
    found = replay_day(spoil(copied(installation, tmp_path)), day_us)
    assert found.verdict == "UNKNOWN"
    assert reason in found.reason
    assert found.legs_same == 0


def test_the_candles_that_were_read_are_named_by_the_digest_of_their_files(installation: Settings) -> None:
    stored = read_candles(installation, Paths(installation.state), DAY_US)
    assert stored.digest.count("-") == 2
    assert stored.lacking == 0
