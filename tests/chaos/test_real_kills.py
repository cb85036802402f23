"""The campaign of real kills: what it plays, how it judges, and that a kill which never came or came to nothing good is told.

The kills themselves: test_kill.py, and `make chaos-real`.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.chaos.kills import FIRST, IN_RECOVERY, RECOVERING, SECOND
from tests.kill.campaign import Size, kills, played, summary
from tests.kill.judge import Counted, checks
from tests.kill.person import EXIT_US, timetable
from tests.kill.points import HELD, POINTS, UNREACHED, Kill
from tests.kill.watch import Lived, longest_bare_s
from trader.simulation.exchange_books import State

GOOD: dict[str, Any] = {
    "killed": True, "deaths": [1], "bare_s": 1.5, "compared": {"fills_match": 4, "orders_known": 8, "balances_match": 3},
    "checks": {"killed": True, "verify_fills_match": True, "not_doubled": True, "stop_in_time": True},
}  # fmt: skip


def test_three_hundred_are_every_point_in_every_edition_and_lines_of_the_journal() -> None:
    wanted = kills(1, Size(), lines=180)
    editions = Counter(kill.when for kill in wanted if kill.point)
    assert len(wanted) == 300 and wanted == kills(1, Size(), lines=180) != kills(2, Size(), lines=180)
    assert len(POINTS) + len(UNREACHED) == 40
    assert editions == {FIRST: 39, SECOND: 39, RECOVERING: 39 - len(IN_RECOVERY) - 1}
    lines = [kill.line for kill in wanted if kill.line]
    assert len(lines) == 190 and len(set(lines)) > 90 and 1 <= min(lines) <= max(lines) <= 180
    assert [kill.name for kill in kills(1, Size(kills=4, points=1), lines=10)][:3] == [
        f"before_intent {when}" for when in (FIRST, SECOND, RECOVERING)
    ]


@pytest.mark.parametrize(
    ("kill", "chains"),
    [
        (Kill(point=HELD), [(("after_intent",), 1, 0.052)]),
        (Kill(point="after_exit_fill", when=SECOND), [(("after_exit_ack", "after_fill_commit"), 2, 0.0)]),
        (Kill(point="after_ack", when=RECOVERING), [(("after_fill_commit",), 1, 0.0), (("after_ack",), 1, 0.0)]),
        (Kill(point="before_ready", when=SECOND), [(("after_fill_commit",), 1, 0.0), *[(("before_ready",), 1, 0.0)] * 2]),
        (Kill(line=7), [(("journal_line",), 7, 0.0)]),
        (Kill(line=7, kept=True), [(("journal_line_kept",), 7, 0.0)]),
    ],
    ids=lambda value: value.name if isinstance(value, Kill) else "",
)
def test_a_kill_is_one_death_for_each_life_that_dies(kill: Kill, chains: list[tuple[tuple[str, ...], int, float]]) -> None:
    assert [(arm.chain, arm.hits, arm.after_s) for arm in kill.arms()] == chains


@pytest.mark.parametrize("words", [{}, {"point": "nowhere"}, {"point": HELD, "line": 3}, {"point": HELD, "when": "third"}])
def test_a_kill_that_cannot_be_is_refused(words: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"allowed|either"):
        Kill(**words)


def test_the_report_counts_what_was_lost_doubled_late_and_never_killed() -> None:
    wrong = {"verify_fills_match": False, "not_doubled": False, "stop_in_time": False}
    wanted = [Kill(point=HELD), Kill(line=1), Kill(line=2), Kill(line=3)]

    def play(kill: Kill, repeat: bool) -> dict[str, Any]:
        if kill.line == 3:
            raise RuntimeError("exchange: gone")
        more = {"same_journal": True} if repeat else {}
        return GOOD | {"checks": GOOD["checks"] | more | ({"killed": False} if kill.line == 1 else wrong if kill.line == 2 else {})}

    report = summary(wanted, played(wanted, play, repeat=2, jobs=1))
    assert not report["ok"] and report["repeated"] == 2
    assert (report["lost"], report["doubled"], report["late_stops"], report["ledger_differs"]) == (1, 1, 1, 0)
    assert {name: found["wrong"] for name, found in report["failed"].items()} == {
        "line 1": ["killed"], "line 2": list(wrong), "line 3": ["RuntimeError: exchange: gone"],
    }  # fmt: skip
    assert summary(wanted[:1], played(wanted[:1], play, repeat=0, jobs=1))["ok"]


def test_bare_time_counts_while_a_life_has_its_lease_only() -> None:
    lives = [Lived(from_us=0, to_us=10_000_000), Lived(from_us=30_000_000, to_us=60_000_000)]
    assert longest_bare_s([("A/EUR", 8_000_000, 32_500_000)], lives) == 2.5
    assert longest_bare_s([("A/EUR", 11_000_000, 29_000_000)], lives) == longest_bare_s([], lives) == 0.0


@pytest.mark.parametrize(
    ("orders", "unprotected", "bare_s", "wrong"),
    [(1, [], 5.0, []), (2, [], 0.0, ["not_doubled"]), (1, [], 5.1, ["stop_in_time"]), (0, ["A/EUR"], 0.0, ["protected"])],
)
def test_each_check_of_the_books_can_fail(orders: int, unprotected: list[str], bare_s: float, wrong: list[str]) -> None:
    found = checks(Counted(orders=orders), State(), unprotected, bare_s, 5.0)
    assert [name for name, good in found.items() if not good] == wrong


def test_what_happens_to_a_life_is_a_table_of_moments() -> None:
    assert timetable("", EXIT_US * 3) == ((EXIT_US, "exit"), (EXIT_US * 2, "exit"))
    assert [what for _, what in timetable("kill_switch_set", EXIT_US * 2)] == [
        "exit",
        "kill_switch_set",
        "resume",
        "kill_switch_set",
        "resume",
    ]
