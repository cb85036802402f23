"""The stand-in's answers: a logistic of six weights on a prompt's own numbers plus seeded noise. It is not AI.

The weights are arbitrary: they make answers differ from plan to plan and claim no knowledge of markets. Same seed and question, same
answer. A planted skill (tests only) mixes in what became of the plan.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from trader.simulation.exchange_orders import unit_hash

_NORMAL = NormalDist()

# (field, weight, centre, scale): each adds weight * clip((value - centre) / scale, -1, 1) to the logit.
WEIGHTS: tuple[tuple[str, float, float, float], ...] = (
    ("rsi", 0.30, 30.0, 10.0),
    ("score", -0.40, 65.0, 15.0),
    ("bb_position", 0.25, 0.0, 0.5),
    ("volume_ratio", -0.25, 1.5, 1.5),
    ("ema_distance_atr", -0.30, -2.0, 2.0),
    ("atr_bp", 0.20, 50.0, 40.0),
)
# With the noise and typical entries the median answer is 0.25; 16 % reach 0.45, 22 % 0.40, 39 % 0.30, 62 % 0.20.
INTERCEPT = -1.3
NOISE_SIGMA = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """For tests: noise that correlates by `rho` (-1 to 1) with the outcome of the plan behind a question's numbers.

    `lost`: whether it closed at a loss, None where nobody knows.
    """

    rho: float
    lost: Callable[[Mapping[str, Any]], bool | None]


def p_loss(numbers: Mapping[str, Any], seed: int, text: str, skill: Skill | None = None) -> float:
    """The stand-in's answer in [0.01, 0.99], to four digits; a number that is missing adds nothing."""
    noise = _normal(seed, "noise", text)
    if skill is not None and (lost := skill.lost(numbers)) is not None:
        noise = skill.rho * (1.0 if lost else -1.0) + math.sqrt(1.0 - skill.rho**2) * noise
    logit = INTERCEPT + NOISE_SIGMA * noise
    for name, weight, centre, scale in WEIGHTS:
        value = numbers.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            logit += weight * min(1.0, max(-1.0, (value - centre) / scale))
    return round(min(0.99, max(0.01, 1.0 / (1.0 + math.exp(-logit)))), 4)


def latency_s(seed: int, call: int, *, text: bool = False) -> float:
    """Lognormal, median 200 ms, sigma 0.25 (text: 600 ms, 0.55), and a 1 % tail of eight times that."""
    median, sigma = (0.6, 0.55) if text else (0.2, 0.25)
    base = median * math.exp(sigma * _normal(seed, "latency", call))
    return base * (8.0 if unit_hash(seed, "tail", call) < 0.01 else 1.0)


def _normal(*parts: str | int) -> float:
    """A standard normal number made of its arguments."""
    return _NORMAL.inv_cdf(min(max(unit_hash(*parts), 1e-12), 1.0 - 1e-12))


def _text(instructions: object) -> str:
    """Instructions as one text, whether given as a string or as content blocks."""
    blocks = instructions if isinstance(instructions, list) else [instructions]
    return "\n".join(str(block.get("text", "")) if isinstance(block, dict) else str(block) for block in blocks)


def numbers_of(text: str) -> dict[str, Any]:
    """The JSON object in the first line of our own prompts; other callers have none, which leaves intercept and noise."""
    try:
        value = json.loads(text.split("\n", 1)[0])
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def answer(question: Mapping[str, Any], seed: int, skill: Skill | None = None) -> dict[str, Any]:
    """The scripted answer to one valid question."""
    text = _text(question["instructions"])
    p = p_loss(numbers_of(text), seed, text, skill)
    if question["type"] == "noul":
        return {"type": "noul", "noul": p, "confidence": round(max(p, 1.0 - p), 4)}
    names = [str(i) for i in range(len(question["criteria"]))] if question["type"] == "score" else list(question["criteria"])
    weights = [0.05 + unit_hash(seed, name, text) for name in names]
    probabilities = {name: round(weight / sum(weights), 4) for name, weight in zip(names, weights, strict=True)}
    best = max(probabilities, key=lambda name: probabilities[name])
    shared = {"confidence": probabilities[best], "probabilities": probabilities}
    if question["type"] == "choice":
        return {"type": "choice", "choice": best, **shared}
    legend = {str(i): str(level) for i, level in enumerate(question["criteria"])}
    return {"type": "score", "score": round(sum(i * p for i, p in enumerate(probabilities.values())), 4), "legend": legend, **shared}
