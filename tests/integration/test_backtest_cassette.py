"""`trader backtest --ai cassette`: the session hears the cassette, the report says whose answers they are and what they may have known."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from tests.backtest_kit import MODE, candle_frame
from trader.bootstrap.backtest import run_backtest
from trader.bootstrap.backtest_asked import Asked
from trader.bootstrap.backtest_cassette import look_ahead
from trader.bootstrap.backtest_result import result_of
from trader.bootstrap.cassettes import Tape
from trader.bootstrap.world import moment
from trader.domain.verdicts import AskOutcome
from trader.gemini.cassette import Cassette, Heard
from trader.gemini.replay import Miss
from trader.reporting.analytics import Trade
from trader.reporting.backtest_screen import backtest_screen

MODEL = "models/gemini-decision-1"
SPAN = {"start": "2025-12-10", "end": "2025-12-11", "warmup": "short"}


@dataclass(frozen=True)
class Whatever(Mapping[str, tuple[tuple[Heard, str], ...]]):
    """The same answer under every address."""

    heard: Heard

    def __getitem__(self, key: str) -> tuple[tuple[Heard, str], ...]:
        return ((self.heard, "C01"),)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


@dataclass(frozen=True, kw_only=True)
class OneMind(Cassette):
    """A cassette that answers every question alike, after 0.2 s."""

    @cached_property
    def answers(self) -> Mapping[str, tuple[tuple[Heard, str], ...]]:
        return Whatever(self.calls[0])


def tape(p_loss: float, *, twin: bool = False, knows: bool = True, miss: Miss = Miss.FAIL) -> Tape:
    reply = {"answers": {"C01": {"type": "noul", "noul": p_loss, "confidence": max(p_loss, 1 - p_loss)}}}
    call = Heard(
        call_id="a", asked_us=1, provider="gemini-decisions", model=MODEL, served="", is_twin=twin, status=200, outcome=AskOutcome.OK,
        detail="", network_ms=200.0, tokens_in=9, keys={"C01": "0" * 64}, reply=json.dumps(reply).encode(),
    )  # fmt: skip
    return Tape(cassette=(OneMind if knows else Cassette)(name="made", calls=(call,)), miss=miss)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "candles.parquet"
    candle_frame(4, young=0).write_parquet(path)
    return path


def result(file: Path, heard: Tape | None) -> dict[str, Any]:
    return result_of(run_backtest(Asked(strategy=MODE, data=file, ai="cassette" if heard else "off", tape=heard, **SPAN)))


def test_an_ai_that_allows_all_changes_no_trade_and_what_it_may_know_is_said(file: Path) -> None:
    off, allowed = result(file, None), result(file, tape(0.01))
    assert allowed["lines"] == off["lines"] and allowed["legs"] >= 3
    assert (allowed["signals"], off["cassette"]) == (off["signals"], None)
    told = allowed["cassette"]
    assert told["missed"] == 0 < told["asked"] and set(told["rulings"]) == {"allow"} and told["label"] == ""
    assert told["look_ahead"]["at_risk"] == allowed["trades"] and told["look_ahead"]["cutoff"] is None
    assert any("Look-ahead risk: ai.training_cutoff does not say" in one for one in allowed["warnings"])
    assert f"AI cassette {told['sha256'][:12]}: {told['rulings']['allow']} allow" in " ".join(backtest_screen(allowed).split())


def test_what_is_not_on_the_cassette_is_no_verdict_and_a_script_is_named(file: Path) -> None:
    silent = result(file, tape(0.01, twin=True, knows=False, miss=Miss.ABSTAIN))
    told = silent["cassette"]
    assert silent["lines"] == [] and told["missed"] == told["asked"] > 0
    assert silent["refusals"] == {"AI_NONE": silent["signals"]}
    assert any(f"{told['missed']} of {told['asked']} questions were not on the cassette" in one for one in silent["warnings"])
    assert any("scripted stand-in, not AI: they say nothing" in one for one in silent["warnings"])


@pytest.mark.parametrize(
    ("model", "cutoffs", "expected"),
    [
        ("m", {"m": "2026-01-02"}, (2, 1, "2026-01-02T00:00:00Z")),
        ("m", {"m": "2026-01-01"}, (0, 3, "2026-01-01T00:00:00Z")),
        ("m", {"other": "2026-01-01"}, (3, 0, None)),
        ("", {"m": "2026-01-02"}, (0, 3, None)),
    ],
)
def test_trades_entered_before_the_training_data_ends_are_at_risk(
    model: str, cutoffs: dict[str, str], expected: tuple[int, int, str | None]
) -> None:
    trades = [
        Trade(
            position_id=str(day), pair="A/EUR", entry_us=moment(f"2026-01-0{day}"), exit_us=moment("2026-01-09"), stake=Decimal(100),
            turnover=Decimal(200), fees=Decimal(0), net=Decimal(day), reason="TP1",
        )
        for day in (1, 1, 2)
    ]  # fmt: skip
    found = look_ahead(model, cutoffs, trades)
    assert (found["at_risk"], found["after"], found["cutoff"]) == expected
    assert Decimal(found["at_risk_net"]) + Decimal(found["after_net"]) == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"strategy": "S1"}, "--ai cassette: no session trades S1"),
        ({"market": "futures"}, "--ai cassette: no session asks the AI about futures"),
        ({"verify": True}, "--verify: compares the kernel with a session"),
    ],
)
def test_where_nobody_can_hear_it_a_cassette_is_refused(file: Path, change: dict[str, Any], words: str) -> None:
    asked = {"strategy": MODE, "data": file, "ai": "cassette", "tape": tape(0.1)} | change
    with pytest.raises(Exception, match=words):
        run_backtest(Asked(**asked))
