"""The read-only REST API. Every answer says which environment it is about, how new it is (`as_of`) and how old (`stale_s`).

Routes are plain functions: FastAPI runs them in its threads, so a slow read never holds up another answer.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from trader.bootstrap import views as v
from trader.bootstrap.readmodel import ReadModel
from trader.errors import TraderError

T = TypeVar("T")
router = APIRouter()


class Nothing(BaseModel):
    """A route without parameters: any key is refused."""

    model_config = ConfigDict(extra="forbid")


class Limited(Nothing):
    limit: int = Field(100, ge=1, le=500)


class OfPair(Limited):
    pair: str | None = Field(None, max_length=30, description="for instance BTC/EUR")


class Span(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    since: AwareDatetime | None = Field(None, alias="from")
    until: AwareDatetime | None = Field(None, alias="to")
    points: int = Field(500, ge=2, le=2000)


class Items(BaseModel, Generic[T]):
    """A list, newest first unless the route says otherwise."""

    environment: str
    as_of: str | None
    stale_s: float | None
    items: list[T]


class Scorecard(BaseModel):
    """`scorecard`: what `trader ai report --json` prints."""

    environment: str
    as_of: str | None
    stale_s: float | None
    scorecard: dict[str, Any]


class Alive(BaseModel):
    status: str


class Ready(BaseModel):
    ready: bool
    environment: str
    as_of: str | None
    stale_s: float | None
    dependencies: list[v.DependencyView]


def model_of(request: Request) -> ReadModel:
    """The read model of this process."""
    found: ReadModel = request.app.state.model
    return found


def _items(model: ReadModel, items: list[Any], *, of_ledger: bool = True) -> dict[str, Any]:
    """The envelope of a list; 503 where the ledger can't be read, for an empty list would be a made-up answer."""
    status = model.status()
    if of_ledger and status.session.state == "UNREADABLE":
        raise HTTPException(503, status.session.detail)
    return {"environment": status.environment, "as_of": status.as_of, "stale_s": status.stale_s, "items": items}


@router.get("/healthz")
def healthz(_query: Annotated[Nothing, Query()]) -> Alive:
    """This process answers."""
    return Alive(status="ok")


@router.get("/readyz", responses={503: {"model": Ready, "description": "a file this page reads is broken"}})
def readyz(request: Request, response: Response, _query: Annotated[Nothing, Query()]) -> Ready:
    """Each part beside this process. 503 where a stored file is broken; a part that is not there yet is no failure."""
    status = model_of(request).status()
    broken = any(one.state == "failed" and one.name != "prefect" for one in status.dependencies)
    response.status_code = 503 if broken else 200
    return Ready(
        ready=not broken, environment=status.environment, as_of=status.as_of, stale_s=status.stale_s, dependencies=list(status.dependencies)
    )


@router.get("/api/v1/status")
def status(request: Request, _query: Annotated[Nothing, Query()]) -> v.StatusView:
    """Everything the status page shows."""
    return model_of(request).status()


@router.get("/api/v1/equity")
def equity(request: Request, query: Annotated[Span, Query()]) -> Items[v.CurvePoint]:
    """The equity curve, oldest first."""
    model = model_of(request)
    found = model.points(query.points, _micros(query.since, 0), _micros(query.until, 2**62))
    return Items[v.CurvePoint].model_validate(_items(model, found))


@router.get("/api/v1/positions")
def positions(request: Request, _query: Annotated[Nothing, Query()]) -> Items[v.PositionView]:
    """What is held now, oldest first."""
    model = model_of(request)
    return Items[v.PositionView].model_validate(_items(model, list(model.status().positions)))


@router.get("/api/v1/trades")
def trades(request: Request, query: Annotated[Limited, Query()]) -> Items[v.TradeView]:
    """Closed positions."""
    model = model_of(request)
    return Items[v.TradeView].model_validate(_items(model, model.trades(query.limit)))


@router.get("/api/v1/decisions")
def decisions(request: Request, query: Annotated[OfPair, Query()]) -> Items[v.CandidateView]:
    """Pairs with a signal, and why they were bought or not."""
    model = model_of(request)
    return Items[v.CandidateView].model_validate(_items(model, model.decisions(query.limit, query.pair)))


@router.get("/api/v1/pairs")
def pairs(request: Request, _query: Annotated[Nothing, Query()]) -> Items[v.PairView]:
    """The newest word on every pair, by name."""
    model = model_of(request)
    return Items[v.PairView].model_validate(_items(model, model.pairs()))


@router.get("/api/v1/ai/scorecard", responses={503: {"description": "a stored file cannot be read"}})
def scorecard(request: Request, _query: Annotated[Nothing, Query()]) -> Scorecard:
    """What the AI's verdicts have been worth: standing, Brier and reliability, veto value with interval and placebo, how many were ready,
    latency, cost. A stand-in is labelled. At most a minute old."""
    status, scores = model_of(request).status(), request.app.state.scores
    try:
        found = scores.newest()
    except TraderError as error:
        raise HTTPException(503, str(error)) from error
    return Scorecard(environment=status.environment, as_of=status.as_of, stale_s=status.stale_s, scorecard=found)


@router.get("/api/v1/notifications")
def notifications(request: Request, query: Annotated[Limited, Query()]) -> Items[v.MessageView]:
    """The outbox with the state of each delivery."""
    model = model_of(request)
    return Items[v.MessageView].model_validate(_items(model, model.messages(query.limit), of_ledger=False))


def _micros(moment: datetime | None, otherwise: int) -> int:
    return otherwise if moment is None else int(moment.astimezone(UTC).timestamp() * 1_000_000)
