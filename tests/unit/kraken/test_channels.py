"""Frames of the public stream as they are read: what cannot be is refused alone."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from trader.domain.market import Timeframe
from trader.domain.messages import PairStatus
from trader.kraken.board import CandleBoard
from trader.kraken.channels import Channels
from trader.simulation.loops import run_stepped


@pytest.mark.parametrize("spoilt", [{"symbol": "B/EUR"}, {"symbol": "B/EUR", "status": None}, {"status": "online"}, "B/EUR", None])
def test_a_pair_that_cannot_be_read_costs_no_other_its_mode(spoilt: Any) -> None:
    pairs = [{"symbol": "A/EUR", "status": "online"}, spoilt, {"symbol": "C/EUR", "status": "reduce_only", "new": [1]}]

    async def read() -> tuple[list[Any], dict[str, int]]:
        queue: Any = asyncio.Queue()
        rest: Any = SimpleNamespace(transport=SimpleNamespace(parse=json.loads, has_key=False), names=None, rng=None)
        clock: Any = SimpleNamespace(now_us=lambda: 0)
        link, proof = SimpleNamespace(name="public"), SimpleNamespace()
        channels = Channels(rest, clock, CandleBoard(Timeframe.M1, 0), queue, proof, since_us=0)  # type: ignore[arg-type]
        frame = json.dumps({"channel": "instrument", "type": "snapshot", "data": {"assets": [], "pairs": pairs}})
        channels.text(link, frame)  # type: ignore[arg-type]
        return [queue.get_nowait() for _ in range(queue.qsize())], dict(channels.counts)

    told, counts = run_stepped(read)
    assert told == [PairStatus(pair="A/EUR", status="online"), PairStatus(pair="C/EUR", status="reduce_only")]
    assert counts == {"malformed instrument": 1}
