"""Gemini twin: the wire of both APIs, Decisions and generateContent, with a scripted stand-in behind them (`gemini_answers`).

It is not AI, and says so in a header of every reply.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from trader.errors import ConfigError
from trader.ports import Clock
from trader.simulation.faults import Fault, FaultPlan
from trader.simulation.gemini_answers import Skill, answer, latency_s
from trader.simulation.gemini_faults import BODY_FAULTS, HTML_502, HTTP_FAULTS, REFUSE_S, TEXT_FAULTS, HttpFault, gemini_plan
from trader.simulation.gemini_limits import Meter, Quota
from trader.simulation.gemini_requests import MODEL, TEXT_MODELS, BadRequest, validate, validate_text
from trader.simulation.gemini_text import SERVED, questions_of, text_reply

LABEL = "scripted stand-in, not AI"
HEADERS = {"X-Twin": LABEL, "X-Twin-Model": SERVED}
Edits = Mapping[str, Callable[[dict[str, Any]], bytes]]
_NO_KEY = HttpFault(status=403, word="PERMISSION_DENIED", message="Method doesn't allow unregistered callers.")


class GeminiTwin:
    """The server. `clock` paces its latency; `plan` says which calls go wrong and how; port 0 picks a free one.

    `quota`: rate limits (None: none); `skill`: for tests, what the answers know of the outcomes.
    """

    def __init__(
        self, clock: Clock, seed: int = 7, plan: FaultPlan | None = None, *, quota: Quota | None = None, skill: Skill | None = None
    ) -> None:
        self._meter = None if quota is None else Meter(quota)
        self._skill = skill
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
        app.router.add_post("/{version:v1|v1beta}/models/{model}:generateContent", self._generate)
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
        if refused := self._refused(request, len(raw) // 4, known=version == "v1beta" and model == MODEL):
            return refused
        self.questions += len(questions)
        due = self.plan.take("decisions", {"model": model, "api_version": version})
        await self._clock.sleep(latency_s(self._seed, call))
        tokens = len(raw) // 4
        usage = {"total_input_tokens": tokens, "total_output_tokens": 0, "total_tokens": tokens}
        answers = {name: answer(question, self._seed, self._skill) for name, question in questions.items()}
        return await self._reply(request, {"answers": answers, "usage": usage}, due[0] if due else None, BODY_FAULTS)

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        call, version, model = self.requests, request.match_info["version"], request.match_info["model"]
        raw = await request.read()
        try:
            asked = validate_text(json.loads(raw), request.headers.get("X-Server-Timeout"))
        except (BadRequest, ValueError) as error:
            return self._error(HttpFault(status=400, word="INVALID_ARGUMENT", message=str(error)[:200]))
        if refused := self._refused(request, len(raw) // 4, known=model in TEXT_MODELS):
            return refused
        self.questions += len(questions_of(asked.prompt))
        due = self.plan.take("generate", {"model": model, "api_version": version})
        await self._clock.sleep(latency_s(self._seed, call, text=True))
        reply = text_reply(asked, self._seed, len(raw) // 4, self._skill)
        return await self._reply(request, reply, due[0] if due else None, TEXT_FAULTS)

    def _refused(self, request: web.Request, tokens: int, *, known: bool) -> web.Response | None:
        """Why a well-formed request is not answered: no key, no such model, or too many of them."""
        if not request.headers.get("x-goog-api-key"):
            return self._error(_NO_KEY)
        if not known:
            return self._error(HttpFault(status=404, word="NOT_FOUND", message="this version has no such method or model"))
        wait_s = None if self._meter is None else self._meter.refuse_s(self._clock.now_us(), tokens)
        return None if wait_s is None else self._error(HTTP_FAULTS["429"], retry_after_s=wait_s)

    async def _reply(self, request: web.Request, reply: dict[str, Any], fault: Fault | None, faults: Edits) -> web.StreamResponse:
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
        edit = faults.get(action)
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
        shown = {"displayName": LABEL, "version": SERVED}
        models = [{"name": MODEL, **shown, "supportedGenerationMethods": ["createDecision"]}]
        models += [{"name": f"models/{name}", **shown, "supportedGenerationMethods": ["generateContent"]} for name in TEXT_MODELS]
        return web.json_response({"models": models}, headers=HEADERS)

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
