"""The reply parser under random and mutated bytes: it never raises and never yields a probability outside the table."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from trader.domain.verdicts import AskOutcome
from trader.gemini.parse import ParsedReply, parse_decisions

IDS = ("C01", "C02", "C03")
scalars = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8) | st.sampled_from(["noul", "choice", "NaN"])
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3))


def check(parsed: ParsedReply) -> None:
    assert set(parsed.answers) == set(IDS)
    assert parsed.outcome in (AskOutcome.OK, AskOutcome.INVALID, AskOutcome.BLOCKED)
    for answer in parsed.answers.values():
        assert (answer.outcome is AskOutcome.OK) == (answer.p_loss is not None)
        if answer.p_loss is not None:
            assert type(answer.p_loss) is float
            assert math.isfinite(answer.p_loss)
            assert 0.0 <= answer.p_loss <= 1.0
    assert (parsed.outcome is AskOutcome.OK) == all(answer.outcome is AskOutcome.OK for answer in parsed.answers.values())


def good() -> dict[str, Any]:
    return {
        "answers": {name: {"type": "noul", "noul": 0.3, "confidence": 0.7} for name in IDS},
        "usage": {"total_input_tokens": 9, "total_output_tokens": 0},
    }


def test_the_unmutated_reply_is_ok() -> None:
    assert parse_decisions(json.dumps(good()).encode(), IDS).outcome is AskOutcome.OK


@given(st.binary(max_size=400))
@example(b"[" * 100_000)
@example(b'{"answers":' * 2000)
def test_random_bytes(body: bytes) -> None:
    parsed = parse_decisions(body, IDS)
    check(parsed)
    assert parsed.outcome is not AskOutcome.OK


@given(values)
def test_random_json(value: Any) -> None:
    check(parse_decisions(json.dumps(value).encode(), IDS))


@given(st.data())
def test_a_good_reply_with_flipped_cut_or_inserted_bytes(data: st.DataObject) -> None:
    body = bytearray(json.dumps(good()).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        kind = data.draw(st.sampled_from(["flip", "cut", "insert", "drop"]))
        if kind == "flip":
            body[at] = data.draw(st.integers(0, 255))
        elif kind == "insert":
            body[at:at] = data.draw(st.binary(max_size=6))
        elif kind == "drop" and len(body) > 1:
            del body[at]
        elif kind == "cut" and at:
            del body[at:]
    check(parse_decisions(bytes(body), IDS))


@given(st.data())
def test_a_good_reply_with_a_replaced_part(data: st.DataObject) -> None:
    reply = good()
    place = data.draw(st.sampled_from(["answers", "usage", "prompt_feedback", "answer", "type", "noul", "confidence"]))
    value = data.draw(values)
    if place in ("answers", "usage", "prompt_feedback"):
        reply[place] = value
    elif place == "answer":
        reply["answers"][data.draw(st.sampled_from([*IDS, "C99", ""]))] = value
    else:
        reply["answers"]["C02"][place] = value
    parsed = parse_decisions(json.dumps(reply).encode(), IDS)
    check(parsed)
    if place == "noul" and isinstance(value, bool | str | list | dict | None):
        assert parsed.answers["C02"].p_loss is None
        assert parsed.answers["C01"].p_loss in (0.3, None)
