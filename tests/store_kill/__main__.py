"""Kill the writer of the history store and look what is left.

    python -m tests.store_kill [--point NAME ...] [--random K] [--seed S] [--break file_fsync|dir_fsync|transaction]

Without options: every numbered point once, then 50 random instants. Exit code 1 where anything acknowledged is missing, double
or torn; with --break that is what must happen.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.amounts import whole

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from tests.store_kill.judge import faults, lose  # noqa: E402 - after the path is set
from tests.store_kill.world import POINTS, World  # noqa: E402
from trader.domain.market import Timeframe  # noqa: E402


class Campaign:
    """Kills one after the other on the same store, as life would have it; `faults` collects what went wrong."""

    def __init__(self, directory: Path, *, broken: str | None = None) -> None:
        self.root, self.log, self.broken, self.lives = directory, directory / "io.log", broken, 1
        self.world = World()
        self.acknowledged: dict[Timeframe, int] = {}
        self.faults: list[str] = []
        self.kills = self.commits = self.lost_files = 0
        self.unreached: list[str] = []

    @property
    def directory(self) -> Path:
        """The store of this life; a writer that ran out of work gets a new one."""
        return self.root / f"history-{self.lives}"

    def kill(self, point: str | None, *, occurrence: int = 1, after_s: float = 0.0) -> bool:
        """Run the writer until it dies at `point`, or `after_s` after its start-up; judge. False: it never came there."""
        command = [sys.executable, "-m", "tests.store_kill.child", str(self.directory), str(self.log), "--occurrence", str(occurrence)]
        command += ["--point", point] if point else []
        command += ["--break", self.broken] if self.broken else []
        path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": path})
        assert child.stdout is not None
        if child.stdout.readline() != "ready\n":
            child.wait()
            self.faults.append(f"{point or 'random'}: the next writer did not start")
            return False
        if point is None:
            time.sleep(after_s)
            child.kill()
        said = child.stdout.read().splitlines()
        code = child.wait()
        for line in said:
            if line != "finished":
                tf, _, number = line.partition(" ")
                self.acknowledged[Timeframe(tf)] = max(int(number), self.acknowledged.get(Timeframe(tf), 0))
                self.commits += 1
        if code == 0 and point is None:  # all work done before the kill came
            self.faults += [f"finished: {fault}" for fault in faults(self.directory, self.world, self.acknowledged)]
            self.lives, self.acknowledged = self.lives + 1, {}
            self.log.unlink(missing_ok=True)
            return False
        if code != -9:
            self.unreached.append(f"{point or 'random'}: exit code {code}")
            return False
        self.kills += 1
        self.lost_files += lose(self.log)
        self.faults += [f"{point or 'random'}: {fault}" for fault in faults(self.directory, self.world, self.acknowledged)]
        return not self.faults


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.store_kill", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--point", action="append", choices=POINTS)
    parser.add_argument("--random", type=whole(), metavar="K")
    parser.add_argument("--seed", type=whole(0), default=1)
    parser.add_argument("--break", dest="broken", choices=("file_fsync", "dir_fsync", "transaction"))
    asked = parser.parse_args()
    points = asked.point or (() if asked.random is not None else POINTS)
    kills = asked.random if asked.random is not None else (0 if asked.point else 50)
    rng = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(Path(folder), broken=asked.broken)
        for point in points:
            if not campaign.kill(point, occurrence=rng.randint(1, 3)) and campaign.faults:
                break
        while campaign.kills < len(points) + kills and not (campaign.faults or campaign.unreached):
            campaign.kill(None, after_s=rng.uniform(0.005, 0.3))
    for line in (*campaign.unreached, *campaign.faults):
        print(line)
    print(
        f"{campaign.kills} kills ({len(points)} points, {kills} at random), {campaign.commits} commits acknowledged, "
        f"{campaign.lost_files} files lost un-synced bytes or their name, {len(campaign.faults)} faults"
    )
    return 1 if campaign.faults or campaign.unreached else 0


if __name__ == "__main__":
    sys.exit(main())
