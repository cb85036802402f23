"""The table of docs/reference/settings.md, made from the model: `python -m tests.architecture.settings_table` prints the page."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from trader.config import SECRETS, Settings

MEANING = {
    "environment": "`demo`: simulated market and orders; `paper`: real prices, simulated orders; `live`: real money, behind two opt-ins",
    "profile": "parameter table: `viable` is sized to its costs, `seed` keeps the numbers of the public description",
    "mode": "`mitraillette` takes many small entries, `sniper` few selective ones",
    "variation": "which column of the mode's table",
    "universe": "how many pairs, by 24 h quote volume, are looked at",
    "state_dir": "where everything that must survive is kept",
    "market.starting_cash_quote": "cash the demo account begins with",
    "ai.mode": "`veto` obeys the AI, `shadow` asks and records but ignores it, `off` does not ask",
    "ai.provider": "which API is asked about trades: `decisions`, or `text`, a text model that answers in JSON",
    "ai.model": "model of the Decisions API, named in every question",
    "ai.deadline_s": "seconds one call to the Decisions API may take",
    "ai.text_model": "text model, pinned: an answer that names another is no verdict",
    "ai.text_deadline_s": "seconds one call to the text model may take",
    "ai.fallback": "`text` asks the text model while the breaker of the Decisions API is open; scored on its own",
    "ai.prescan_s": "seconds between two scans for pairs near a signal",
    "ai.ttl_s": "seconds a verdict may be used after it was asked for",
    "ai.band_sigmas": "half-width of the price band a verdict holds for, in standard deviations of a 97 s move",
    "ai.calls_per_day": "budget per UTC day; spent means no new verdicts, so no new entries in `veto`",
    "ai.questions_per_day": "as above, counted in questions (32 at most in a call)",
    "ai.input_tokens_per_day": "as above, counted in input tokens",
    "ai.training_cutoff": "model -> date at which its training data ends; trades before it are look-ahead risk in a report",
    "halts.daily_loss_fraction": "loss since 00:00 UTC, of equity then, that halts entries; write 0.05 for 5 %; 0 = the profile's",
    "halts.drawdown_fraction": "fall from the highest equity ever that halts entries; write 0.05 for 5 %; 0 = the profile's",
    "halts.stops": "stop-losses in a row that halt entries; 0 = the mode's",
    "exits.plan": "`ratchet` trails only, `targets` sells at two targets, `hybrid` does both, `profile` is what the profile says",
    "history.archive_days": "days of 15m and 4h that the demo takes once from its exchange's archive; 0 takes none",
    "beat.base_s": "the beat comes every base x 1.618 seconds: 97 s by default",
    "ports.prefect": "Prefect's server and pages",
    "ports.web": "the status page",
    "ports.kraken_twin": "the simulated exchange",
    "ports.gemini_twin": "the scripted stand-in for Gemini",
    "costs.maker_fraction": "write 0.0025 for 0.25 %",
    "costs.slippage_fraction": "a side, on top of the fee",
    "pairs.deny": 'pairs never entered, for instance `["DOGE/EUR"]`; under `trader up` write lists in trader.toml',
    "slack.channel": "where messages go when there is a token",
    "slack.base_url": "another server for Slack's API (tests); empty: Slack itself",
    "slack_token": "bot token; without one messages stay in the outbox and on the status page",
}
"""What a setting means, where the model's own description is absent or too short for a reference."""

HEAD = """# Settings

One frozen object, read in this order, the later one wins: defaults, `trader.toml` in the current directory (or `--config FILE`),
environment variables, options of the command. No file is needed: the defaults run the demo.

- A variable is `TRADER_` and the key in upper case, sections joined by two underscores: `TRADER_MARKET__SEED=7`.
- A fraction is 0.05 for 5 %. Units stand at the end of a name: `_s` seconds, `_min` minutes, `_quote` money.
- An unknown key, a wrong type or a value out of range refuses the start (exit code 2) and names the key; the value is never shown.
- Secrets come from the environment only; in a file they are refused. `trader config` shows them as set or unset.
- This page is made from the model in [trader/config.py](../../trader/config.py): `python -m tests.architecture.settings_table`.
  A test fails when the two differ.

```toml
# trader.toml
mode = "sniper"
variation = "DEFAULT"

[market]
seed = 7

[ports]
web = 9787
```

| key | type | default | allowed | meaning |
|---|---|---|---|---|
"""


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """(dotted key, field) of every setting."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from leaves(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def _type(field: FieldInfo) -> str:
    kind = field.annotation
    if get_origin(kind) is Literal:
        return "word"
    if get_origin(kind) is dict:
        return "table"
    if get_origin(kind) is tuple:
        return "list of text"
    names: dict[Any, str] = {int: "integer", float: "number", str: "text", bool: "boolean"}
    return names.get(kind, "secret")


def _allowed(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{word}`" for word in get_args(field.annotation))
    signs = (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below"))
    found = [f"{words} {getattr(one, name):,}" for one in field.metadata for name, words in signs if getattr(one, name, None) is not None]
    return ", ".join(found)


def _default(key: str, field: FieldInfo) -> str:
    if key in SECRETS:
        return "unset"
    value = field.get_default()
    if isinstance(value, tuple):
        return "`[]`" if not value else f"`{list(value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if value != "" else "empty"


def row(key: str, field: FieldInfo) -> str:
    """One line of the table. Raises ValueError for a setting nobody has described."""
    meaning = MEANING.get(key) or field.description
    if not meaning:
        raise ValueError(f"setting {key} has no meaning: add one to MEANING or a description to the model")
    return f"| `{key}` | {_type(field)} | {_default(key, field)} | {_allowed(field)} | {meaning} |"


def page() -> str:
    """The whole of docs/reference/settings.md."""
    return HEAD + "\n".join(row(key, field) for key, field in leaves(Settings)) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
