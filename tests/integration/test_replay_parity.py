"""A demo over the twins is played again in process from its cassette, trade by trade; planted differences are found and named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from session_kit import Stage

from tests.campaigns.cassette import EDITIONS, recorded, stages, turned
from trader.bootstrap.cassettes import Tape
from trader.bootstrap.replay import replay_session
from trader.config import load
from trader.errors import ConfigError, FatalError
from trader.gemini.replay import Miss
from trader.research.parity import compare, first_diverging


def test_a_demo_with_the_ai_is_replayed_from_its_cassette_alone(tmp_path: Path) -> None:
    """Neither the wire to the venue nor the one to the AI changes a line, with an AI that is late, hangs or fails now and then."""
    edition = EDITIONS["small"]
    settings, world = next(stages(edition))
    demo, cassette = recorded(settings, world, edition.minutes, tmp_path / "cassette.jsonl")
    replayed = replay_session(settings, world, minutes=edition.minutes, tape=Tape(cassette=cassette))
    found = compare(replayed.lines, demo.lines)
    assert found.equal, [str(one) for one in found.differences]
    assert found.left >= edition.legs and replayed.heard == demo.heard
    assert replayed.summary.verdicts == demo.summary.verdicts and set(edition.rulings) <= {*demo.summary.verdicts}
    assert replayed.summary.decisions == demo.summary.decisions > 100

    other = replay_session(settings, world, minutes=edition.minutes, tape=Tape(cassette=turned(cassette, demo), miss=Miss.ABSTAIN))
    assert not compare(other.lines, demo.lines).equal
    assert not first_diverging(other.heard, demo.heard).startswith("none:")

    part = replace(cassette, calls=cassette.calls[:1])
    with pytest.raises(FatalError, match="questions are not on it"):
        replay_session(settings, world, minutes=60, tape=Tape(cassette=part))
    silent = Tape(cassette=part, miss=Miss.ABSTAIN)
    assert len(replay_session(settings, world, minutes=60, tape=silent).lines) < len(demo.lines)
    assert silent.missed > 0


def test_a_replay_needs_a_cassette_where_the_ai_is_not_off() -> None:
    stage = Stage.of(3)
    with pytest.raises(ConfigError, match="a replay asks no AI; give it a cassette"):
        replay_session(load({"ai.mode": "veto"}, environ={}), stage.world, minutes=1)
