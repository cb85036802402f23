"""Gemini twin: the wire of the Decisions API with a scripted stand-in behind it. It is not AI, and says so in a header.

P(loss) is a logistic of six weights on the prompt's own numbers plus seeded noise. The weights are arbitrary: they make
answers differ from plan to plan and claim no knowledge of markets. Same seed and question, same answer.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

from aiohttp import web

from trader.errors import ConfigError
from trader.ports import Clock
from trader.simulation.exchange_orders import unit_hash
from trader.simulation.faults import Fault, FaultPlan
from trader.simulation.gemini_faults import BODY_FAULTS, HTML_502, HTTP_FAULTS, REFUSE_S, HttpFault, gemini_plan

LABEL = "scripted stand-in, not AI"
MODEL = "models/gemini-decision-1"
SERVED = "scripted-twin-1"
HEADERS = {"X-Twin": LABEL, "X-Twin-Model": SERVED}
MAX_QUESTIONS = 256
_NORMAL = NormalDist()
_NO_KEY = HttpFault(status=403, word="PERMISSION_DENIED", message="Method doesn't allow unregistered callers.")

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


def p_loss(numbers: Mapping[str, Any], seed: int, text: str) -> float:
    """The stand-in's answer in [0.01, 0.99], to four digits; a number that is missing adds nothing."""
    logit = INTERCEPT + NOISE_SIGMA * _normal(seed, "noise", text)
    for name, weight, centre, scale in WEIGHTS:
        value = numbers.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            logit += weight * min(1.0, max(-1.0, (value - centre) / scale))
    return round(min(0.99, max(0.01, 1.0 / (1.0 + math.exp(-logit)))), 4)


def latency_s(seed: int, call: int) -> float:
    """Lognormal, median 200 ms, sigma 0.25, and a 1 % tail of eight times that."""
    base = 0.2 * math.exp(0.25 * _normal(seed, "latency", call))
    return base * (8.0 if unit_hash(seed, "tail", call) < 0.01 else 1.0)


def _normal(*parts: str | int) -> float:
    """A standard normal number made of its arguments."""
    return _NORMAL.inv_cdf(min(max(unit_hash(*parts), 1e-12), 1.0 - 1e-12))


class BadRequest(ValueError):
    """The request would be refused by the real service, too."""


def validate(body: object) -> tuple[str, dict[str, dict[str, Any]]]:
    """(model, questions) of a request; raises BadRequest naming the field."""
    if not isinstance(body, dict):
        raise BadRequest("body: a JSON object is required")
    if unknown := sorted(body.keys() - {"input", "model", "questions"}):
        raise BadRequest(f"unknown name {unknown[0]!r}")
    model, questions = body.get("model"), body.get("questions")
    if not isinstance(model, str) or not model.startswith("models/"):
        raise BadRequest("model: format is models/{model}")
    if not body.get("input") or not isinstance(body["input"], str | list | dict):
        raise BadRequest("input: required")
    if not isinstance(questions, dict) or not 1 <= len(questions) <= MAX_QUESTIONS:
        raise BadRequest(f"questions: 1 to {MAX_QUESTIONS} are required")
    for name, question in questions.items():
        _validate_question(name, question)
    return model, questions


def _validate_question(name: str, question: object) -> None:
    if not isinstance(question, dict) or not question.get("instructions"):
        raise BadRequest(f"questions[{name!r}].instructions: required")
    kind, criteria = question.get("type"), question.get("criteria")
    if kind == "noul":
        if criteria is not None and not (isinstance(criteria, dict) and criteria.get("true_description")):
            raise BadRequest(f"questions[{name!r}].criteria.true_description: required")
        return
    shape = {"choice": dict, "score": list}.get(str(kind))
    if shape is None:
        raise BadRequest(f"questions[{name!r}].type: {kind!r} is not one of noul, choice, score")
    if not isinstance(criteria, shape) or not 2 <= len(criteria) <= 255:
        raise BadRequest(f"questions[{name!r}].criteria: 2 to 255 entries are required")


def _text(instructions: object) -> str:
    """Instructions as one text, whether given as a string or as content blocks."""
    blocks = instructions if isinstance(instructions, list) else [instructions]
    return "\n".join(str(block.get("text", "")) if isinstance(block, dict) else str(block) for block in blocks)


def _numbers(text: str) -> dict[str, Any]:
    """The JSON object in the first line of our own prompts; other callers have none, which leaves intercept and noise."""
    try:
        value = json.loads(text.split("\n", 1)[0])
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def answer(question: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The scripted answer to one valid question."""
    text = _text(question["instructions"])
    p = p_loss(_numbers(text), seed, text)
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


class GeminiTwin:
    """The server. `clock` paces its latency; `plan` says which calls go wrong and how; port 0 picks a free one."""

    def __init__(self, clock: Clock, seed: int = 7, plan: FaultPlan | None = None) -> None:
        self._clock = clock
        self._seed = seed
        self.plan = plan or FaultPlan(seed=seed)
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None
        self._away: asyncio.Task[None] | None = None
        self.requests = 0
        self.questions = 0
        self.outcomes: Counter[str] = Counter()
        self.url = ""
        self._host, self._port = "", 0

    async def start(self, host: str = "127.0.0.1", port: int = 8702) -> None:
        """Listen; `url` is what goes into the client's base_url."""
        app = web.Application(client_max_size=4 << 20)
        app.router.add_post("/{version:v1|v1beta}/decisions", self._decisions)
        app.router.add_get("/v1beta/models", self._models)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/_twin", self._counters)
        app.router.add_post("/_twin/plan", self._replan)
        # A dropped client must not leave a handler that sleeps for ever.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, host, port)
        await self._site.start()
        self._host, self._port = host, port or int(self._runner.addresses[0][1])
        self.url = f"http://{self._host}:{self._port}"

    async def close(self) -> None:
        if self._away is not None:
            self._away.cancel()
            await asyncio.gather(self._away, return_exceptions=True)
            self._away = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _decisions(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        call, version = self.requests, request.match_info["version"]
        raw = await request.read()
        try:
            model, questions = validate(json.loads(raw))
        except (BadRequest, ValueError) as error:
            return self._error(HttpFault(status=400, word="INVALID_ARGUMENT", message=str(error)[:200]))
        if not request.headers.get("x-goog-api-key"):
            return self._error(_NO_KEY)
        if version != "v1beta" or model != MODEL:
            return self._error(HttpFault(status=404, word="NOT_FOUND", message=f"{version} has no such method or model"))
        self.questions += len(questions)
        due = self.plan.take("decisions", {"model": model, "api_version": version})
        await self._clock.sleep(latency_s(self._seed, call))
        tokens = len(raw) // 4
        usage = {"total_input_tokens": tokens, "total_output_tokens": 0, "total_tokens": tokens}
        answers = {name: answer(question, self._seed) for name, question in questions.items()}
        return await self._reply(request, {"answers": answers, "usage": usage}, due[0] if due else None)

    async def _reply(self, request: web.Request, reply: dict[str, Any], fault: Fault | None) -> web.StreamResponse:
        action = fault.action if fault else "ok"
        if fault is not None and action in HTTP_FAULTS:
            return self._error(HTTP_FAULTS[action], retry_after_s=fault.arg)
        self.outcomes[action] += 1
        if action == "hang":
            await self._clock.sleep(float(fault.arg or 86_400.0) if fault else 0.0)
        elif action == "slow":
            await self._clock.sleep(float(fault.arg or 1.0) if fault else 0.0)
        elif action in ("reset", "refuse") and request.transport is not None:
            request.transport.abort()
        if action == "refuse" and fault is not None and (self._away is None or self._away.done()):
            self._away = asyncio.get_running_loop().create_task(self._refuse(float(fault.arg or REFUSE_S)))
        if action == "html502":
            return web.Response(status=502, body=HTML_502, content_type="text/html", headers=HEADERS)
        edit = BODY_FAULTS.get(action)
        body = edit(reply) if edit else json.dumps(reply).encode()
        kind = "text/html" if action == "html200" else "application/json"
        return web.Response(body=body, content_type=kind, headers=HEADERS)

    async def _refuse(self, seconds: float) -> None:
        """Nobody listens for a while: connections are refused; those that stand are served on."""
        assert self._runner is not None and self._site is not None
        await self._site.stop()
        await self._clock.sleep(seconds)
        self._site = web.TCPSite(self._runner, self._host, self._port)
        await self._site.start()

    def _error(self, fault: HttpFault, retry_after_s: float | None = None) -> web.Response:
        """Google's error body; a 429 carries RetryInfo."""
        self.outcomes[str(fault.status)] += 1
        error: dict[str, Any] = {"code": fault.status, "message": fault.message, "status": fault.word}
        if fault.status == 429:
            kind = "type.googleapis.com/google.rpc.RetryInfo"
            error["details"] = [{"@type": kind, "retryDelay": f"{retry_after_s or 30:g}s"}]
        return web.json_response({"error": error}, status=fault.status, headers=HEADERS)

    async def _models(self, _: web.Request) -> web.Response:
        model = {"name": MODEL, "displayName": LABEL, "version": SERVED, "supportedGenerationMethods": ["createDecision"]}
        return web.json_response({"models": [model]}, headers=HEADERS)

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"ok": True, "twin": LABEL}, headers=HEADERS)

    async def _replan(self, request: web.Request) -> web.Response:
        """Replace the fault plan by the TOML text of the body; an empty body ends all faults. 400 says what is wrong with it."""
        try:
            self.plan = gemini_plan(await request.text(), seed=self._seed)
        except (ConfigError, UnicodeDecodeError) as error:
            return web.json_response({"error": str(error)}, status=400, headers=HEADERS)
        return web.json_response({"faults": len(self.plan.faults), "label": LABEL}, headers=HEADERS)

    async def _counters(self, _: web.Request) -> web.Response:
        counters = {"requests": self.requests, "questions": self.questions, "outcomes": dict(self.outcomes), "seed": self._seed}
        return web.json_response({**counters, "label": LABEL}, headers=HEADERS)
