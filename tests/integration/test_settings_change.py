"""A change of settings waits for the next session: the one that runs goes on as it began, and both starts are written down."""

from __future__ import annotations

from pathlib import Path

from night_kit import live

from trader.bootstrap.paths import Paths
from trader.config import load
from trader.data.reader import LedgerReader
from trader.strategy.modes import parameters

FILE = """
variation = "{variation}"
universe = 3
state_dir = "{state}"
[market]
pairs = 3
seed = 7
epoch = "{epoch}"
[ai]
mode = "off"
[halts]
stops = {stops}
"""


def test_settings_take_effect_at_the_next_session(tmp_path: Path) -> None:
    file = tmp_path / "trader.toml"

    def written(variation: str, stops: int, epoch: str) -> None:
        file.write_text(FILE.format(variation=variation, stops=stops, state=tmp_path / "state", epoch=epoch))

    written("AGGRESSIVE", 21, "2026-01-06T01:00:00Z")
    changed: list[str] = []

    def meanwhile(text: str) -> None:
        if text.startswith("simulated past") and not changed:
            changed.append(text)
            written("DEFAULT", 5, "2026-01-06T06:00:00Z")

    live(load(file=file, environ={}), 180, progress=meanwhile)
    assert changed, "the file was changed while the session ran"
    live(load(file=file, environ={}), 10)

    reader = LedgerReader(Paths(tmp_path / "state").ledger)
    started = reader.events_of(("system.started",), until_us=2**62)
    decided = {d.close_us: d.strategy for d in reader.decisions(limit=10_000)}
    reader.close()
    assert [event.payload["strategy"] for event in started] == ["viable/mitraillette/AGGRESSIVE", "viable/mitraillette/DEFAULT"]
    assert started[0].payload["settings"] != started[1].payload["settings"], "also what the strategy's name does not say"
    first = {strategy for close_us, strategy in decided.items() if close_us < started[1].time_us}
    assert first == {parameters("viable", "mitraillette", "AGGRESSIVE").strategy}
    assert len(decided) >= 3
