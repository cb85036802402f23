"""The sample book frames of the documentation: what they agree with the twin about, and what they cannot show."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.wire.kraken_twin_harness import PAIR, trading
from tests.wire.stream_kit import KeptBook, stream
from tests.wire.test_kraken_twin import fixtures
from trader.simulation.loops import run_stepped


def frame(kind: str) -> dict[str, Any]:
    """The recorded `snapshot` or `update`."""
    (path,) = fixtures().rglob(f"ws_book_{kind}.json")
    return dict(json.loads(path.read_text()))


def test_the_recorded_sample_frames_have_our_shape_but_a_checksum_of_other_levels() -> None:
    async def main() -> None:
        async with trading(), stream() as client:
            await client.subscribe("book")
            for kind in ("snapshot", "update"):
                recorded = frame(kind)
                ours = client.of("book", kind)[0] if kind == "snapshot" else await next_update(client)
                assert set(recorded) == set(ours)
                assert set(recorded["data"][0]) == set(ours["data"][0])
                assert (
                    set(recorded["data"][0]["bids"][0]) == {"price", "qty"} == set((ours["data"][0]["bids"] + ours["data"][0]["asks"])[0])
                )
                if kind == "snapshot":
                    book = KeptBook(10, 1)
                    book.take(recorded)
                    assert book.wrong == 1  # as PROVENANCE.md says: written after the documentation, not recorded

    run_stepped(main)


async def next_update(client: Any) -> dict[str, Any]:
    """The first book update after now."""
    await asyncio.sleep(120)
    update: dict[str, Any] = client.of("book", "update")[0]
    assert update["data"][0]["symbol"] == PAIR
    return update
