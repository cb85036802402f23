"""Numbers, enum words and opaque ids -> the canonical question; nothing else can get into a prompt (AI.md section 4).

The legend below is a whitelist: a feature that is not in it, or a word that is not in its field's enum, is left out.
So no symbol, name, date, absolute price, balance or free text reaches the model, whatever a caller hands over.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trader.domain.market import DAY
from trader.domain.verdicts import Question

VERSION = "1"
SENTENCE = "Within the horizon, entered inside the band, this plan closes at a net loss after costs."
TRUE_TEXT = "The plan closes at a net loss after costs."
FALSE_TEXT = "The plan closes at zero or at a net gain after costs."

NUMBERS: Mapping[str, str] = {
    "score": "evidence points for the entry, 0-100, not a probability",
    "rsi": "Wilder RSI of 15m closes",
    "rsi_previous": "the same one bar earlier",
    "ema_distance_atr": "close minus trend EMA, in ATR",
    "bb_position": "0 = lower Bollinger band, 1 = upper",
    "macd_atr": "MACD histogram, in ATR",
    "h4_distance_atr": "4h close minus its EMA, in ATR of 15m",
    "volume_ratio": "volume against its mean",
    "cvd_z": "cumulative volume delta as z-score",
    "imbalance": "book imbalance, -1 asks to 1 bids",
    "spread_bp": "bid-ask spread",
    "atr_bp": "ATR14 of 15m bars",
    "stop_bp": "distance of the stop",
    "target_bp": "distance of the first target",
    "cost_bp": "round-trip cost",
    "horizon_bars": "15m bars until the plan is closed at market",
    "correlation": "largest correlation with a holding",
    "open_positions": "positions held now",
}
WORDS: Mapping[str, tuple[str, ...]] = {
    "h4": ("bullish", "neutral", "bearish"),
    "fib_zone": ("in", "out"),
    "divergence": ("bullish", "bearish", "none"),
    "pattern": ("hammer", "engulfing", "doji", "none"),
    "whales": ("whale_bullish", "whale_bearish", "neutral"),
    "walls": ("bid", "ask", "both", "none"),
    "pressure": ("BUY", "SELL", "NEUTRAL"),
    "memory": ("plus", "minus", "neutral"),
    "quality": ("ok", "gaps", "thin"),
}
MARKET_NUMBERS: Mapping[str, str] = {
    "breadth": "(pairs up - pairs down) / pairs over 24 h",
    "coherence": "leading eigenvalue share of 15m returns",
    "btc_1h_z": "BTC 1 h return as z-score",
    "btc_24h_z": "BTC 24 h return as z-score",
    "volatility_pct": "volatility percentile of 30 days",
}
MARKET_WORDS: Mapping[str, tuple[str, ...]] = {"regime": ("CRASH", "BEAR", "RANGE", "BULL")}
_STRATEGY = (("viable", "seed"), ("mitraillette", "sniper"), ("CONSERVATIVE", "DEFAULT", "AGGRESSIVE"))
_SIDES = {"buy": "long", "sell": "short"}


def canonical(value: object) -> str:
    """JSON with one spelling; raises ValueError for a number that is not finite."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


_LEGEND: Mapping[str, object] = {
    "schema": VERSION,
    "bar": "15m",
    "units": "_bp = 1/10000 of price, _atr = multiples of ATR14",
    "legend": {**NUMBERS, "band_bp": "half-width of the price band the entry must fall into"},
    "market_legend": {**MARKET_NUMBERS, "utc_quarter": "quarter of the UTC day, 0-3"},
    "task": "Each question holds one planned spot trade as JSON. Judge it by these numbers only.",
}


def number(value: object) -> float | int | None:
    """Three significant digits, so that equal data gives an equal prompt; None where it is not a finite number."""
    if isinstance(value, str) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    short = float(f"{value:.3g}")
    if not math.isfinite(short):  # rounding up can overflow
        return None
    return int(short) if short.is_integer() and abs(short) < 1e9 else short


def _select(
    features: Mapping[str, float | str], numbers: Mapping[str, str], words: Mapping[str, tuple[str, ...]]
) -> dict[str, float | str]:
    chosen: dict[str, float | str] = {}
    for name, value in features.items():
        if name in numbers:
            if (short := number(value)) is not None:
                chosen[name] = short
        elif isinstance(value, str) and value in words.get(name, ()):
            chosen[name] = str(value)
    return chosen


def record(question: Question) -> dict[str, float | str]:
    """What the prompt says of one question; empty where it has no usable number to be judged by."""
    chosen = _select(question.features, NUMBERS, WORDS)
    if not chosen.keys() & NUMBERS.keys():
        return {}
    if question.asked_price > 0 and (band := number((question.band_hi / question.asked_price - 1.0) * 1e4)) is not None:
        chosen["band_bp"] = band
    chosen["side"] = _SIDES[question.key.side.value]
    parts = question.key.strategy.split("/")
    if len(parts) == len(_STRATEGY) and all(part in allowed for part, allowed in zip(parts, _STRATEGY, strict=True)):
        chosen["strategy"] = parts[1] + " " + parts[2]
    return chosen


def _setting(newest: Question) -> dict[str, object]:
    """Legend and market of a batch of trades."""
    market = _select(newest.features, MARKET_NUMBERS, MARKET_WORDS)
    market["utc_quarter"] = newest.asked_us % DAY * 4 // DAY
    return {**_LEGEND, "market": market}


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What is asked, in fixed words. `record`: what the prompt may say of one question, empty where it cannot be judged;
    `setting`: what all questions of a batch share, from the newest of them; `params`: what else the provider is told."""

    version: str
    sentence: str
    true_text: str
    false_text: str
    record: Callable[[Question], Mapping[str, float | str]]
    setting: Callable[[Question], Mapping[str, object]]
    params: Mapping[str, object] = field(default_factory=dict)


TRADE = Form(version=VERSION, sentence=SENTENCE, true_text=TRUE_TEXT, false_text=FALSE_TEXT, record=record, setting=_setting)
"""Does a planned trade close at a loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One request: the shared text, the instructions per opaque id, and which question (index) each id stands for."""

    form: Form
    model: str
    shared: str
    instructions: Mapping[str, str]
    order: Mapping[str, int]

    @property
    def request(self) -> dict[str, object]:
        """The whole request, JSON-ready."""
        form = self.form
        body: dict[str, object] = {"version": form.version, "model": self.model, "input": self.shared, "questions": dict(self.instructions)}
        return body | {"true": form.true_text, "false": form.false_text} | ({"params": form.params} if form.params else {})

    @property
    def canonical(self) -> bytes:
        """The same as canonical JSON: what is hashed and stored."""
        return canonical(self.request).encode()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.canonical).hexdigest()

    @property
    def tokens(self) -> int:
        """Estimated input tokens: a quarter of the characters."""
        return len(self.canonical) // 4


def content_keys(provider: str, request: Mapping[str, Any]) -> dict[str, str]:
    """Per opaque id, the address of that question's answer: SHA-256 of all that could change it (AI.md section 8).

    Neither the id nor the company it travelled in is part of it. Raises KeyError or AttributeError where `request` is none of ours.
    """
    shared = {name: value for name, value in request.items() if name != "questions"} | {"provider": provider}
    asked = {name: canonical(shared | {"question": text}) for name, text in request["questions"].items()}
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in asked.items()}


def build(questions: Sequence[Question], model: str, seed: int, form: Form = TRADE) -> Prompt:
    """The prompt of a batch. Ids C01.. are dealt by a seeded hash of the content, so that names and order do not matter.

    Raises ValueError for an empty batch, or for a question whose `record` is empty.
    """
    records = [form.record(question) for question in questions]
    if not records or not all(records):
        raise ValueError("prompt: at least one question is needed, and each needs a number of the legend")
    texts = [f"{canonical(item)}\n{form.sentence}" for item in records]
    dealt = sorted(range(len(texts)), key=lambda i: (hashlib.sha256(f"{seed}|{texts[i]}".encode()).digest(), i))
    ids = {f"C{place + 1:02d}": index for place, index in enumerate(dealt)}
    shared = canonical(form.setting(max(questions, key=lambda question: question.asked_us)))
    instructions = {name: texts[index] for name, index in ids.items()}
    return Prompt(form=form, model=model, shared=shared, instructions=instructions, order=ids)
