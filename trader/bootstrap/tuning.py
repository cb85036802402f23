"""The numbers of the strategy in use: the table's, moved where the settings or an approved suggestion say so.

An approved suggestion counts from the next start of a session on, as that is when settings are read, until a person reverts it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from trader.bootstrap.paths import Paths
from trader.config import Settings
from trader.data.suggestions import Suggestions
from trader.domain.suggestions import RANGES, WHOLE, Suggestion, SuggestionState, Tunable
from trader.errors import ConfigError
from trader.strategy.modes import Parameters, parameters


def parameters_of(settings: Settings) -> Parameters:
    """The table's row with what the section `entry` changes. Raises ConfigError for a strategy there is not."""
    try:
        chosen = parameters(settings.profile, settings.mode, settings.variation)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    moved: dict[str, Any] = {name: value for name, value in settings.entry.model_dump().items() if value}
    return replace(chosen, **moved) if moved else chosen


def live_numbers(settings: Settings) -> dict[Tunable, float]:
    """What may be suggested about, as it is now; a number outside its declared range is left alone."""
    chosen = parameters_of(settings)
    found = {name: float(getattr(chosen, name.value)) for name in Tunable}
    return {name: value for name, value in found.items() if RANGES[name][0] <= value <= RANGES[name][1]}


def with_approved(settings: Settings, paths: Paths) -> Settings:
    """The settings with every suggestion that a person approved and nobody reverted, for the strategy in use; the newest word wins."""
    entry = dict(settings.entry.model_dump())
    for one in approved(paths):
        p = one.proposal
        if p.strategy == settings.strategy and p.parameter is not None:
            entry[p.parameter.value] = int(p.proposed) if p.parameter in WHOLE else p.proposed
    if entry == settings.entry.model_dump():
        return settings
    return settings.model_copy(update={"entry": settings.entry.model_copy(update=entry)})


def approved(paths: Paths) -> list[Suggestion]:
    """Suggestions in force, by the time of their approval."""
    if not paths.ops.exists():
        return []
    table = Suggestions(paths.ops)
    try:
        found = [one for one in table.all() if one.state(0) is SuggestionState.APPROVED]
    finally:
        table.close()
    return sorted(found, key=lambda one: one.acts[-1][3])
