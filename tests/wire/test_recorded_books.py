"""Recorded book frames, where there are any: what they agree with the twin about, and what they cannot show."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.wire.kraken_twin_harness import PAIR, trading
from tests.wire.stream_kit import KeptBook, stream
from tests.wire.test_kraken_twin import fixtures
from trader.simulation.loops import run_stepped

RECORDED_UPDATES = 500


def frames(pattern: str) -> list[dict[str, Any]]:
    """Recorded frames: one JSON object a file, or one a line."""
    found: list[dict[str, Any]] = []
    for path in sorted(fixtures().rglob(pattern)):
        text = path.read_text()
        found += [json.loads(line) for line in text.splitlines() if line] if path.suffix == ".jsonl" else [json.loads(text)]
    return found


def test_a_recorded_stream_of_books_keeps_its_checksum() -> None:
    updates = [frame for frame in frames("ws_book*.jsonl") if frame["type"] == "update"]
    if not updates:
        pytest.skip("no recording of consecutive book updates (ws_book*.jsonl, 500 or more) is among the shared payloads")
    assert len(updates) >= RECORDED_UPDATES
    book = KeptBook(10, 1)
    for frame in frames("ws_book*.jsonl"):
        book.take(frame)
    assert (book.checked, book.wrong) == (len(updates) + 1, 0)


def test_the_recorded_sample_frames_have_our_shape_but_a_checksum_of_other_levels() -> None:
    async def main() -> None:
        async with trading(), stream() as client:
            await client.subscribe("book")
            for kind in ("snapshot", "update"):
                (recorded,) = frames(f"ws_book_{kind}.json")
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
