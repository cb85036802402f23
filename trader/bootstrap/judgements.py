"""Judgements as files of the state directory: each one whole, by the moment it was made and the digest of its inputs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from trader.bootstrap.paths import Paths, write_whole
from trader.domain.market import MINUTE
from trader.domain.messages import stamp
from trader.errors import ConfigError, CorruptError

if TYPE_CHECKING:  # the status page reads these files and must not load the whole trader
    from trader.bootstrap.optimizing import Answer

APART_US: Final = 55 * MINUTE


def keep(paths: Paths, answer: Answer, now_us: int, flow_run: str = "") -> dict[str, Any]:
    """Write a judgement down, whole; its values. The same inputs at the same moment are the same file."""
    run = f"{stamp(now_us)[:19].replace(':', '').replace('-', '')}Z-{answer.digest[:8]}"
    told = {"run": run, "at": stamp(now_us), "at_us": now_us, "flow_run": flow_run} | answer.as_dict()
    write(paths, told)
    return told


def write(paths: Paths, told: Mapping[str, Any]) -> None:
    """Keep a judgement under its name; a kill leaves the file of before or this one."""
    write_whole(paths.optimizer / f"{told['run']}.json", told)


def kept(paths: Paths, run: str = "") -> dict[str, Any]:
    """A judgement by its name, the newest for none. Raises ConfigError where there is none, CorruptError for a file that is none."""
    names = sorted(file.stem for file in paths.optimizer.glob("*.json")) if paths.optimizer.is_dir() else []
    if not names or (run and run not in names):
        raise ConfigError(f"no judgement {run or 'yet'} in {paths.optimizer}; `trader optimize` makes one")
    file = paths.optimizer / f"{run or names[-1]}.json"
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if {"run", "decision", "at_us"} - found.keys():
            raise ValueError("fields are missing")
    except ValueError as error:
        raise CorruptError(f"{file}: not a judgement ({error}); delete it") from error
    return found


def too_soon(paths: Paths, now_us: int) -> str:
    """Why another run should wait: the newest one is less than 55 minutes old; empty where it need not, or where that one had too
    little history to say anything."""
    try:
        newest = kept(paths)
    except ConfigError:
        return ""
    if newest.get("reason") == "NOT_ENOUGH_DATA":
        return ""
    age = now_us - int(newest["at_us"])
    return f"the newest judgement, {newest['run']}, is {age / MINUTE:.0f} minutes old; runs are 55 apart" if 0 <= age < APART_US else ""
