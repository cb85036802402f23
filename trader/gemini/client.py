"""The one google-genai client of a process, and how its errors are read.

google-genai is imported inside the functions: the import alone costs over 2 s. Shapes: AI.md section 2 (version 3.4.0).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trader.domain.verdicts import AskOutcome

API_VERSION = "v1beta"
GOOGLE = "https://generativelanguage.googleapis.com/"
"""The service's own address, named because the SDK would else follow GOOGLE_GEMINI_BASE_URL, for instance to a stand-in."""
TWIN_HEADER = "x-twin"
RETRY_AFTER_MAX_S = 900.0
_REFUSED = frozenset({400, 401, 403, 404})
_UNAVAILABLE = frozenset({408, 409})


def make_client(api_key: str, base_url: str | None = None) -> Any:
    """A `google.genai.Client` without retries of its own; `base_url` None = Google. Close with `client.aio.aclose()`.

    Everything the first call would import is imported here: it takes seconds, and must not count against a deadline.
    """
    from google import genai
    from google.genai import types

    client = genai.Client(
        api_key=api_key,
        http_options=types.HttpOptions(
            base_url=base_url or GOOGLE,
            api_version=API_VERSION,
            timeout=10_000,  # ms, a backstop: the real deadline is asyncio's
            retry_options=types.HttpRetryOptions(attempts=1),  # unset, Decisions sends up to 5 requests for one call
        ),
    )
    noul_questions({"warm": "up"}, "true", "false")
    _ = client.aio.decisions.with_raw_response
    return client


def noul_questions(instructions: Mapping[str, str], true_text: str, false_text: str) -> dict[str, Any]:
    """Yes-or-no questions by id, as SDK objects (half the CPU of dicts)."""
    from google.genai.decisions import NoulCriteria, NoulQuestion

    criteria = NoulCriteria(true_description=true_text, false_description=false_text)
    return {name: NoulQuestion(instructions=text, criteria=criteria) for name, text in instructions.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class RawReply:
    """Body and headers of an HTTP 200, unparsed."""

    body: bytes
    status: int
    is_twin: bool
    served_by: str = ""


async def post_decisions(client: Any, *, model: str, shared: str, questions: Mapping[str, Any]) -> RawReply:
    """One request to the Decisions API; raises whatever the SDK raises (see `classify`)."""
    raw = await client.aio.decisions.with_raw_response.create(model=model, input=shared, questions=questions)
    response = raw.http_response
    return RawReply(
        body=bytes(response.content),
        status=int(response.status_code),
        is_twin=TWIN_HEADER in response.headers,
        served_by=str(response.headers.get("x-twin-model", "")),
    )


def text_config(*, rules: str, schema: Mapping[str, Any], max_output_tokens: int, thinking: str) -> Any:
    """The configuration of every text call: one candidate, JSON of `schema`, and the raw reply handed back unparsed."""
    from google.genai import types

    return types.GenerateContentConfig(
        system_instruction=rules,
        response_mime_type="application/json",
        response_json_schema=schema,
        candidate_count=1,
        max_output_tokens=max_output_tokens,
        thinking_config=types.ThinkingConfig(thinking_level=types.ThinkingLevel(thinking)),  # a budget is refused from 3.5 on
        automatic_continuation=False,  # else a finish CONTINUATION silently sends more requests
        should_return_http_response=True,
    )


async def post_text(client: Any, *, model: str, contents: str, config: Any) -> RawReply:
    """One request to generateContent; raises whatever the SDK raises (see `classify`)."""
    response = (await client.aio.models.generate_content(model=model, contents=contents, config=config)).sdk_http_response
    headers = {str(name).lower(): str(value) for name, value in (response.headers or {}).items()}
    return RawReply(
        body=(response.body or "").encode("utf-8", "surrogateescape"),
        status=200,  # any other raises
        is_twin=TWIN_HEADER in headers,
        served_by=headers.get("x-twin-model", ""),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What an exception of the SDK means (AI.md section 3)."""

    outcome: AskOutcome
    detail: str
    status: int | None = None
    retry_after_s: float | None = None
    body: bytes = b""
    is_twin: bool = False


def classify(error: Exception) -> Failure:
    """The table row of an SDK error, by its HTTP status; no status = the connection failed.

    The SDK's error classes are private, so only attributes are read. The detail names class and status, never the text.
    """
    name = type(error).__name__
    if isinstance(error, TimeoutError) or "Timeout" in name:
        return Failure(outcome=AskOutcome.TIMEOUT, detail=name)
    status = _status(error)
    if status is None:
        return Failure(outcome=AskOutcome.UNAVAILABLE, detail=name)
    detail, headers = f"HTTP {status}", _headers(error)
    outcome = AskOutcome.UNAVAILABLE
    if status == 429:
        outcome = AskOutcome.RATE_LIMITED
    elif status in _REFUSED or (400 <= status < 500 and status not in _UNAVAILABLE):
        outcome = AskOutcome.REFUSED
    return Failure(
        outcome=outcome,
        detail=detail,
        status=status,
        retry_after_s=retry_after(error) if status == 429 else None,
        body=_body(error),
        is_twin=TWIN_HEADER in headers,
    )


def retry_after(error: Exception) -> float | None:
    """Seconds to wait after a 429: RetryInfo.retryDelay in the body, else the Retry-After header; clamped to [1, 900]."""
    for source in (getattr(error, "body", None), getattr(error, "details", None)):
        if (seconds := retry_info(source)) is not None:
            return seconds
    text = str(_headers(error).get("retry-after", ""))
    seconds = _number(text)
    return None if seconds is None else _clamp(seconds)


def retry_info(body: object) -> float | None:
    """RetryInfo.retryDelay of Google's error object, in seconds; None where it holds none."""
    error = body.get("error", body) if isinstance(body, Mapping) else None
    details = error.get("details") if isinstance(error, Mapping) else None
    if not isinstance(details, Sequence) or isinstance(details, str | bytes):
        return None
    for detail in details:
        if isinstance(detail, Mapping) and isinstance(delay := detail.get("retryDelay"), str):
            seconds = _number(delay.removesuffix("s"))
            return None if seconds is None else _clamp(seconds)
    return None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _clamp(seconds: float) -> float:
    return min(max(seconds, 1.0), RETRY_AFTER_MAX_S)


def _status(error: Exception) -> int | None:
    for name in ("status_code", "code"):
        value = getattr(error, name, None)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def _headers(error: Exception) -> dict[str, str]:
    """Response headers with lower-case names, whichever of the two SDK transports raised."""
    headers = getattr(getattr(error, "response", None), "headers", None) or getattr(error, "headers", None)
    if headers is None:
        return {}
    return {str(name).lower(): str(value) for name, value in headers.items()}


def _body(error: Exception) -> bytes:
    response = getattr(error, "response", None)
    for value in (getattr(response, "content", None), getattr(error, "body", None)):
        if isinstance(value, bytes):
            return value
        if isinstance(value, str):
            return value.encode("utf-8", "replace")
    details = getattr(error, "details", None)  # all the text API's errors keep of the reply
    return json.dumps(details).encode() if isinstance(details, Mapping) else b""
