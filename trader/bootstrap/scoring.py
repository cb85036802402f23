"""Whether the AI keeps its veto: scorecards out of ledger, verdict store and labels, and what follows from them.

Demotion comes by itself and binds the next session; promotion needs the figures and a person. Both are events of the ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any, Final

from trader.bootstrap.labels import KINDS
from trader.bootstrap.paths import Paths
from trader.bootstrap.promotion import active, costs_of
from trader.bootstrap.state_time import now_of
from trader.config import Settings
from trader.data.engine import exists
from trader.data.ledger_ai import AiChange, read_ai_changes, submit_ai_change
from trader.data.outcomes import Outcomes
from trader.data.reader import ALL, LedgerReader
from trader.data.reader_activity import DecisionView
from trader.data.verdicts import Origin, Spell, SqliteVerdictStore
from trader.domain.costs import Costs
from trader.domain.market import DAY
from trader.domain.messages import stamp
from trader.domain.verdicts import FILL_MODEL, AiMode, Lookup, Outcome, Ruling, SignalKind
from trader.errors import RejectedError
from trader.execution.asking import USED
from trader.execution.thresholds import ruling_at, tau_veto
from trader.reporting.analytics import trades_of
from trader.research.scorecard.card import LABEL_TWIN, card, cards
from trader.research.scorecard.scored import Group, Scored
from trader.research.scorecard.standing import Cause, Health, Standing, newest, standing

NOBODY: Final = Origin(provider="", model="", prompt_version="", is_twin=False)
SYSTEM: Final = "the scorecard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is known of the AI's worth. `group`: who is asked now, for the strategy in use; `mode`: what it may do, after its changes;
    `error`: mean distance of the labels of executed trades from what these really returned, over `executed` of them; `lookups`: how the
    first look-up of each signal ended."""

    group: Group
    mode: AiMode
    standing: Standing
    health: Health
    rows: tuple[Scored, ...]
    kinds: Mapping[str, int]
    lookups: Mapping[str, int]
    spell: Spell | None
    changes: tuple[AiChange, ...]
    executed: int
    error: float | None
    now_us: int

    @property
    def ready_share(self) -> float | None:
        """Share of signals that met a usable verdict at once; None before the first."""
        return self.lookups.get(Lookup.HIT, 0) / total if (total := sum(self.lookups.values())) else None

    @property
    def label(self) -> str:
        """Says so where the answers come from a stand-in."""
        return LABEL_TWIN if self.group.is_twin else ""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: the standing, the last day's calls, and a card for every group and age."""
        mine = [row for row in self.rows if row.group == self.group]
        recent = card(newest(mine))
        spell = None if self.spell is None else asdict(self.spell) | {"network_ms": quantiles(self.spell.network_ms)}
        return {
            "as_of": stamp(self.now_us), "group": asdict(self.group), "label": self.label, "mode": self.mode.value,
            "status": self.standing.status.value, "labels": self.standing.labels, "kinds": dict(self.kinds),
            "lookups": dict(self.lookups), "ready_share": self.ready_share,
            "causes": [cause.value for cause in self.standing.causes], "missing_for_promotion": list(self.standing.missing),
            "invalid_share_24h": self.health.invalid_share, "drifted": self.health.drifted, "last_day": spell,
            "executed": self.executed, "simulator_error": self.error, "recent": None if recent is None else recent.as_dict(),
            "cards": [one.as_dict() for one in cards(self.rows)],
            "changes": [asdict(one) | {"at": stamp(one.time_us)} for one in self.changes],
        }  # fmt: skip


def quantiles(values: Sequence[float]) -> dict[str, float | None]:
    """Median and 95th percentile of ascending values, None where there are none."""
    return {f"p{share}": values[min(len(values) - 1, len(values) * share // 100)] if values else None for share in (50, 95)}


# --- reading ----------------------------------------------------------------------------------------------------------------
def judge(settings: Settings) -> Report:
    """The AI's record up to now."""
    paths = Paths(settings.state)
    now_us, running = now_of(paths), active(settings, paths)
    found = _stored(paths)
    origins, asked, spell = _answers(paths, now_us)
    group = _group(asked or NOBODY, running.strategy)
    rows = tuple(_rows(found, origins, costs_of(settings, paths)))
    changes = tuple(read_ai_changes(paths.ledger_at))
    mine = [row for row in rows if row.group == group]
    health = Health(
        answers=spell.answers if spell else 0, invalid=spell.invalid if spell else 0, drifted=_drifted(rows, group, spell, changes)
    )
    kinds = {kind.value: sum(one.kind is kind for one in found.outcomes) for kind in SignalKind}
    return Report(
        group=group, mode=AiMode(running.ai.mode), standing=standing(mine, health), health=health, rows=rows, kinds=kinds,
        lookups=found.lookups, spell=spell, changes=changes, executed=len(found.errors),
        error=fmean(found.errors) if found.errors else None, now_us=now_us,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """`decisions`, `used`: by decision id, the newest word of the book; `lookups`: of the first; `errors`: of labels of executed trades."""

    outcomes: Sequence[Outcome] = ()
    decisions: Mapping[str, DecisionView] = field(default_factory=dict)
    used: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    lookups: Mapping[str, int] = field(default_factory=dict)
    errors: Sequence[float] = ()


def _stored(paths: Paths) -> _Stored:
    """Labels, the decisions they are of, what the book had said, and how far labels of executed trades are from the truth."""
    if not exists(paths.ledger_at):
        return _Stored()
    outcomes = _outcomes(paths)
    reader = LedgerReader(paths.ledger_at)
    try:
        decisions = {d.decision_id: d for d in reader.decisions(ALL)}
        said = [row for note in reader.events_of((USED,), until_us=2**62) for row in note.payload["rows"]]
        held, keys = {p.position.position_id for p in reader.positions()}, reader.entry_keys()
        really = {keys.get(t.position_id): float(t.net / t.stake) for t in trades_of(reader.trades(ALL), held) if t.stake}
    finally:
        reader.close()
    first = {str(row["decision_id"]): str(row["lookup"]) for row in reversed(said)}
    return _Stored(
        outcomes=outcomes, decisions=decisions, used={str(row["decision_id"]): row for row in said},
        lookups=dict(sorted(Counter(first.values()).items())),
        errors=[abs(one.net_return - really[one.decision_id]) for one in outcomes if one.decision_id in really],
    )  # fmt: skip


def _outcomes(paths: Paths) -> list[Outcome]:
    """The labels; none before the first night."""
    if not paths.ops.exists():
        return []
    table = Outcomes(paths.ops)
    try:
        return table.all(FILL_MODEL)
    finally:
        table.close()


def _answers(paths: Paths, now_us: int) -> tuple[dict[str, Origin], Origin | None, Spell | None]:
    """Who gave each verdict, who was asked last, and the calls of the last 24 h."""
    if not paths.ai.exists():
        return {}, None, None
    store = SqliteVerdictStore(paths.ai, read_only=True)
    try:
        return store.origins(), store.newest_origin(), store.spell(now_us - DAY, now_us + 1)
    finally:
        store.close()


def _group(origin: Origin, strategy: str) -> Group:
    return Group(**asdict(origin), strategy=strategy)


def _rows(found: _Stored, origins: Mapping[str, Origin], costs: Costs) -> Iterable[Scored]:
    """A row for each label. One without a verdict counts with whoever answered last before it."""
    last: dict[str, Origin] = {}
    for one in found.outcomes:
        d = found.decisions.get(one.decision_id)
        if d is None:
            continue
        ruling = seen(d, found.used.get(one.decision_id), costs)
        origin = origins.get(d.verdict_id or "") if ruling is not Ruling.DEFER else last.get(d.strategy)
        if origin is None:
            continue
        last[d.strategy] = origin
        p_loss = None if ruling is Ruling.DEFER else d.p_loss
        yield Scored(
            decision_id=one.decision_id, group=_group(origin, d.strategy), day=one.close_us // DAY, ruling=ruling, p_loss=p_loss,
            age_ms=d.age_ms or 0.0, r=one.r, quote=float(one.net), score=d.score or 0.0,
        )  # fmt: skip


def seen(d: DecisionView, used: Mapping[str, Any] | None, costs: Costs) -> Ruling:
    """What the book said of a decision, obeyed or not; in shadow, where no note tells, by the plan's own threshold."""
    if used is not None:
        return Ruling(used["ruling"])
    if d.ruling is None or d.p_loss is None or d.lookup != Lookup.HIT:
        return Ruling.DEFER
    if d.ai_mode == AiMode.SHADOW:
        return ruling_at(d.p_loss, tau_veto(d.stop or 0.0, d.tp1 or 0.0, costs.round_trip))
    return Ruling(d.ruling) if Ruling(d.ruling) in KINDS else Ruling.DEFER


def _drifted(rows: Sequence[Scored], group: Group, spell: Spell | None, changes: Sequence[AiChange]) -> bool:
    """Whether model or prompt are not the ones that were scored: a reply named another model, or somebody else is asked now than
    earned the labels. A person's promotion since then accepts the new one."""
    if spell is not None and spell.drifted:
        return True
    same = (group.provider, group.strategy, group.is_twin)
    scored = {row.group for row in rows if (row.group.provider, row.group.strategy, row.group.is_twin) == same}
    promoted = bool(changes) and changes[-1].after is AiMode.VETO and changes[-1].group == name_of(group)
    return bool(scored) and group not in scored and not promoted


def name_of(group: Group) -> str:
    """A group in words."""
    return f"{group.provider} {group.model}, prompt {group.prompt_version}, {group.strategy}"


# --- what follows -----------------------------------------------------------------------------------------------------------
def demote(settings: Settings, report: Report) -> AiChange | None:
    """Take the veto of an AI whose record says so, from the next session on; the change, None where there is none to make."""
    if report.mode is not AiMode.VETO or not report.standing.demoted:
        return None
    causes = [cause.value for cause in report.standing.causes]
    return submit_ai_change(
        Paths(settings.state).ledger_at, report.now_us, after=AiMode.SHADOW, who=SYSTEM, reason=why(report), group=name_of(report.group),
        causes=causes, label=report.label,
    )  # fmt: skip


def why(report: Report) -> str:
    """The causes of a demotion with their figures."""
    rows = [row for row in report.rows if row.group == report.group]
    recent, whole = card(newest(rows)), card(rows)
    told = {
        Cause.INVALID: f"{report.health.invalid_share:.1%} of {report.health.answers} answers of 24 h were unusable",
        Cause.DRIFT: f"model or prompt is not the one that was scored: {name_of(report.group)}",
    }
    if recent is not None:
        value, skill = recent.veto.r, recent.calibration.skill
        told[Cause.HARMFUL] = f"100 vetoes cost {-value.value:.1f} R, 90 % interval {-value.high:.1f} to {-value.low:.1f}"
        told[Cause.MISLEADING] = f"Brier skill {skill.value:.3f}, 99 % interval {skill.low:.3f} to {skill.high:.3f}"
    if whole is not None:
        value = whole.veto.r
        told[Cause.UNPROVEN] = (
            f"not proven by {whole.labels} labels: 100 vetoes saved {value.value:.1f} R, 90 % interval {value.low:.1f} to {value.high:.1f}"
        )
    return "; ".join(told[cause] for cause in report.standing.causes)


def promote(settings: Settings, *, who: str, reason: str) -> AiChange:
    """Give the veto back, from the next session on. Raises RejectedError naming what is missing."""
    report = judge(settings)
    if not report.changes or report.changes[-1].after is AiMode.VETO:
        raise RejectedError("the AI is not demoted; ai.mode in the settings says what it may do")
    if report.standing.missing:
        raise RejectedError(f"not promoted: {'; '.join(report.standing.missing)}")
    return submit_ai_change(
        Paths(settings.state).ledger_at, report.now_us, after=AiMode.VETO, who=who, reason=reason, group=name_of(report.group),
        label=report.label,
    )  # fmt: skip
