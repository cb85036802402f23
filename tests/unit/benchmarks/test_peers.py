"""Peers run in environments of their own; where none holds an engine, that is said."""

from __future__ import annotations

from pathlib import Path

from benchmarks.kernel import generated
from benchmarks.peers.__main__ import ENGINES, ROOT, interpreter, variations
from trader.research.backtester import S1, run, run_all


def test_every_engine_has_its_adapter_and_is_skipped_where_no_environment_holds_it(tmp_path: Path) -> None:
    for engine in ENGINES:
        assert (ROOT / "benchmarks" / "peers" / engine.script).exists()
        assert interpreter(engine, [tmp_path / "absent"]) is None
    assert {engine.module: engine.least for engine in ENGINES} == {"vectorbt": 10, "backtesting": 300}


def test_the_first_of_the_six_variations_is_s1_and_all_differ() -> None:
    data = generated(2, 5_000)
    frames = run_all(variations(), data)
    assert frames["S1.0"].equals(run(S1, data)) and len({frame.write_csv() for frame in frames.values()}) == 6
