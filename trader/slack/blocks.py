"""Words -> Block Kit, within Slack's limits, with a plain-text fallback; plain dictionaries, no Slack library."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trader.slack.phrases import Words

BLOCKS, HEADER, SECTION, FALLBACK = 50, 150, 3_000, 4_000
PAYLOAD = 12_000  # Slack refuses near 13,200 (bolt-js #2509)

Block = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A message ready to post. `blocks` is empty where only text goes."""

    text: str
    blocks: tuple[Block, ...]

    def plain(self) -> Rendered:
        """The text alone, for when Slack refuses the blocks."""
        return Rendered(self.text, ())


def render(words: Words, *, environment: str, alarm: bool = False, repeat: bool = False, extra: str = "") -> Rendered:
    """Header, detail and a footer naming the environment. `extra`: one more line, for instance how a trade ended."""
    mark = ("⚠ " if alarm else "") + words.headline + (" (repeat)" if repeat else "")
    lines = [*words.lines, *([extra] if extra else [])]
    blocks: list[Block] = [{"type": "header", "text": {"type": "plain_text", "text": cut(mark, HEADER), "emoji": False}}]
    blocks += [_section(part) for part in _parts(lines)]
    footer = f"{environment.upper()}: simulated market, no real money" if environment == "demo" else environment.upper()
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": escape(footer)}]})
    text = cut(escape("\n".join([mark, *lines, f"[{environment}]"])), FALLBACK)
    return Rendered(text, tuple(_fitting(blocks, text)))


def escape(text: str) -> str:
    """Slack's three control characters, so that no text becomes a link, a mention or a command."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def cut(text: str, limit: int) -> str:
    """At most `limit` characters; what is cut ends in an ellipsis, and no escape is cut in half."""
    if len(text) <= limit:
        return text
    short = text[: limit - 1]
    start = short.rfind("&", len(short) - 5)
    return (short[:start] if start >= 0 and ";" not in short[start:] else short) + "…"


def _section(text: str) -> Block:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _parts(lines: Sequence[str]) -> list[str]:
    """Lines joined into texts of at most one section each."""
    parts: list[str] = []
    for line in lines:
        told = cut(escape(line), SECTION)
        if parts and len(parts[-1]) + 1 + len(told) <= SECTION:
            parts[-1] += "\n" + told
        else:
            parts.append(told)
    return parts


def _fitting(blocks: list[Block], text: str) -> list[Block]:
    """As many blocks as the limits allow, header first and footer last."""
    kept = blocks
    while len(kept) > 2 and (len(kept) > BLOCKS or len(json.dumps(kept)) + len(text) > PAYLOAD):
        kept = [*kept[:-2], kept[-1]]
    return kept
