"""The REST API: envelopes, decimal strings, refused keys, hosts and verbs."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from status_kit import BARS, lively
from test_ai_standing import installation
from test_web_page import browse

from benchmarks.scorecard import planted
from trader.bootstrap.ai_night import report
from trader.bootstrap.reading import status_of

LISTS = ("equity", "positions", "trades", "decisions", "pairs", "notifications")


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    return browse(lively(tmp_path))


@pytest.mark.parametrize("name", LISTS)
def test_every_list_says_environment_and_age(client: TestClient, name: str) -> None:
    body = client.get(f"/api/v1/{name}").json()
    assert body["environment"] == "demo"
    assert body["as_of"].endswith("Z")
    assert body["stale_s"] >= 0
    assert (len(body["items"]) > 0) is (name != "notifications")  # nobody has filled the outbox of this ledger


@pytest.mark.parametrize("name", (*LISTS, "status"))
def test_an_empty_directory_answers_too(tmp_path: Path, name: str) -> None:
    answer = browse(tmp_path).get(f"/api/v1/{name}")
    assert answer.status_code == 200
    assert answer.json()["environment"] == "demo"
    assert answer.json()["as_of"] is None


def test_money_travels_as_decimal_strings(client: TestClient) -> None:
    status = client.get("/api/v1/status").json()
    assert status["money"]["equity"] == "10006.75"
    assert status["money"]["total"] == "6.5"
    trades = client.get("/api/v1/trades").json()["items"]
    assert [trade["pair"] for trade in trades] == ["ETH/EUR", "BTC/EUR"]
    assert [trade["words"] for trade in trades] == ["stop-loss", "first target"]
    assert sum(Decimal(trade["net"]) for trade in trades) == Decimal(status["money"]["realised"])
    (held,) = client.get("/api/v1/positions").json()["items"]
    assert (held["pair"], held["stop"], held["stop_state"]) == ("SOL/EUR", "98", "resting")


def test_win_rate_comes_with_its_interval(client: TestClient) -> None:
    money = client.get("/api/v1/status").json()["money"]
    assert (money["trades"], money["wins"], money["win_rate"]) == (2, 1, 0.5)
    assert 0 < money["win_low"] < 0.5 < money["win_high"] < 1


def test_equity_is_thinned_and_cut_to_a_span(client: TestClient) -> None:
    assert len(client.get("/api/v1/equity").json()["items"]) == BARS - 1
    few = client.get("/api/v1/equity?points=10").json()["items"]
    assert 2 <= len(few) <= 10
    assert few[-1]["equity"] == "10006.75"
    part = client.get("/api/v1/equity", params={"from": "2026-01-05T00:10:00Z", "to": "2026-01-05T00:19:00Z"}).json()["items"]
    assert len(part) == 10


@pytest.mark.parametrize(
    "path",
    ["status?verbose=1", "equity?points=1", "equity?points=2001", "equity?from=yesterday", "trades?limit=0", "trades?limit=501",
     "decisions?pairs=BTC/EUR", "pairs?limit=3", "notifications?limit=x"],
)  # fmt: skip
def test_unknown_and_bad_parameters_are_refused_by_name(client: TestClient, path: str) -> None:
    answer = client.get(f"/api/v1/{path}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert path.partition("?")[2].partition("=")[0] in answer.json()["errors"][0]["loc"]


def test_page_and_health_refuse_unknown_keys(client: TestClient) -> None:
    assert [client.get(f"{path}?x=1").status_code for path in ("/", "/panels.json", "/healthz", "/readyz")] == [422] * 4


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost@evil.example:80", "10.0.0.1:8787"])
def test_foreign_hosts_are_refused(client: TestClient, host: str) -> None:
    answer = client.get("/api/v1/status", headers={"host": host})
    assert answer.status_code == 421
    assert "equity" not in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1:8787", "localhost:8787", "[::1]:8787", "LOCALHOST"])
def test_loopback_hosts_are_served(client: TestClient, host: str) -> None:
    assert client.get("/healthz", headers={"host": host}).json() == {"status": "ok"}


@pytest.mark.parametrize("path", ["/", "/api/v1/status", "/static/page.js", "/nowhere", "/api/v1/status?x=1"])
def test_every_answer_carries_the_policy_and_no_cookie(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert "script-src" not in headers["content-security-policy"]
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "set-cookie" not in headers


def test_the_scorecard_is_that_of_the_report_and_says_who_answered(tmp_path: Path) -> None:
    settings = installation(tmp_path, planted(2, 120, 0.3))
    body = browse(settings.state).get("/api/v1/ai/scorecard").json()
    assert body["environment"] == "demo" and body["as_of"].endswith("Z")
    told = body["scorecard"]
    assert told == json.loads(json.dumps(report(settings))) and (told["labels"], told["label"]) == (120, "scripted stand-in, not AI")
    assert len(told["recent"]["calibration"]["bins"]) == 10 and {"value", "low", "high"} <= told["recent"]["veto"]["r"].keys()
    assert {"placebo", "vetoes"} <= told["recent"]["veto"].keys() and {"network_ms", "cost_usd"} <= told["last_day"].keys()
    assert told["ready_share"] is None  # these signals were written without a note of what the book said


def test_the_scorecard_of_an_empty_directory_claims_nothing_and_leaves_nothing_behind(tmp_path: Path) -> None:
    told = browse(tmp_path).get("/api/v1/ai/scorecard").json()["scorecard"]
    assert (told["status"], told["labels"], told["recent"], told["cards"]) == ("on probation", 0, None, [])
    assert list(tmp_path.iterdir()) == []


def test_nothing_can_be_changed(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    assert len(schema["paths"]) == 10
    assert all(set(routes) == {"get"} for routes in schema["paths"].values())
    for path in schema["paths"]:
        for verb in ("post", "put", "delete", "patch"):
            assert getattr(client, verb)(path).status_code == 405
    assert client.get("/docs").status_code == 404


def test_unknown_route_is_a_problem_document(client: TestClient) -> None:
    answer = client.get("/api/v1/nothing")
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:trader:problem:not-found"


def test_command_line_shows_the_same_object(tmp_path: Path) -> None:
    state = lively(tmp_path)
    told, served = status_of(state), browse(state).get("/api/v1/status").json()
    assert set(told) == set(served)
    assert told["money"] == served["money"]
