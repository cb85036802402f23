"""The sender against a Slack on this machine, over the real slack-sdk: once each, in order, in threads, whatever Slack does."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from slack_fake import TOKEN, FakeSlack

from trader.data.outbox import Message, Outbox
from trader.slack.client import SlackClient
from trader.slack.sender import Pace, Sender

NOW = 1_767_571_200_000_000
QUICK = Pace(gap_s=0.0, first_pause_s=0.02, longest_pause_s=0.1)
TRADE = "trade:p1"


def box_at(folder: Path) -> Outbox:
    return Outbox(folder / "ops.sqlite")


def put(box: Outbox, kind: str, *, key: str = "", thread: str = "", now_us: int = NOW, **payload: object) -> None:
    box.post(kind, {"pair": "BTC/EUR", **payload}, dedupe_key=key or f"{kind}:{len(box.latest(500))}", now_us=now_us, thread_key=thread)


def trade(box: Outbox) -> None:
    """A whole trade in the order it happens."""
    put(box, "entry.filled", thread=TRADE, quantity="0.5", price="100", stake="50", stop="98", tp1="102", tp2="104")
    put(box, "stop.moved", thread=TRADE, old="98", new="100")
    put(box, "exit.partial", thread=TRADE, quantity="0.2", price="102", reason="TP1", left="0.3")
    put(
        box,
        "exit.filled",
        thread=TRADE,
        quantity="0.3",
        price="100",
        reason="RATCHET_L1",
        net="0.40",
        roi="0.008",
        fees="0.2",
        held_us=60_000_000,
    )


def drain(
    box: Outbox, slack: FakeSlack, *, pace: Pace = QUICK, now_us: int = NOW, until: Callable[[], bool] | None = None, seconds: float = 5.0,
    deadline_s: float = 0.3,
) -> Sender:  # fmt: skip
    """Run the sender until nothing waits (or `until`), with a fresh process's memory."""

    async def main() -> Sender:
        async with slack, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=deadline_s)) as session:
            sender = Sender(box, SlackClient(TOKEN, session, base_url=slack.url), channel="#trading", pace=pace)
            over = asyncio.get_running_loop().time() + seconds
            while box.pending(now_us) and not (until and until()) and not sender.stopped:
                await sender.drain(now_us)
                await asyncio.sleep(0.01)
                assert asyncio.get_running_loop().time() < over, "the outbox does not empty"
            return sender

    sender = asyncio.run(main())
    assert not slack.problems
    return sender


def states(box: Outbox) -> list[str]:
    return [message.state for message in reversed(box.latest(500))]


def test_every_message_is_delivered_once_in_order(tmp_path: Path) -> None:
    box, slack = box_at(tmp_path), FakeSlack()
    for number in range(4):
        put(box, "system.started", key=f"k{number}", strategy="viable", environment="demo", ai="veto")
    drain(box, slack)
    assert [post.key for post in slack.posts] == ["k0", "k1", "k2", "k3"]
    assert states(box) == ["SENT"] * 4
    drain(box, slack)
    assert len(slack.posts) == 4


def test_a_trade_is_one_root_with_its_updates_in_the_thread(tmp_path: Path) -> None:
    box, slack = box_at(tmp_path), FakeSlack()
    trade(box)
    drain(box, slack)
    root, *rest = slack.posts
    assert root.kind == "entry_filled"
    assert root.thread_ts is None
    assert [post.kind for post in rest] == ["stop_moved", "exit_partial", "exit_filled"]
    assert {post.thread_ts for post in rest} == {root.ts}
    assert len(root.edits) == 1
    assert "closed: +0.40 (+0.80 %)" in root.edits[0]


@pytest.mark.parametrize("fault", ["429", "503", "internal_error", "service_unavailable"])
def test_busy_slack_gets_the_message_later_and_once(tmp_path: Path, fault: str) -> None:
    box, slack = box_at(tmp_path), FakeSlack((fault, fault))
    trade(box)
    drain(box, slack)
    assert [post.kind for post in slack.posts] == ["entry_filled", "stop_moved", "exit_partial", "exit_filled"]
    assert states(box) == ["SENT"] * 4
    assert not any("repeat" in post.text for post in slack.posts)


def test_retry_after_is_honoured(tmp_path: Path) -> None:
    box, slack = box_at(tmp_path), FakeSlack(("429",))
    put(box, "system.started")
    drain(box, slack)
    (_, first), (_, second) = slack.calls
    assert second - first >= 0.2


@pytest.mark.parametrize(("fault", "times"), [("hang", 1), ("reset", 1), ("html", 1), ("late", 2)])
def test_unknown_outcome_is_repeated_once_and_says_so(tmp_path: Path, fault: str, times: int) -> None:
    box, slack = box_at(tmp_path), FakeSlack((fault,))
    put(box, "stop.missing", key="alarm")
    drain(box, slack)
    assert [post.key for post in slack.posts] == ["alarm"] * times
    assert "(repeat)" in slack.posts[-1].text
    assert states(box) == ["SENT"]
    assert "auth.test" in [name for name, _ in slack.calls]


def test_unknown_twice_is_given_up_never_sent_a_third_time(tmp_path: Path) -> None:
    box, slack = box_at(tmp_path), FakeSlack(("late", "late"))
    put(box, "stop.missing", key="alarm")
    put(box, "system.started", key="next")
    drain(box, slack)
    assert [post.key for post in slack.posts] == ["alarm", "alarm", "next"]
    assert states(box) == ["FAILED", "SENT"]


def test_a_sender_killed_in_the_middle_repeats_what_was_in_doubt(tmp_path: Path) -> None:
    box, slack = box_at(tmp_path), FakeSlack()
    put(box, "stop.missing", key="alarm")
    box.mark(box.latest(1)[0].seq, "SENDING")  # the process died here: nobody knows whether Slack has it
    drain(box, slack)
    assert [post.key for post in slack.posts] == ["alarm"]
    assert "(repeat)" in slack.posts[0].text


def test_a_sender_killed_before_editing_the_root_only_edits_it(tmp_path: Path) -> None:
    box, slack = box_at(tmp_path), FakeSlack()
    trade(box)
    closing = box.latest(1)[0]
    drain(box, slack)
    box.mark(closing.seq, "SENDING", ts=slack.posts[-1].ts)
    drain(box, slack)
    assert len(slack.posts) == 4
    assert len(slack.posts[0].edits) == 2
    assert states(box) == ["SENT"] * 4


@pytest.mark.parametrize("code", ["invalid_auth", "token_revoked", "channel_not_found"])
def test_what_a_person_must_put_right_stops_the_sender_and_loses_nothing(tmp_path: Path, code: str) -> None:
    box, slack = box_at(tmp_path), FakeSlack((code,))
    trade(box)
    sender = drain(box, slack)
    assert sender.stopped == code
    assert states(box) == ["PENDING"] * 4
    assert len(slack.calls) == 1
    drain(box, slack)  # started again after it was put right
    assert len(slack.posts) == 4


def test_a_refused_message_does_not_hold_up_the_others(tmp_path: Path) -> None:
    box, slack = box_at(tmp_path), FakeSlack(("some_new_error",))
    put(box, "system.started", key="bad")
    put(box, "system.stopped", key="good", ended="time")
    drain(box, slack)
    assert [post.key for post in slack.posts] == ["good"]
    assert states(box) == ["FAILED", "SENT"]


def test_blocks_that_are_too_long_go_as_text(tmp_path: Path) -> None:
    box, slack = box_at(tmp_path), FakeSlack(("too_big",))
    put(box, "data.blocked", expectation="no_gap", detail="x" * 20_000)
    drain(box, slack)
    (post,) = slack.posts
    assert not post.blocks
    assert "no_gap" in post.text


def test_alarms_go_first(tmp_path: Path) -> None:
    box, slack = box_at(tmp_path), FakeSlack()
    put(box, "system.started", key="calm")
    put(box, "halt.set", key="alarm", cause="DRAWDOWN", reason="14 % against limit 13 %")
    drain(box, slack)
    assert [post.key for post in slack.posts] == ["alarm", "calm"]


def test_messages_of_a_channel_keep_their_distance(tmp_path: Path) -> None:
    box, slack = box_at(tmp_path), FakeSlack()
    for number in range(3):
        put(box, "system.started", key=f"k{number}")
    drain(box, slack, pace=Pace(gap_s=0.1, first_pause_s=0.02, longest_pause_s=0.1))
    times = [at for _, at in slack.calls]
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) > 0.09


def test_many_entries_at_once_become_one_digest_that_holds_their_threads(tmp_path: Path) -> None:
    box, slack = box_at(tmp_path), FakeSlack()
    for number in range(6):
        put(box, "entry.filled", thread=f"trade:{number}", quantity="1", price="10")
    put(box, "exit.filled", thread="trade:3", quantity="1", price="11", reason="TP2", net="1", roi="0.1")
    drain(box, slack)
    assert [post.kind for post in slack.posts] == ["digest", "exit_filled"]
    assert "6 × entry.filled" in slack.posts[0].text
    assert slack.posts[1].thread_ts == slack.posts[0].ts
    assert not slack.posts[0].edits
    assert states(box) == ["DIGESTED"] * 6 + ["SENT"]


def test_an_old_backlog_becomes_one_digest_but_alarms_do_not(tmp_path: Path) -> None:
    box, slack = box_at(tmp_path), FakeSlack()
    for number in range(30):
        put(box, "system.started", key=f"k{number}")
    put(box, "stop.missing", key="alarm")
    drain(box, slack, now_us=NOW + 2 * 3_600_000_000)
    assert sorted(post.kind for post in slack.posts) == ["digest", "stop_missing"]


def test_rows_that_are_off_are_never_sent(tmp_path: Path) -> None:
    box, slack = box_at(tmp_path), FakeSlack()
    put(box, "entry.refused", code="CASH", why="no cash")
    put(box, "system.started")
    drain(box, slack)
    assert [post.kind for post in slack.posts] == ["system_started"]
    waiting: Message = box.latest(2)[1]
    assert waiting.level == "off"
