"""The strict parser of text replies: nothing but the table, whatever comes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trader.domain.verdicts import AskOutcome
from trader.gemini.parse_text import REASONS, parse_text

MODEL = "gemini-3.5-flash-lite"
IDS = ("C01", "C02")


def said(*verdicts: object) -> str:
    return json.dumps({"verdicts": list(verdicts)})


def one(name: str = "C01", **fields: Any) -> dict[str, Any]:
    return {"id": name, "p_loss": 0.25, "reason": "trend"} | fields


def reply(text: object = None, **fields: Any) -> bytes:
    content = {"parts": [{"text": said(one(), one("C02")) if text is None else text}], "role": "model"}
    body = {"candidates": [{"content": content, "finishReason": "STOP", "index": 0}], "modelVersion": MODEL}
    return json.dumps(body | {"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 3}} | fields).encode()


def with_parts(*parts: object) -> bytes:
    return reply(candidates=[{"content": {"parts": list(parts)}, "finishReason": "STOP"}])


GOOD = {"text": said(one(), one("C02"))}


@pytest.mark.parametrize("body", [reply(), with_parts({"text": "hm", "thought": True}, GOOD), reply(said(one("C02"), one()))])
def test_a_good_reply_gives_every_verdict_with_its_reason(body: bytes) -> None:
    found = parse_text(body, IDS, MODEL)
    assert found.outcome is AskOutcome.OK and set(found.answers) == set(IDS)
    assert {(answer.p_loss, answer.reason) for answer in found.answers.values()} == {(0.25, "trend")}


@pytest.mark.parametrize(
    ("body", "outcome", "detail"),
    [
        (b"", AskOutcome.INVALID, "json: not JSON"),
        (b"[]", AskOutcome.INVALID, "json: not an object"),
        (reply(promptFeedback={"blockReason": "SAFETY"}), AskOutcome.BLOCKED, "blocked: SAFETY"),
        (reply(modelVersion="gemini-3.5-flash"), AskOutcome.INVALID, "drift:"),
        (reply(modelVersion=None), AskOutcome.INVALID, "drift:"),
        (reply(candidates=[]), AskOutcome.INVALID, "finish:"),
        (reply(candidates=None), AskOutcome.INVALID, "finish:"),
        (reply(candidates=["x"]), AskOutcome.INVALID, "finish:"),
        (reply(candidates=[{"finishReason": "STOP"}]), AskOutcome.INVALID, "finish:"),
        (with_parts(), AskOutcome.INVALID, "finish:"),
        (with_parts(GOOD, GOOD), AskOutcome.INVALID, "finish:"),
        (with_parts({"text": 5}), AskOutcome.INVALID, "finish:"),
        (with_parts({"text": GOOD["text"], "thought": True}), AskOutcome.INVALID, "finish:"),
        (reply(GOOD["text"] + " "), AskOutcome.OK, ""),
        (reply(GOOD["text"] + "."), AskOutcome.INVALID, "schema: not JSON"),
        (reply("[]"), AskOutcome.INVALID, "schema: not an object"),
        (reply('{"verdicts": [], "verdicts": []}'), AskOutcome.INVALID, "schema: duplicate key"),
        (reply('{"verdicts": [], "note": 1}'), AskOutcome.INVALID, "schema:"),
        (reply(said(one(), "x")), AskOutcome.INVALID, "schema:"),
        (reply(said(one(), one("C02", note=1))), AskOutcome.INVALID, "schema:"),
        (reply(said(one(), {"id": "C02", "p_loss": 0.1})), AskOutcome.INVALID, "schema:"),
        (reply(said(one(), one("C02", reason="because"))), AskOutcome.INVALID, "schema:"),
        (reply(said(one(), one("C02", reason=["trend"]))), AskOutcome.INVALID, "schema:"),
        (reply(said(one(), one("C02", p_loss=True))), AskOutcome.INVALID, "schema: p_loss is bool"),
        (reply(said(one(), one("C02", p_loss="0.5"))), AskOutcome.INVALID, "schema: p_loss is str"),
        (reply(said(one(), one("C02", p_loss=1.01))), AskOutcome.INVALID, "schema: p_loss is float"),
        (reply(said(one())), AskOutcome.INVALID, "ids: 1 verdicts on 2"),
        (reply(said(one(), one())), AskOutcome.INVALID, "ids: 2 verdicts on 2"),
        (reply(said(one(), one("C02"), one("C99"))), AskOutcome.INVALID, "ids: 3 verdicts on 2"),
    ],
)
def test_every_fault_takes_the_whole_batch_and_has_its_own_name(body: bytes, outcome: AskOutcome, detail: str) -> None:
    found = parse_text(body, IDS, MODEL)
    assert found.outcome is outcome and found.detail.startswith(detail)
    assert {answer.outcome for answer in found.answers.values()} == {outcome} and set(found.answers) == set(IDS)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8) | st.sampled_from(["C01", "C02", "trend", *REASONS]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "p_loss", "reason", "verdicts"]), inner, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=200) | json_values.map(lambda value: reply(json.dumps(value))) | json_values.map(lambda v: reply(candidates=v)))
def test_whatever_comes_it_never_raises_and_only_the_table_comes_out(body: bytes) -> None:
    found = parse_text(body, IDS, MODEL)
    assert set(found.answers) == set(IDS)
    for answer in found.answers.values():
        good = answer.outcome is AskOutcome.OK
        assert good == (answer.p_loss is not None and 0 <= answer.p_loss <= 1 and answer.reason in REASONS)
