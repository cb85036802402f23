"""Where everything of one installation lies in its state directory, and its deterministic names."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trader.errors import UnwritableError

API_KEY = "demo-key"
API_SECRET = base64.b64encode(b"demo secret of the simulated exchange, worth nothing").decode()


@dataclass(frozen=True, slots=True)
class Paths:
    """The layout of a state directory (0700)."""

    root: Path

    @property
    def ledger(self) -> Path:
        """The ledger's file, where it is one."""
        return self.root / "ledger.sqlite"

    @property
    def ledger_url(self) -> Path:
        """Names the database of a server, where the ledger is kept in one (bootstrap/ledger_place.py)."""
        return self.root / "ledger.url"

    @property
    def ledger_at(self) -> str:
        """Where the ledger lies: the file, or the URL that was chosen for this installation."""
        return self.ledger_url.read_text(encoding="utf-8").strip() if self.ledger_url.exists() else str(self.ledger)

    @property
    def emergency(self) -> Path:
        """Where reducing orders are written down while the ledger takes no writes; a link may put it on another disk."""
        return self.root / "emergency.journal"

    @property
    def birth(self) -> Path:
        """How the ledger of this directory began, which tells it from an emptied one."""
        return self.root / "ledger.birth"

    @property
    def arm(self) -> Path:
        """The second opt-in of live trading: names the account that may be traded (0600)."""
        return self.root / "live.armed"

    @property
    def keys(self) -> Path:
        """Where locks and nonce floors of real API keys lie: one place for all state directories of a user, as a key knows only one."""
        return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "trader"

    @property
    def installed_for(self) -> Path:
        """Environment and account this directory was first used with."""
        return self.root / "installation.json"

    @property
    def holder(self) -> Path:
        """By what name sessions of this directory take the ledger's lease."""
        return self.root / "lease.holder"

    @property
    def backups(self) -> Path:
        return self.root / "backups"

    @property
    def history(self) -> Path:
        return self.root / "history"

    @property
    def ai(self) -> Path:
        return self.root / "ai.sqlite"

    @property
    def ops(self) -> Path:
        return self.root / "ops.sqlite"

    @property
    def twin(self) -> Path:
        return self.root / "twin"

    @property
    def clock(self) -> Path:
        return self.root / "clock.json"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def nights(self) -> Path:
        """One file a night: what its steps found, so that a night which was cut off goes on where it was."""
        return self.root / "nights"

    @property
    def optimizer(self) -> Path:
        """One file a judgement of the strategies, and what its sweep has finished."""
        return self.root / "optimizer"

    @property
    def optimizer_ai(self) -> Path:
        """What the AI was asked about switches, and its answers: a store of its own, for the worker's has one writer."""
        return self.root / "optimizer-ai.sqlite"

    @property
    def night_ai(self) -> Path:
        """What the night asked for suggestions with, and the raw replies: a store of its own as well."""
        return self.root / "night-ai.sqlite"

    @property
    def lock(self) -> Path:
        return self.root / "trader.lock"

    @property
    def socket(self) -> Path:
        return self.root / "ai.sock"

    @property
    def world(self) -> Path:
        """What the demo market was made with, so that a restart and `verify` open the same one."""
        return self.root / "world.json"

    def make(self) -> Paths:
        """Create the directory, private to its owner. Raises UnwritableError where that is not possible."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.root.chmod(0o700)
            for part in (self.twin, self.logs, self.history):
                part.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise UnwritableError(
                f"state_dir {self.root}: cannot be used ({error.strerror}: {error.filename}); nothing was started"
            ) from error
        return self


def write_whole(file: Path, told: Mapping[str, Any]) -> None:
    """Replace a JSON file, private to its owner, in a folder that is made where it lacks; a kill leaves the old file or the new one."""
    file.parent.mkdir(exist_ok=True, mode=0o700)
    fresh = file.with_name(f"{file.name}.new")
    fresh.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    fresh.chmod(0o600)
    fresh.replace(file)


def tag_of(seed: int) -> str:
    """The installation's tag: three characters of base32 of a hash of the seed."""
    return base64.b32encode(hashlib.blake2b(f"trader {seed}".encode(), digest_size=5).digest()).decode().lower()[:3]
