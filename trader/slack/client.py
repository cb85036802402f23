"""One Slack call at a time, with its outcome as a value: sent, certainly not sent, unknown, refused. The only home of slack_sdk."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from trader.slack.blocks import Rendered

DEADLINE_S = 10.0
OFFICIAL = "https://slack.com/api/"
# what a person must put right before anything can be sent, and what Slack says when it is only busy
NEEDS_PERSON = frozenset({
    "invalid_auth", "token_revoked", "token_expired", "account_inactive", "not_authed", "missing_scope", "no_permission",
    "channel_not_found", "not_in_channel", "is_archived", "org_login_required", "ekm_access_denied", "restricted_action",
})  # fmt: skip
BUSY = frozenset(
    {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"}
)
TOO_BIG = frozenset({"msg_blocks_too_long", "invalid_blocks", "invalid_blocks_format", "msg_too_long"})


class Trouble(StrEnum):
    """LATER: certainly not done, try again; UNKNOWN: it may have been done; TOO_BIG: send the text alone; REFUSED: this
    message never; PERSON: no message until a person acts."""

    LATER = "LATER"
    UNKNOWN = "UNKNOWN"
    TOO_BIG = "TOO_BIG"
    REFUSED = "REFUSED"
    PERSON = "PERSON"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """Where a message landed."""

    channel: str
    ts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a call failed; `retry_after_s` where Slack named a time."""

    trouble: Trouble
    detail: str
    retry_after_s: float | None = None


class SlackClient:
    """`base_url` empty: Slack itself. The HTTP session is the caller's, which closes it."""

    def __init__(self, token: str, session: aiohttp.ClientSession, *, base_url: str = "") -> None:
        where = base_url.rstrip("/") + "/" if base_url else OFFICIAL
        self._web = AsyncWebClient(token=token, base_url=where, session=session, timeout=int(DEADLINE_S), retry_handlers=[])

    async def post(
        self, channel: str, message: Rendered, *, thread_ts: str | None, broadcast: bool, kind: str, dedupe_key: str
    ) -> Sent | Failure:
        """chat.postMessage. The key of the message travels with it as metadata."""
        about = {"event_type": kind.replace(".", "_"), "event_payload": {"dedupe_key": dedupe_key}}
        more: dict[str, Any] = {"thread_ts": thread_ts, "reply_broadcast": broadcast} if thread_ts else {}
        more |= {"blocks": list(message.blocks)} if message.blocks else {}
        return await _outcome(
            self._web.chat_postMessage(channel=channel, text=message.text, metadata=about, unfurl_links=False, unfurl_media=False, **more)
        )

    async def update(self, channel: str, ts: str, message: Rendered) -> Sent | Failure:
        """chat.update; doing it twice is the same as once."""
        return await _outcome(self._web.chat_update(channel=channel, ts=ts, text=message.text, blocks=list(message.blocks)))

    async def probe(self) -> Failure | None:
        """auth.test: whether Slack answers this token at all."""
        found = await _outcome(self._web.auth_test())
        return found if isinstance(found, Failure) else None


async def _outcome(call: Any) -> Sent | Failure:
    try:
        answer = await call
    except SlackApiError as error:
        return _refused(error)
    except aiohttp.ClientConnectorError as error:
        return Failure(trouble=Trouble.LATER, detail=f"no connection: {error}")
    except TimeoutError:
        return Failure(trouble=Trouble.UNKNOWN, detail=f"no answer within {DEADLINE_S:g} s")
    except aiohttp.ClientError as error:
        return Failure(trouble=Trouble.UNKNOWN, detail=f"{type(error).__name__}: {error}")
    return Sent(channel=str(answer.get("channel") or ""), ts=str(answer.get("ts") or ""))


def _refused(error: SlackApiError) -> Failure:
    answer = error.response
    status = getattr(answer, "status_code", None) or getattr(answer, "status", None)
    data = getattr(answer, "data", None)
    code = str(data.get("error") or "") if isinstance(data, dict) else ""
    if status == 429 or code in ("ratelimited", "rate_limited"):
        return Failure(trouble=Trouble.LATER, detail="429: too many messages", retry_after_s=_seconds(getattr(answer, "headers", {})))
    if isinstance(status, int) and status >= 500:
        return Failure(trouble=Trouble.LATER, detail=f"status {status}")
    if code in BUSY:
        return Failure(trouble=Trouble.LATER, detail=code)
    if code in NEEDS_PERSON:
        return Failure(trouble=Trouble.PERSON, detail=code)
    if code in TOO_BIG:
        return Failure(trouble=Trouble.TOO_BIG, detail=code)
    if code:
        return Failure(trouble=Trouble.REFUSED, detail=code)
    return Failure(trouble=Trouble.UNKNOWN, detail=f"status {status} without Slack's answer in it")


def _seconds(headers: Any) -> float | None:
    try:
        return max(0.0, float(headers["Retry-After"]))
    except (KeyError, TypeError, ValueError):
        return None
