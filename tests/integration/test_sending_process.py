"""The sender's own process loop: ledger to outbox to Slack, and without a token only as far as the outbox."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from slack_fake import TOKEN, FakeSlack
from status_kit import lively

from trader.bootstrap import sending
from trader.config import Settings, load
from trader.data.outbox import Outbox


def settings_of(state: Path, **more: str) -> Settings:
    return load({"state_dir": str(state), **more}, environ={})


def rows(state: Path) -> list[tuple[str, str]]:
    box = Outbox(state / "ops.sqlite")
    try:
        return [(message.kind, message.state) for message in reversed(box.latest(200))]
    finally:
        box.close()


async def run_for(settings: Settings, done: asyncio.Event, seconds: float = 20.0) -> None:
    stopping = asyncio.Event()
    task = asyncio.create_task(sending.send(settings, stopping))
    await asyncio.wait({asyncio.ensure_future(done.wait()), task}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    stopping.set()
    await task


def test_without_a_token_messages_stay_in_the_outbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = lively(tmp_path)
    monkeypatch.setattr(sending, "EVERY_S", 0.05)

    async def main() -> None:
        done = asyncio.Event()
        asyncio.get_running_loop().call_later(0.5, done.set)
        await run_for(settings_of(state), done)

    asyncio.run(main())
    assert len(rows(state)) > 6
    assert {told for _, told in rows(state)} == {"PENDING"}


def test_with_a_token_everything_arrives_in_slack_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path / "state"
    state.mkdir()
    monkeypatch.setattr(sending, "EVERY_S", 0.05)
    monkeypatch.setattr(sending, "clock_of", lambda *_: _Still())

    async def main(slack: FakeSlack) -> None:
        async with slack:
            done = asyncio.Event()
            asyncio.get_running_loop().call_later(0.3, lively, tmp_path)  # the first session comes after the sender

            async def watch() -> None:
                while not (state / "ledger.sqlite").exists() or len(slack.posts) < 8 or any(s == "PENDING" for _, s in rows(state)):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
                done.set()

            watcher = asyncio.create_task(watch())
            await run_for(settings_of(state, slack_token=TOKEN, **{"slack.base_url": slack.url}), done)
            watcher.cancel()

    slack = FakeSlack()
    asyncio.run(main(slack))
    assert not slack.problems
    sent = [kind for kind, told in rows(state) if told == "SENT"]
    assert len(sent) == len(slack.posts) == len({post.key for post in slack.posts}) > 6
    roots = {post.ts for post in slack.posts if post.kind == "entry_filled"}
    assert len(roots) == 3
    exits = [post for post in slack.posts if post.kind == "exit_filled"]
    assert len(exits) == 2
    assert all(post.thread_ts in roots for post in exits)


class _Still:
    """A clock at the end of the story, so that nothing is an old backlog."""

    def now_us(self) -> int:
        return 1_767_571_200_000_000 + 40 * 60_000_000
