"""Safety rules of the AI at the order path (docs/reference/ai-safety.md): it can only hold an entry back, and never by waiting."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.execution.test_risk import candidate, run
from trader.bootstrap.children import Children
from trader.bootstrap.paths import Paths
from trader.config import load
from trader.domain.messages import Refusal
from trader.domain.verdicts import AiMode, Lookup, Ruling, RulingResult
from trader.execution import asking, confirmation, thresholds, verdict_book
from trader.execution.close import CloseStage, Waiting
from trader.execution.risk import Approved, Deferred, Refused
from trader.execution.thresholds import SHRINK_FACTOR
from trader.gemini.client import GOOGLE, make_client

PAIRS = ("A/EUR", "B/EUR", "C/EUR")
RULINGS = st.sampled_from([
    RulingResult(ruling=Ruling.ALLOW, lookup=Lookup.HIT), RulingResult(ruling=Ruling.SHRINK, lookup=Lookup.HIT, factor=SHRINK_FACTOR),
    RulingResult(ruling=Ruling.VETO, lookup=Lookup.HIT), *(RulingResult(ruling=Ruling.DEFER, lookup=one) for one in Lookup),
])  # fmt: skip


@pytest.mark.parametrize("lookup", [one for one in Lookup if one is not Lookup.HIT])
def test_without_a_usable_verdict_no_entry_leaves_at_the_close_or_at_a_beat_after_it(lookup: Lookup) -> None:
    deferred = run(candidate(), rule=lambda _: RulingResult(ruling=Ruling.DEFER, lookup=lookup))
    assert [type(one) for one in deferred] == [Deferred]
    stage = SimpleNamespace(_waiting={})
    first = CloseStage._still(stage, deferred[0], {"A/EUR": Waiting(decision=deferred[0].decision)})  # type: ignore[arg-type]
    last = CloseStage._still(stage, deferred[0], stage._waiting)  # type: ignore[arg-type]
    assert isinstance(first, Deferred) and isinstance(last, Refused) and last.code is Refusal.AI_NONE


@given(st.fixed_dictionaries(dict.fromkeys(PAIRS, RULINGS)))
@settings(max_examples=150, deadline=None)
def test_entries_with_the_ai_are_entries_without_it_none_larger_dearer_or_new(said: dict[str, RulingResult]) -> None:
    """Of one bar with room for all; a place in the account that a veto leaves free may go to the next candidate of the same bar."""
    candidates = [candidate(pair) for pair in PAIRS]
    free = {one.decision.pair: one for one in run(*candidates) if isinstance(one, Approved)}
    with_ai = [one for one in run(*candidates, rule=lambda decision: said[decision.pair]) if isinstance(one, Approved)]
    assert len(free) == len(PAIRS)
    for one in with_ai:
        other = free[one.decision.pair]
        assert one.quantity <= other.quantity and one.stake <= other.stake
        assert (one.cap_price, one.stop_trigger, one.plan) == (other.cap_price, other.stop_trigger, other.plan)
    assert {one.decision.pair for one in with_ai} == {pair for pair in PAIRS if said[pair].ruling in (Ruling.ALLOW, Ruling.SHRINK)}


@pytest.mark.parametrize("module", [confirmation, verdict_book, thresholds, asking])
def test_nothing_between_a_signal_and_its_ruling_can_wait(module: object) -> None:
    nodes = list(ast.walk(ast.parse(Path(str(module.__file__)).read_text())))  # type: ignore[attr-defined]
    assert len(nodes) > 100
    assert not [node for node in nodes if isinstance(node, ast.Await | ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith)]
    named = {node.id for node in nodes if isinstance(node, ast.Name)} | {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    assert not named & {"open", "socket", "asyncio", "requests", "httpx"}


def test_the_real_service_is_asked_at_its_own_address_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The SDK would follow a variable to the stand-in; only a demo's worker is told another address, and that by its command line."""
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:8702")
    client = make_client("any")
    assert client._api_client._http_options.base_url == GOOGLE and GOOGLE.startswith("https://")
    for environment, told in (("demo", True), ("paper", False), ("live", False)):
        chosen = load({"environment": environment, "state_dir": str(tmp_path)}, environ={})
        words = Children(chosen, Paths(tmp_path), tmp_path).advisor().command
        assert ("--base-url" in words) is told


def test_modes_are_the_three_of_the_settings_and_off_must_be_written() -> None:
    assert [mode.value for mode in AiMode] == ["off", "shadow", "veto"]
    assert load({}, environ={}).ai.mode == "veto"
