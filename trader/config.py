"""Settings: one frozen object from flags, environment (`TRADER_AI__MODE=shadow`), `trader.toml` and defaults, in that order.

The defaults run the demo with no file at all. Unknown keys are refused with a suggestion; values are never echoed.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from trader.errors import ConfigError


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class MarketSettings(_Section):
    seed: int = Field(11, ge=0, description="seed of the demo market; same seed, same past")
    pairs: int = Field(150, ge=1, le=500, description="pairs the demo market lists")
    epoch: str = Field("2026-01-05T00:00:00Z", description="simulated start, UTC")
    starting_cash_quote: float = Field(10_000.0, gt=0)
    speed: float = Field(30.0, gt=0, le=3600, description="simulated seconds per second in `trader up --env demo`")


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
    prefect: int = Field(4200, ge=1, le=65535)
    web: int = Field(8787, ge=1, le=65535)
    kraken_twin: int = Field(8701, ge=1, le=65535)
    gemini_twin: int = Field(8702, ge=1, le=65535)


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
    deny: tuple[str, ...] = ()


class KrakenSettings(_Section):
    url: str = Field("", description="another server for Kraken's REST API, for instance a twin; empty: Kraken itself")
    ws_url: str = Field("", description="its WebSocket address, given with `url` or not at all")
    tier: Literal["starter", "intermediate", "pro"] = Field("starter", description="rate limits of the account")
    accept_withdraw_key: str = Field("", description="name, at Kraken, of a key that may trade although it can withdraw")


class SlackSettings(_Section):
    channel: str = "#trading"
    base_url: str = ""


class Settings(_Section):
    """Everything a person may set. Units are in the names; a fraction is 0.05 for 5 %."""

    environment: Literal["demo", "paper", "live"] = "demo"
    account: str = Field("kraken", min_length=1, max_length=40, description="name of the account; the arm file must name it, too")
    quote: Literal["EUR", "USD"] = Field("EUR", description="currency that paper and live trade in; a demo's market has its own")
    profile: Literal["viable", "seed"] = "viable"
    mode: Literal["mitraillette", "sniper"] = "mitraillette"
    variation: Literal["CONSERVATIVE", "DEFAULT", "AGGRESSIVE"] = "AGGRESSIVE"
    universe: int = Field(150, ge=1, le=233)
    state_dir: str = "state"
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
    values: dict[str, Any] = {}
    path = file or Path("trader.toml")
    if path.exists():
        try:
            values = tomllib.loads(path.read_text())
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: not valid TOML ({error})") from error
        if found := sorted(SECRETS & values.keys()):
            raise ConfigError(f"{path}: {found[0]} is a secret; set it in the environment as TRADER_{found[0].upper()}")
    elif file is not None:
        raise ConfigError(f"{file}: no such settings file")
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


def _put(values: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        values = values.setdefault(part, {})
    values[path[-1]] = value


def _explain(error: ValidationError) -> str:
    """The first problem in one sentence; the value is not repeated (it may be a secret)."""
    first = error.errors(include_input=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key.rsplit(".", 1)[-1], _known_keys(), n=1)
        return f"unknown setting {key!r}" + (f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(_known_keys())}")
    message = first["msg"]
    hint = " (write 0.05 for 5 %)" if key.endswith("_fraction") else ""
    return f"setting {key}: {message[:1].lower()}{message[1:]}{hint}"


def _known_keys() -> list[str]:
    keys: list[str] = []
    for name, info in Settings.model_fields.items():
        kind = info.annotation
        keys.append(name)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys.extend(kind.model_fields)
    return sorted(set(keys))
