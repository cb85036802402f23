"""Peers run in environments of their own; where none holds an engine, that is said."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.__main__ import ENGINES, ROOT, interpreter


def test_every_engine_has_its_adapter_and_is_skipped_where_no_environment_holds_it(tmp_path: Path) -> None:
    for engine in ENGINES:
        assert (ROOT / "benchmarks" / "peers" / engine.script).exists()
        assert interpreter(engine, [tmp_path / "absent"]) is None
    assert {engine.module: engine.least for engine in ENGINES} == {"vectorbt": 10, "backtesting": 300}
