"""Ports of this machine: whether one is free, and who has it where it is not."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
_LISTENING = "0A"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The process that listens on a port; pid None where the system does not say."""

    pid: int | None
    command: str

    def __str__(self) -> str:
        return f"pid {self.pid} ({self.command})" if self.pid is not None else self.command


def port_free(port: int, host: str = HOST) -> bool:
    """Whether this process could listen there now. A port in TIME_WAIT counts as free, as it does for our servers."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def owner_of(port: int) -> Owner:
    """Who listens on a TCP port, from /proc, else from lsof."""
    for inode in _inodes(port):
        for pid in pids():
            if _holds(pid, inode):
                return Owner(pid=pid, command=command_of(pid))
    return _owner_from_lsof(port) if not Path("/proc/net/tcp").exists() else Owner(pid=None, command="a process of another user")


def pids() -> list[int]:
    """All processes that /proc shows, ascending; empty where there is no /proc."""
    root = Path("/proc")
    return sorted(int(entry.name) for entry in root.iterdir() if entry.name.isdigit()) if root.is_dir() else []


def command_of(pid: int) -> str:
    """The command line of a process, at most 120 characters, values of `--*secret*` and `--*key*` left out; empty when it is gone."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    return " ".join(discreet([word.decode(errors="replace") for word in words])).strip()[:120]


def discreet(words: Sequence[str]) -> list[str]:
    """A command line as it may be shown to whoever asks for a port."""
    shown = []
    hidden = False
    for word in words:
        name, equals, _ = word.partition("=")
        secret = name.startswith("--") and any(part in name for part in ("secret", "key", "token", "password"))
        shown.append("***" if hidden else f"{name}=***" if secret and equals else word)
        hidden = secret and not equals
    return shown


def _inodes(port: int) -> list[str]:
    """Socket inodes in state LISTEN on `port`."""
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            columns = row.split()
            if columns[3] == _LISTENING and int(columns[1].rsplit(":", 1)[1], 16) == port:
                found.append(columns[9])
    return found


def _holds(pid: int, inode: str) -> bool:
    wanted = f"socket:[{inode}]"
    with contextlib.suppress(OSError):  # gone, or another user's
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if str(entry.readlink()) == wanted:
                    return True
    return False


def _owner_from_lsof(port: int) -> Owner:
    tool = shutil.which("lsof")
    if tool is None:
        return Owner(pid=None, command="an unknown process")
    shown = subprocess.run([tool, "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"], capture_output=True, text=True, check=False)  # noqa: S603
    fields = {line[0]: line[1:] for line in shown.stdout.splitlines() if line}
    return Owner(pid=int(fields["p"]) if fields.get("p", "").isdigit() else None, command=fields.get("c", "an unknown process"))
