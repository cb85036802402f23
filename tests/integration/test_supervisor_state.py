"""What `trader up` finds in and writes to a state directory: settings for its children, the past, the clock, the doctor's view."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from trader.bootstrap import health, past
from trader.bootstrap.children import Children, project_root, settings_environ
from trader.bootstrap.paths import Paths
from trader.bootstrap.resume import last_moment, start_clock
from trader.bootstrap.wire import open_ledger
from trader.config import load
from trader.errors import ConfigError
from trader.simulation.clock import load_clock
from trader.simulation.exchange_books import LOG

T0 = 1_767_571_200_000_000


def test_children_see_the_very_settings_of_their_supervisor(tmp_path: Path) -> None:
    flags = {"state_dir": str(tmp_path), "market.seed": 99, "ai.mode": "shadow", "costs.maker_fraction": 0.0031, "ports.web": 9999}
    settings = load(flags, environ={})
    assert load(environ=settings_environ(settings, project_root())) == settings


def test_a_list_that_the_children_would_not_see_is_refused_by_name(tmp_path: Path) -> None:
    settings = load({"pairs.deny": ["DOGE/EUR"]}, environ={})
    with pytest.raises(ConfigError, match=r"setting pairs\.deny: .* must be written in"):
        settings_environ(settings, tmp_path)
    (tmp_path / "trader.toml").write_text('[pairs]\ndeny = ["DOGE/EUR"]\n')
    assert settings_environ(settings, tmp_path)["TRADER_MODE"] == "mitraillette"


def test_secrets_reach_only_the_children_that_need_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADER_SLACK_TOKEN", "xoxb-canary")
    monkeypatch.setenv("TRADER_GEMINI_API_KEY", "AIza-canary")
    monkeypatch.setenv("PREFECT_API_KEY", "pnu-canary")
    children = Children(load({"state_dir": str(tmp_path)}), Paths(tmp_path), project_root())
    specs = [children.server(), children.worker(), children.kraken(), children.gemini(), children.advisor(), *children.optional()]
    knowing = {spec.name for spec in specs if "canary" in json.dumps(dict(spec.environ))}
    assert len(specs) >= 5
    assert knowing <= {"sender"}
    assert not any("canary" in word for spec in specs for word in spec.command)


def test_a_finished_past_is_moved_in_whole_also_after_a_kill_half_way(tmp_path: Path) -> None:
    paths = Paths(tmp_path).make()
    scratch = Paths(tmp_path / past.SCRATCH).make()
    for file in (scratch.ledger, scratch.world, scratch.twin / LOG):
        file.write_text(file.name)
    (scratch.root / past.DONE).write_text("{}")
    scratch.history.rmdir()  # moved before the kill
    assert past.wanted(paths)
    assert past.finish(paths)
    assert not past.wanted(paths)
    assert (paths.ledger.read_text(), (paths.twin / LOG).read_text()) == ("ledger.sqlite", LOG)
    assert not scratch.root.exists()
    assert not past.finish(paths)


def test_an_unfinished_past_leaves_nothing(tmp_path: Path) -> None:
    paths = Paths(tmp_path).make()
    scratch = Paths(tmp_path / past.SCRATCH).make()
    scratch.ledger.write_text("half")
    assert not past.finish(paths)
    assert past.wanted(paths)
    assert not scratch.root.exists()


def test_time_goes_on_at_the_newest_moment_that_books_or_ledger_know(tmp_path: Path) -> None:
    paths = Paths(tmp_path).make()
    assert last_moment(paths) is None
    ledger = open_ledger(paths)
    for minute in range(37):
        ledger.note("test", {"minute": minute}, T0 + minute * 60_000_000)
    ledger.close()
    assert last_moment(paths) == T0 + 36 * 60_000_000
    line = {"n": 1, "t": T0 + 5_000_000_000, "k": T0 + 4_000_000_000, "b": {"EUR": str(Decimal(5))}}
    (paths.twin / LOG).write_text(json.dumps(line) + "\n")
    assert last_moment(paths) == T0 + 5_000_000_000
    start_clock(paths, T0 + 5_000_000_000, 30.0)
    assert T0 + 5_000_000_000 <= load_clock(paths.clock).now_us() < T0 + 5_000_000_000 + 30 * 5_000_000


def test_the_doctor_names_code_reason_and_fix_of_what_is_wrong(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "ledger.sqlite").write_text("not a database")
    checks = health.examine(load({"state_dir": str(tmp_path)}, environ={}))
    found = {check.code: check for check in checks}
    assert found["E-DIR-003"].level == "warn"
    assert found["E-FILE-001"].level == "warn" and "ledger.sqlite" in found["E-FILE-001"].what
    assert found["E-LED-001"].level == "FAIL"
    assert found["E-AI-004"].level == "FAIL" and "not a database" in found["E-AI-004"].what
    assert all(check.why and check.fix for check in checks if check.level != "ok")
    assert "fix:" in found["E-LED-001"].line()
    assert [check.code for check in checks if check.code == "E-PIN-001" and check.level == "ok"] == ["E-PIN-001"] * 3


@pytest.mark.parametrize(
    ("package", "version", "good"),
    [
        ("fastapi", "0.150.0", True), ("fastapi", "0.155.1", False),
        ("sqlalchemy", "2.1.0", False), ("sqlalchemy", "2.0.58", True), ("prefect", "3.9.1", False),
    ],
)  # fmt: skip
def test_pins_that_prefect_cannot_live_with_are_found(monkeypatch: pytest.MonkeyPatch, package: str, version: str, good: bool) -> None:
    monkeypatch.setattr(health, "_version", lambda name: version if name == package else None)
    (check,) = [check for check in health._python() if check.what.startswith(package)]
    assert (check.level == "ok") is good
