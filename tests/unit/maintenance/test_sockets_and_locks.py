"""Ports name their owner; locks are seen without being touched."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from trader.errors import LeaseLostError
from trader.maintenance.locks import is_locked, sole_supervisor
from trader.maintenance.sockets import command_of, discreet, owner_of, port_free


def test_a_port_in_use_is_not_free_and_names_its_owner() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert not port_free(port)
        owner = owner_of(port)
        assert owner.pid == os.getpid()
        assert "pytest" in owner.command or "python" in owner.command
    assert port_free(port)


def test_the_owner_of_a_port_is_named_without_its_secrets() -> None:
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
    command = [sys.executable, "-c", code, "--api-key", "K1", "--api-secret", "c2VjcmV0", "--token=abc", "--seed", "5"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        shown = command_of(holder.pid) if holder.stdout.readline() else ""
        arguments = discreet(command)
        holder.kill()
    assert shown.startswith(sys.executable)
    assert arguments[3:] == ["--api-key", "***", "--api-secret", "***", "--token=***", "--seed", "5"]


def test_a_lock_is_seen_while_another_process_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "trader.lock"
    assert not is_locked(path)
    path.touch()
    assert not is_locked(path)
    code = "import fcntl,sys; f=open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdin is not None
        assert holder.stdout.readline() == b"held\n"
        assert is_locked(path)
        holder.kill()
    assert not is_locked(path)


def test_looking_at_a_lock_does_not_take_it(tmp_path: Path) -> None:
    path = tmp_path / "trader.lock"
    path.touch()
    for _ in range(50):
        is_locked(path)
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_second_supervisor_is_refused_by_pid(tmp_path: Path) -> None:
    with sole_supervisor(tmp_path), pytest.raises(LeaseLostError, match=f"already runs on .*pid {os.getpid()}"), sole_supervisor(tmp_path):
        pytest.fail("two supervisors on one state directory")
    with sole_supervisor(tmp_path):
        assert is_locked(tmp_path / "supervisor.lock")
