"""What an SDK error means, read from its attributes alone."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from trader.domain.verdicts import AskOutcome
from trader.gemini.client import classify, make_client, retry_after

RETRY_INFO = {"error": {"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7.5s"}]}}


def raised(name: str = "APIStatusError", **attributes: Any) -> Exception:
    error = type(name, (Exception,), {})("secret text")
    for attribute, value in attributes.items():
        setattr(error, attribute, value)
    return error


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(raised(status_code=status), AskOutcome.REFUSED) for status in (400, 401, 403, 404, 413, 422)]
    + [(raised(status_code=status), AskOutcome.UNAVAILABLE) for status in (408, 409, 500, 502, 503, 504, 302)]
    + [
        (raised(code=503), AskOutcome.UNAVAILABLE),
        (raised(code=429), AskOutcome.RATE_LIMITED),
        (raised("APIConnectionError"), AskOutcome.UNAVAILABLE),
        (raised("APITimeoutError"), AskOutcome.TIMEOUT),
        (TimeoutError(), AskOutcome.TIMEOUT),
        (ConnectionResetError(), AskOutcome.UNAVAILABLE),
        (ValueError("x"), AskOutcome.UNAVAILABLE),
        (raised(status_code=True), AskOutcome.UNAVAILABLE),
    ],
)
def test_errors_map_to_their_table_row_without_repeating_their_text(error: Exception, outcome: AskOutcome) -> None:
    failure = classify(error)
    assert failure.outcome is outcome
    assert failure.detail
    assert "secret" not in failure.detail


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (raised(body=RETRY_INFO), 7.5),
        (raised(details=RETRY_INFO), 7.5),
        (raised(response=SimpleNamespace(headers={"retry-after": "12"})), 12.0),
        (raised(response=SimpleNamespace(headers={"Retry-After": "12"})), 12.0),
        (raised(response=SimpleNamespace(headers={"Retry-After": "0"})), 1.0),
        (raised(response=SimpleNamespace(headers={"Retry-After": "99999"})), 900.0),
        (raised(response=SimpleNamespace(headers={"Retry-After": "nan"})), None),
        (raised(response=SimpleNamespace(headers={"Retry-After": "Wed, 21 Oct"})), None),
        (raised(body={"error": {"details": "text"}}), None),
        (raised(body={"error": {"details": [{"retryDelay": 5}]}}), None),
        (raised(body="nonsense"), None),
        (raised(), None),
    ],
)
def test_retry_after_in_both_shapes(error: Exception, seconds: float | None) -> None:
    assert retry_after(error) == seconds


def test_the_package_does_not_import_the_sdk() -> None:
    code = (
        "import sys, trader.gemini.worker, trader.gemini.decisions, trader.gemini.link, trader.gemini.parse; "
        "print(sorted(m for m in sys.modules if m.split('.')[0] in ('google', 'trader'))[:3], 'google.genai' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("False")
    assert "trader" in done.stdout


def test_the_client_never_retries_and_keeps_the_backstop() -> None:
    options = make_client("k", "http://127.0.0.1:1")._api_client._http_options
    assert (options.retry_options.attempts, options.api_version, options.timeout) == (1, "v1beta", 10_000)
    assert options.base_url.startswith("http://127.0.0.1:1")
