"""The web process: one FastAPI application over a read model. It reads, and has no route that changes anything."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from trader import __version__
from trader.bootstrap.readmodel import ReadModel
from trader.bootstrap.readscore import Scorecards
from trader.config import load
from trader.web import api, pages
from trader.web.guard import Guard

HERE = Path(__file__).parent


def create_app(model: ReadModel, scores: Scorecards | None = None) -> FastAPI:
    """The application; `scores` None: judged by the settings as they come.

    Its interactive documentation is off, because that loads scripts from elsewhere; /openapi.json is on.
    """
    app = FastAPI(title="trader", version=__version__, docs_url=None, redoc_url=None, description="Read-only view of one trader.")
    app.state.model = model
    app.state.scores = scores or Scorecards(load({"state_dir": str(model.root)}, environ={}))
    app.include_router(api.router)
    app.include_router(pages.router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    app.add_exception_handler(HTTPException, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_middleware(Guard)
    return app


def _answer(request: Request, status: int, slug: str, detail: str, errors: list[dict[str, str]] | None = None) -> JSONResponse:
    """RFC 9457."""
    body = {
        "type": f"urn:trader:problem:{slug}", "title": HTTPStatus(status).phrase, "status": status, "detail": detail,
        "instance": request.url.path, "errors": errors or [],
    }  # fmt: skip
    return JSONResponse(body, status, media_type="application/problem+json")


async def _problem(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    slug = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    answer = _answer(request, error.status_code, slug, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = [{"loc": ".".join(str(part) for part in one["loc"]), "msg": str(one["msg"])} for one in error.errors()]
    return _answer(request, 422, "invalid-parameters", "; ".join(f"{one['loc']}: {one['msg']}" for one in found), found)
