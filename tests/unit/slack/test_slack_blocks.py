"""Words and blocks: limits, escaping, and that no payload whatever breaks the builder."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trader.data.outbox import ALARMS, OFF, THREADED
from trader.slack.blocks import BLOCKS, FALLBACK, HEADER, PAYLOAD, SECTION, cut, escape, render
from trader.slack.phrases import Words, digest, outcome, phrase

KINDS = sorted(
    ALARMS | THREADED | OFF | {"entry.filled", "exit.filled", "system.started", "system.stopped", "halt.cleared", "control.given"}
)
NAMES = ["pair", "price", "quantity", "stop", "points", "score", "cause", "reason", "net", "roi", "held_us", "detail", "why", "p_loss",
         "ruling", "ai_mode", "stop_fraction", "left", "old", "new"]  # fmt: skip
VALUES = st.one_of(st.none(), st.booleans(), st.text(max_size=40), st.integers(), st.floats(), st.just([["base", 50.0]]), st.just("NaN"))


@given(kind=st.sampled_from(KINDS), payload=st.dictionaries(st.sampled_from(NAMES), VALUES))
@settings(max_examples=300, deadline=None)
def test_any_payload_becomes_words_and_blocks(kind: str, payload: dict[str, Any]) -> None:
    made = render(phrase(kind, payload), environment="demo", alarm=kind in ALARMS)
    assert made.text
    assert 2 <= len(made.blocks) <= BLOCKS
    assert outcome(payload).startswith("closed: ")


@given(headline=st.text(max_size=400), lines=st.lists(st.text(max_size=5_000), max_size=80))
@settings(max_examples=60, deadline=None)
def test_limits_hold_for_any_text(headline: str, lines: list[str]) -> None:
    made = render(Words(headline, tuple(lines)), environment="demo")
    header, *middle, footer = made.blocks
    assert len(header["text"]["text"]) <= HEADER
    assert all(len(block["text"]["text"]) <= SECTION for block in middle)
    assert footer["type"] == "context"
    assert len(made.text) <= FALLBACK
    assert len(made.blocks) <= BLOCKS
    assert len(json.dumps(made.blocks)) + len(made.text) <= PAYLOAD or not middle


def test_control_characters_are_escaped_and_never_cut_in_half() -> None:
    assert escape("<!channel> & <@U1>") == "&lt;!channel&gt; &amp; &lt;@U1&gt;"
    assert cut("aaaa&amp;", 7) == "aaaa…"
    assert cut("short", 5) == "short"


def test_entry_tells_what_was_done_and_why() -> None:
    payload = {
        "pair": "ETH/EUR", "quantity": "0.05427847", "price": "2925.7", "stake": "158.8025", "stop": "2838.19", "stop_fraction": 0.0299,
        "tp1": "3067.29", "tp2": "3154.8", "score": 63.0, "points": [["base", 50.0], ["below_lower_band", 8.0]], "ai_mode": "veto",
        "ruling": "ALLOW", "p_loss": 0.1868, "age_ms": 3000.0, "is_twin": True,
    }  # fmt: skip
    assert phrase("entry.filled", payload).text.split("\n") == [
        "BUY ETH/EUR 0.05427847 @ 2,925.70", "stake 158.80, stop 2,838.19 (−2.99 %)", "targets 3,067.29 / 3,154.80",
        "score 63: a signal +50, below the lower Bollinger band +8",
        "scripted stand-in (not AI): allowed, chance of a loss 19 %, 3 s old",
    ]  # fmt: skip


@pytest.mark.parametrize("environment", ["demo", "live"])
def test_environment_is_always_told(environment: str) -> None:
    made = render(phrase("system.started", {}), environment=environment)
    assert f"[{environment}]" in made.text
    assert environment.upper() in made.blocks[-1]["elements"][0]["text"]


def test_digest_counts_kinds() -> None:
    assert digest({"entry.filled": 4, "exit.filled": 2}).text == "6 messages\n4 × entry.filled\n2 × exit.filled"


def test_a_switch_says_where_it_is_answered_and_what_became_of_it() -> None:
    switch = {"run": "R1", "decision": "SWITCH", "sentence": "SWITCH from a to b: all 11 conditions hold.", "no_edge": False}
    assert phrase("optimizer.judged", switch).text.endswith("before a person approves, with `trader optimize --approve R1`")
    assert "in Prefect's form, or with" in phrase("optimizer.judged", switch | {"approval_in_prefect": True}).text
    keep = {"run": "R1", "decision": "KEEP", "sentence": "KEEP a: b fails.", "no_edge": True}
    assert (
        phrase("optimizer.judged", keep).text.splitlines()[0] == "KEEP a: b fails." and "NO_EDGE" in phrase("optimizer.judged", keep).text
    )
    settled = phrase("optimizer.settled", {"current": "a", "candidate": "b", "outcome": "not approved: not today"})
    assert settled.text == "Switch from a to b: not approved: not today"
