"""Cassettes: addressed by what was asked, the same after a file, every failure kept, damage named."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from tests.gemini_modes import EPOCH, fault, questions, with_twin
from trader.data.verdicts import SqliteVerdictStore
from trader.domain.verdicts import AskOutcome, Question, Verdict
from trader.errors import ConfigError, CorruptError, FatalError
from trader.gemini import cassette as tapes
from trader.gemini.cassette import Cassette, Source
from trader.gemini.client import make_client
from trader.gemini.decisions import GeminiDecisions
from trader.gemini.replay import Miss, Replay
from trader.simulation.clock import LoopClock
from trader.simulation.gemini_server import GeminiTwin
from trader.simulation.loops import run_stepped

SOURCE: Source = ("gemini-decisions", "models/gemini-decision-1")
Rounds = list[tuple[list[tuple[object, ...]], str, int]]
Recording = tuple[Cassette, Rounds]
ROUNDS = 7
PLAN = "".join(fault(mode, nth=[number]) for number, mode in enumerate(("ok", "503", "hang", "nan", "missing_id"), start=1))


def other(number: int) -> list[Question]:
    """Questions of one round, unlike those of any other."""
    return [replace(one, features=one.features | {"score": 50.0 + number}) for one in questions(5)]


def told(verdicts: list[Verdict]) -> list[tuple[object, ...]]:
    return [(v.key.pair, v.outcome, v.p_loss, v.detail, v.verdict_id, v.is_twin, round(v.latency_ms, 6), v.expires_us) for v in verdicts]


async def ask_all(advisor: GeminiDecisions | Replay, clock: LoopClock) -> Rounds:
    """Seven rounds, two minutes apart: what came, the state it left, and when it came."""
    heard = []
    for number in range(ROUNDS):
        verdicts = list(await advisor.ask(other(number)))
        heard.append((told(verdicts), advisor.state(), clock.now_us() // 1000))
        await asyncio.sleep(120)
    return heard


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A cassette of seven rounds through the real SDK, five of them with a fault, and what the asker heard."""
    path = tmp_path_factory.mktemp("store") / "ai.sqlite"
    store = SqliteVerdictStore(path)

    async def use(twin: GeminiTwin, _: GeminiDecisions) -> Rounds:
        clock = LoopClock(EPOCH)
        return await ask_all(GeminiDecisions(make_client("k", twin.url), clock, store=store, seed=7), clock)

    heard = with_twin(use, PLAN)
    made = tapes.recorded("memory", store.calls())
    store.close()
    return made, heard


def played(cassette: Cassette, miss: Miss = Miss.FAIL) -> Rounds:
    async def main() -> Rounds:
        clock = LoopClock(EPOCH)
        return await ask_all(Replay(cassette, clock, source=SOURCE, miss=miss, seed=7), clock)

    return run_stepped(main)


def test_answers_failures_latency_and_breaker_come_back_as_they_were(recording: Recording, tmp_path: Path) -> None:
    cassette, heard = recording
    outcomes = [call.outcome for call in cassette.calls]
    assert {AskOutcome.OK, AskOutcome.UNAVAILABLE, AskOutcome.TIMEOUT, AskOutcome.INVALID} == {*outcomes}
    assert "BREAKER" in {state for _, state, _ in heard}
    cassette.save(tmp_path / "a.jsonl")
    again = tapes.load(tmp_path / "a.jsonl")
    assert (again.calls, again.sha256) == (cassette.calls, cassette.sha256)
    assert played(again) == heard


def test_an_address_knows_neither_id_nor_company_but_every_word_of_the_question(
    recording: Recording,
) -> None:
    """A question that was recorded among five is answered alone; one with another number is not on the cassette."""
    cassette, heard = recording
    alone = other(0)[3]
    changed = replace(alone, features=alone.features | {"rsi": 27.1})

    async def main(question: Question) -> Verdict:
        return (await Replay(cassette, LoopClock(EPOCH), source=SOURCE, miss=Miss.ABSTAIN).ask([question]))[0]

    found = run_stepped(lambda: main(alone))
    assert told([found]) == [heard[0][0][3]]
    missed = run_stepped(lambda: main(changed))
    assert (missed.outcome, missed.detail, missed.p_loss) == (AskOutcome.UNAVAILABLE, "not on the cassette", None)


def test_a_miss_ends_the_session_or_leaves_the_breaker_alone(
    recording: Recording,
) -> None:
    empty = replace(recording[0], calls=recording[0].calls[:1])
    with pytest.raises(FatalError, match=r"5 of 10 questions are not on it, the first [0-9a-f]{12}; .*--miss abstain"):
        played(empty)
    silent = played(empty, Miss.ABSTAIN)
    assert {state for _, state, _ in silent} == {"ok"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("", "line 1: not a cassette"),
        ('{"cassette": 9, "calls": 0}\n', "line 1: .*format 9 with 0 calls; expected 1 with 0"),
        ('{"cassette": 1, "calls": 2}\n{}\n', "line 1: .*with 2 calls; expected 1 with 1"),
        ('{"cassette": 1, "calls": 1}\n{}\n', "line 2: not a cassette"),
        ('{"cassette": 1, "calls": 1}\nno\n', "line 2: not a cassette"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "c.jsonl"
    if text is not None:
        path.write_text(text)
    with pytest.raises((ConfigError, CorruptError), match=words):
        tapes.load(path)


def test_a_cassette_of_nobody_or_of_strangers_is_refused(
    recording: Recording,
) -> None:
    cassette = recording[0]
    with pytest.raises(ConfigError, match="holds no call"):
        replace(cassette, calls=()).source()
    two = replace(cassette, calls=(*cassette.calls, replace(cassette.calls[0], call_id="x", model="models/other")))
    assert two.source(SOURCE) == SOURCE
    with pytest.raises(ConfigError, match="holds answers of gemini-decisions models/gemini-decision-1, gemini-decisions models/other"):
        two.source(("gemini-text", "models/else"))
    with pytest.raises(CorruptError, match="answers of 'oracle'; known are "):
        Replay(cassette, LoopClock(EPOCH), source=("oracle", "m"))
