"""A person's orders to a running session: they bind, they are answered, and clearing a halt needs what it should need."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from session_kit import HOUR, TIMING, Stage, Trader, fetch_history, live, state_dir, trader

from trader.data.ledger_control import submit_control
from trader.data.reader import LedgerReader
from trader.domain.market import SECOND
from trader.domain.messages import Refusal
from trader.domain.orders import Leg
from trader.execution.wiring import Timing
from trader.ports import Halt
from trader.simulation.loops import run_stepped

pytestmark = pytest.mark.slow
SEED = 5


@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage.of(SEED, port=8741)


@pytest.fixture(scope="module")
def history(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fetch_history(stage, tmp_path_factory.mktemp("history"))


def play(
    stage: Stage, history: Path, root: Path, script: Callable[[Trader], Awaitable[None]], hours: float = 2.0, *, timing: Timing = TIMING
) -> Trader:
    """A session with `script` running beside it."""
    paths = state_dir(stage, root, history)
    box: list[Trader] = []

    async def main() -> None:
        async with trader(stage, paths, timing=timing) as whole:
            box.append(whole)
            beside = asyncio.create_task(script(whole))
            await live(whole.session, whole.clock, whole.clock.now_us() + int(hours * HOUR))
            await beside

    run_stepped(main)
    return box[0]


async def answered(whole: Trader, verb: str, argument: str = "") -> tuple[str, str]:
    """Give a control and wait for its answer, as the command line does."""
    ledger = whole.session.w.ledger
    given = submit_control(whole.paths.ledger, verb, argument, "tester", whole.clock.now_us(), key=f"{verb} {argument}")
    for _ in range(60):
        await whole.clock.sleep(1.0)
        if given.control_id not in {control.control_id for control in ledger.pending_controls()}:
            break
    reader = LedgerReader(whole.paths.ledger)
    seen = reader.control(given.control_id)
    reader.close()
    assert seen is not None
    return seen.control.state, seen.control.answer


def test_a_paused_session_enters_nothing_and_a_resumed_one_does(stage: Stage, history: Path, tmp_path: Path) -> None:
    seen: dict[str, int] = {}

    async def script(whole: Trader) -> None:
        await whole.clock.sleep(30)
        assert (await answered(whole, "pause"))[0] == "DONE"
        await whole.clock.sleep(3000)
        seen["paused"] = sum(i.leg is Leg.ENTRY for i in whole.session.w.ledger.intents())
        seen["refused"] = whole.session.summary.refusals.get(Refusal.HALTED.value, 0)
        state, answer = await answered(whole, "resume")
        assert (state, answer) == ("DONE", "operator cleared; entries are on")
        seen["halts"] = len(whole.session.w.ledger.halts())

    play(stage, history, tmp_path, script)
    assert seen["paused"] == 0
    assert seen["refused"] > 0  # the market did ask: the pause is what kept us out
    assert seen["halts"] == 0


def obeyed_s(whole: Trader) -> list[float]:
    """From each control's row to its answer, in seconds."""
    reader = LedgerReader(whole.paths.ledger)
    lines = reader.events(limit=100_000)
    reader.close()
    given = {line.payload["control_id"]: line.time_us for line in lines if line.type == "control.submitted"}
    return [(line.time_us - given[line.payload["control_id"]]) / SECOND for line in lines if line.type == "control.answered"]


def test_a_halt_for_losses_is_cleared_only_with_a_written_reason(stage: Stage, history: Path, tmp_path: Path) -> None:
    answers: list[tuple[str, str]] = []

    async def script(whole: Trader) -> None:
        await whole.clock.sleep(120)
        now = whole.clock.now_us()
        whole.session.w.ledger.set_halt(Halt(cause="DAILY_LOSS", level="REDUCING", since_us=now, reason="planted"))
        answers.append(await answered(whole, "resume", "DAILY_LOSS"))
        answers.append(await answered(whole, "resume", "DRAWDOWN: no such halt"))
        answers.append(await answered(whole, "resume", "DAILY_LOSS: looked at every trade"))

    whole = play(stage, history, tmp_path, script, hours=0.1, timing=replace(TIMING, control_poll_s=Timing().control_poll_s))
    assert max(obeyed_s(whole)) <= 1.0
    assert len(obeyed_s(whole)) == 3
    assert [state for state, _ in answers] == ["REFUSED", "REFUSED", "DONE"]
    assert "written reason" in answers[0][1]
    assert "on are: DAILY_LOSS" in answers[1][1]
    assert whole.session.summary.ended == "time over"


def test_flatten_sells_what_is_held_and_the_exit_of_nothing_is_refused(stage: Stage, history: Path, tmp_path: Path) -> None:
    seen: dict[str, object] = {}

    async def script(whole: Trader) -> None:
        for _ in range(100):
            await whole.clock.sleep(60)
            if whole.session.keeper.pairs():
                break
        seen["held"] = list(whole.session.keeper.pairs())
        seen["nothing"] = await answered(whole, "exit", "NOTHING/EUR")
        seen["flatten"] = await answered(whole, "flatten")
        await whole.clock.sleep(30)
        seen["left"] = list(whole.session.keeper.pairs())
        seen["reasons"] = {leg.reason for leg in whole.session.w.ledger.trade_legs()}

    play(stage, history, tmp_path, script)
    assert seen["held"]
    assert seen["nothing"] == ("REFUSED", "nothing is held under 'NOTHING/EUR'")
    assert seen["flatten"][0] == "DONE"  # type: ignore[index]
    assert seen["left"] == []
    assert "FLATTEN" in seen["reasons"]  # type: ignore[operator]
