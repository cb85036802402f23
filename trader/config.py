"""Settings: one frozen object from flags, environment (`TRADER_AI__MODE=shadow`), `trader.toml` and defaults, in that order.

The defaults run the demo with no file at all. Unknown keys are refused with a suggestion; values are never echoed.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator

from trader.errors import ConfigError

MAX_SEED = 2**63 - 1  # what ledgers and generators keep in one integer
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch(cls, value: Any, info: ValidationInfo) -> Any:
        """`true` would count as 1."""
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError("true and false are no value of it; what it holds is not a switch")
        return value


def _server(url: str, *schemes: str) -> str:
    """The address of a server, or empty. Raises ValueError for what no client could reach."""
    if url and not url.startswith(tuple(f"{scheme}://" for scheme in schemes)):
        raise ValueError(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    return url


class MarketSettings(_Section):
    """The simulated market of a demo."""

    seed: int = Field(11, ge=0, le=MAX_SEED, description="seed of the demo market; same seed, same past")
    pairs: int = Field(150, ge=1, le=500, description="pairs the demo market lists")
    epoch: str = Field("2026-01-05T00:00:00Z", description="simulated start, UTC, in the years 2000 to 2099")
    starting_cash_quote: float = Field(10_000.0, gt=0, le=1e12)
    speed: float = Field(30.0, gt=0, le=3600, description="simulated seconds per second in `trader up --env demo`")

    @field_validator("epoch")
    @classmethod
    def _start(cls, value: str) -> str:
        try:
            start = datetime.fromisoformat(value)
        except ValueError as error:
            raise ValueError("not a date or time such as 2026-01-05 or 2026-01-05T06:00:00Z") from error
        start = start if start.tzinfo else start.replace(tzinfo=UTC)
        if not EARLIEST <= start < LATEST:
            raise ValueError(f"must lie in the years {EARLIEST.year} to {LATEST.year - 1}")
        return value


class AiSettings(_Section):
    """Who is asked, when, and for how much."""

    mode: Literal["off", "shadow", "veto"] = "veto"
    provider: Literal["decisions", "text"] = "decisions"
    model: str = "models/gemini-decision-1"
    deadline_s: float = Field(2.0, gt=0, le=60)
    text_model: str = "gemini-3.5-flash-lite"
    text_deadline_s: float = Field(6.0, gt=0, le=60)
    fallback: Literal["none", "text"] = "none"
    prescan_s: float = Field(30.0, ge=1, le=300)
    prescan_window_s: float = Field(300.0, ge=30, le=900, description="ask only this long before a 15m close")
    ttl_s: float = Field(300.0, ge=30, le=3600)
    near_zone: float = Field(6.0, gt=0, le=50, description="RSI points around the trigger")
    band_sigmas: float = Field(3.0, gt=0, le=10)
    calls_per_day: int = Field(6_000, ge=1)
    questions_per_day: int = Field(30_000, ge=1)
    input_tokens_per_day: int = Field(10_000_000, ge=1)
    night_model: str = Field(
        "", description="text model asked for suggestions at night, e.g. gemini-3.5-flash-lite; empty: only the demo's stand-in is asked"
    )
    usd_per_day: float = Field(1.0, gt=0, description="hard cap, where the price is known")
    usd_per_million_input_tokens: float = Field(0.0, ge=0, description="the provider's price; 0: not known, and so is the cost")
    calls_per_minute: int = Field(200, ge=1, description="the provider's limit; questions bought ahead use three quarters of it")
    input_tokens_per_minute: int = Field(50_000, ge=1, description="as above")
    training_cutoff: dict[str, str] = Field({}, description="model -> date at which its training data ends, e.g. 2026-01-31")

    @field_validator("training_cutoff")
    @classmethod
    def _dates(cls, value: dict[str, str]) -> dict[str, str]:
        for model, text in value.items():
            try:
                date.fromisoformat(text)
            except ValueError as error:
                raise ValueError(f"{model}: not a date such as 2026-01-31") from error
        return value


class EntrySettings(_Section):
    rsi_oversold: float = Field(0.0, ge=0, le=50, description="RSI below which a pair may be entered; 0 = the table's, as below")
    composite_limit: float = Field(0.0, ge=0, le=60, description="RSI up to which other evidence may carry an entry")
    min_score: float = Field(0.0, ge=0, le=95, description="points an entry needs")
    cooldown_bars: int = Field(0, ge=0, le=96, description="15m bars a pair rests after an exit")
    cooldown_stop_bars: int = Field(0, ge=0, le=96, description="15m bars a pair rests after a stop-loss")


class HaltSettings(_Section):
    daily_loss_fraction: float = Field(0.0, ge=0, le=1, description="write 0.05 for 5 %; 0 = the profile's")
    drawdown_fraction: float = Field(0.0, ge=0, le=1, description="write 0.05 for 5 %; 0 = the profile's")
    stops: int = Field(0, ge=0)


class ExitSettings(_Section):
    plan: Literal["profile", "ratchet", "targets", "hybrid"] = "profile"


class HistorySettings(_Section):
    archive_days: int = Field(300, ge=0, le=3650, description="days of 15m and 4h taken once from the exchange's archive; 0 = none")


class BeatSettings(_Section):
    base_s: float = Field(60.0, ge=1, le=3600)


class PortSettings(_Section):
    """Where the parts of `trader up` listen, each on a port of its own."""

    prefect: int = Field(4200, ge=1, le=65535)
    web: int = Field(8787, ge=1, le=65535)
    kraken_twin: int = Field(8701, ge=1, le=65535)
    gemini_twin: int = Field(8702, ge=1, le=65535)

    @model_validator(mode="after")
    def _apart(self) -> PortSettings:
        names: dict[int, str] = {}
        for name, port in self:
            if (other := names.setdefault(port, name)) != name:
                raise ValueError(f"{other} and {name} are the same; each needs its own")
        return self


class CostSettings(_Section):
    maker_fraction: float = Field(0.0025, ge=0, lt=0.1)
    slippage_fraction: float = Field(0.0005, ge=0, lt=0.1)


class OptimizerSettings(_Section):
    runner: Literal["threads", "dask", "ray"] = Field("threads", description="where the sweep's tasks run")
    threads: int = Field(2, ge=1, le=64, description="of the runner `threads`")
    dask_address: str = Field("", description="of a running Dask scheduler; empty: a cluster of this machine, for the run alone")
    ray_address: str = Field("", description="of a running Ray cluster; empty: a Ray of this machine, for the run alone")
    approve_timeout_min: float = Field(720.0, gt=0, le=10_080, description="minutes after which an unanswered switch is a KEEP")
    lock: bool = Field(False, description="report only, never switch")
    warmup: Literal["exact", "short"] = Field("exact", description="`short`: ready after three periods")
    candidates: str = Field("", description="TOML table of further candidates, see docs/explanation/optimizer.md")


class FuturesSettings(_Section):
    allow_short: bool = Field(False, description="enter shorts too where the session trades futures; on spot there are none")
    leverage: int = Field(1, ge=1, le=3, description="isolated margin: a position takes its value / leverage of the cash")
    taker_fraction: float = Field(0.0005, ge=0, lt=0.1, description="fee of replays on futures; a venue's own fees come with its fills")


class PairSettings(_Section):
    """Which pairs are left alone."""

    deny: tuple[str, ...] = ()

    @field_validator("deny")
    @classmethod
    def _pairs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for number, name in enumerate(value, start=1):
            if not all(name.partition("/")):
                raise ValueError(f"entry {number} is no pair such as DOGE/EUR")
        return value


class KrakenSettings(_Section):
    """The account at Kraken, and where it is reached."""

    url: str = Field("", description="another server for Kraken's REST API, for instance a twin; empty: Kraken itself")
    ws_url: str = Field("", description="its WebSocket address, given with `url` or not at all")
    tier: Literal["starter", "intermediate", "pro"] = Field("starter", description="rate limits of the account")
    accept_withdraw_key: str = Field("", description="name, at Kraken, of a key that may trade although it can withdraw")

    @field_validator("url")
    @classmethod
    def _rest(cls, value: str) -> str:
        return _server(value, "http", "https")

    @field_validator("ws_url")
    @classmethod
    def _stream(cls, value: str) -> str:
        return _server(value, "ws", "wss")


class SlackSettings(_Section):
    """Where messages go."""

    channel: str = "#trading"
    base_url: str = ""

    @field_validator("base_url")
    @classmethod
    def _api(cls, value: str) -> str:
        return _server(value, "http", "https")


class Settings(_Section):
    """Everything a person may set. Units are in the names; a fraction is 0.05 for 5 %."""

    environment: Literal["demo", "paper", "live"] = "demo"
    account: str = Field("kraken", min_length=1, max_length=40, description="name of the account; the arm file must name it, too")
    quote: Literal["EUR", "USD"] = Field("EUR", description="currency that paper and live trade in; a demo's market has its own")
    profile: Literal["viable", "seed"] = "viable"
    mode: Literal["mitraillette", "sniper"] = "mitraillette"
    variation: Literal["CONSERVATIVE", "DEFAULT", "AGGRESSIVE"] = "AGGRESSIVE"
    universe: int = Field(150, ge=1, le=233)
    state_dir: str = Field("state", min_length=1)
    market: MarketSettings = MarketSettings()
    ai: AiSettings = AiSettings()
    entry: EntrySettings = EntrySettings()
    halts: HaltSettings = HaltSettings()
    exits: ExitSettings = ExitSettings()
    history: HistorySettings = HistorySettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    beat: BeatSettings = BeatSettings()
    ports: PortSettings = PortSettings()
    costs: CostSettings = CostSettings()
    futures: FuturesSettings = FuturesSettings()
    pairs: PairSettings = PairSettings()
    kraken: KrakenSettings = KrakenSettings()
    slack: SlackSettings = SlackSettings()
    slack_token: SecretStr | None = None
    kraken_api_key: SecretStr | None = Field(None, description="public half of Kraken's API key; live only")
    kraken_api_secret: SecretStr | None = Field(None, description="its secret, base64 as Kraken shows it")
    ledger_url: SecretStr | None = Field(None, description="postgresql://... keeps the ledger on a server; none: a file in state_dir")

    @property
    def state(self) -> Path:
        """The state directory as a path."""
        return Path(self.state_dir)

    @property
    def strategy(self) -> str:
        """`profile/mode/VARIATION`, the name every record carries."""
        return f"{self.profile}/{self.mode}/{self.variation}"


NOT_SETTINGS = frozenset({"TRADER_SHARED_DATA", "TRADER_TEST_POSTGRES", "TRADER_GEMINI_API_KEY"})
"""Variables that are not ours to judge: where tests find recorded candles and a server; what the AI worker alone reads."""
SECRETS = frozenset({"slack_token", "kraken_api_key", "kraken_api_secret", "ledger_url"})


def load(flags: Mapping[str, Any] | None = None, *, file: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from all sources; `flags` uses dotted keys (`market.seed`). Raises ConfigError naming the key."""
    path = file or Path("trader.toml")
    if file is not None and not path.exists():
        raise ConfigError(f"{file}: no such settings file")
    values = _written(path) if path.exists() else {}
    for name, text in sorted((environ if environ is not None else os.environ).items()):
        if name.startswith("TRADER_") and name not in NOT_SETTINGS:
            _put(values, name.removeprefix("TRADER_").lower().split("__"), text)
    for dotted, value in (flags or {}).items():
        if value is not None:
            _put(values, dotted.split("."), value)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_explain(error)) from None


def _written(path: Path) -> dict[str, Any]:
    """What a settings file says. Raises ConfigError for one that cannot be read, and for a secret in it."""
    try:
        values = tomllib.loads(path.read_bytes().decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML ({error})") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    if found := sorted(SECRETS & values.keys()):
        raise ConfigError(f"{path}: {found[0]} is a secret; set it in the environment as TRADER_{found[0].upper()}")
    return values


def _put(values: dict[str, Any], path: list[str], value: Any) -> None:
    """Set a value at a path. Raises ConfigError where the path leads through a setting that has no parts."""
    for depth, part in enumerate(path[:-1], start=1):
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise ConfigError(f"setting {'.'.join(path)}: {'.'.join(path[:depth])} is set to one value and has no parts")
    values[path[-1]] = value


WORDS = {
    "tuple_type": "input should be a list",
    "dict_type": "input should be a table",
    "model_type": "input should be a table",
    "int_parsing": "input should be a whole number",
    "float_parsing": "input should be a number",
}
"""Pydantic's types of error in the words of a settings file."""


def _explain(error: ValidationError) -> str:
    """The first problem in one sentence; the value is not repeated (it may be a secret)."""
    first = error.errors(include_input=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown setting {key!r}; {_known(key)}"
    message = WORDS.get(first["type"]) or first["msg"].removeprefix("Value error, ")
    hint = " (write 0.05 for 5 %)" if key.endswith("_fraction") else ""
    return f"setting {key}: {message[:1].lower()}{message[1:]}{hint}"


def _known(key: str) -> str:
    """What an unknown key may have meant: one of a like name, in its own section before others; else all of its section."""
    section, _, name = key.rpartition(".")
    sections = {"": list(Settings.model_fields)}
    for part, info in Settings.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            sections[part] = [f"{part}.{one}" for one in info.annotation.model_fields]
    own = sections.get(section, sections[""])
    for among in (own, [one for keys in sections.values() for one in keys]):
        by_name = {one.rpartition(".")[2]: one for one in reversed(among)}
        if near := difflib.get_close_matches(name, by_name, n=1):
            return f"did you mean {by_name[near[0]]!r}?"
    return f"known: {', '.join(own)}"
