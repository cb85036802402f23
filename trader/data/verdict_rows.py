"""Rows of the verdict store, to and from the values they hold."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from trader.domain.verdicts import AskedQuestion, AskOutcome, CallRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVerdict:
    """A row for a page or a report. `p_loss` None: no usable answer, `detail` says why."""

    verdict_id: str
    pair: str
    side: str
    strategy: str
    snapshot_us: int
    expires_us: int
    p_loss: float | None
    outcome: str
    detail: str
    network_ms: float
    is_twin: bool


def call_row(call: CallRecord) -> tuple[Any, ...]:
    """A call as its row, in the order of the schema."""
    return (
        call.call_id,
        call.asked_us,
        call.provider,
        call.model_requested,
        call.model_served,
        call.api_version,
        int(call.is_twin),
        call.prompt_version,
        call.request_sha256,
        pack(call.request),
        pack(call.response),
        call.http_status,
        call.outcome.value,
        call.detail,
        call.questions,
        call.queue_ms,
        call.network_ms,
        call.parse_ms,
        call.attempt,
        call.tokens_in,
        call.tokens_out,
        call.cost_usd,
        call.breaker_state,
        call.budget_used_pct,
    )


def call_of(row: Sequence[Any]) -> CallRecord:
    """The call that `call_row` wrote."""
    return CallRecord(
        call_id=row[0],
        asked_us=row[1],
        provider=row[2],
        model_requested=row[3],
        model_served=row[4],
        api_version=row[5],
        is_twin=bool(row[6]),
        prompt_version=row[7],
        request_sha256=row[8],
        request=b"" if row[9] is None else expand(row[9]),
        response=b"" if row[10] is None else expand(row[10]),
        http_status=row[11],
        outcome=AskOutcome(row[12]),
        detail=row[13],
        questions=row[14],
        queue_ms=row[15],
        network_ms=row[16],
        parse_ms=row[17],
        attempt=row[18],
        tokens_in=row[19],
        tokens_out=row[20],
        cost_usd=row[21],
        breaker_state=row[22],
        budget_used_pct=row[23],
    )


def verdict_row(call_id: str, one: AskedQuestion) -> tuple[Any, ...]:
    """A question with its answer as a row of the call."""
    question, verdict = one.question, one.verdict
    features = {name: value if isinstance(value, str) or math.isfinite(value) else None for name, value in question.features.items()}
    return (
        verdict.verdict_id,
        call_id,
        one.opaque_id,
        question.key.pair,
        question.key.side.value,
        question.key.strategy,
        json.dumps(features, sort_keys=True),
        question.asked_price,
        question.band_lo,
        question.band_hi,
        question.asked_us,
        verdict.expires_us,
        verdict.p_loss,
        verdict.reason or None,  # only text models give one
        verdict.detail,
    )


def stored_of(row: Sequence[Any]) -> StoredVerdict:
    """A row of a page's query."""
    return StoredVerdict(
        verdict_id=row[0],
        pair=row[1],
        side=row[2],
        strategy=row[3],
        snapshot_us=row[4],
        expires_us=row[5],
        p_loss=row[6],
        outcome=row[7],
        detail=row[8],
        network_ms=row[9],
        is_twin=bool(row[10]),
    )


def pack(body: bytes) -> bytes:
    """A body as it is stored: zstd."""
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(body)
    return bytes(sink.getvalue().to_pybytes())


def expand(packed: bytes) -> bytes:
    """A body as it was sent or received."""
    with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
        return bytes(stream.read())
