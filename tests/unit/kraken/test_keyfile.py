"""One process signs with a key, and its nonces rise across restarts."""

from __future__ import annotations

import base64
import errno
import subprocess
import sys
from pathlib import Path

import pytest

from trader.errors import CorruptError, FatalError
from trader.kraken.client import make_client
from trader.kraken.keyfile import KeyFile, fingerprint
from trader.simulation.clock import LoopClock
from trader.simulation.loops import run_stepped

NOW = 1_767_571_200_000_000
TAKE = "import sys; from pathlib import Path; from trader.kraken.keyfile import KeyFile; KeyFile(Path(sys.argv[1]), 'canary-key')"


def other_process(directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", TAKE, str(directory)], capture_output=True, text=True, check=False, timeout=60)


def test_a_second_process_on_the_key_is_turned_away_until_the_first_lets_go(tmp_path: Path) -> None:
    with KeyFile(tmp_path, "canary-key"):
        refused = other_process(tmp_path)
        with KeyFile(tmp_path, "another-key"):  # keys do not disturb each other
            pass
    assert refused.returncode == 1
    assert "FatalError" in refused.stderr
    assert "one key takes one process" in refused.stderr
    assert other_process(tmp_path).returncode == 0


def test_the_key_itself_is_on_no_disk(tmp_path: Path) -> None:
    with KeyFile(tmp_path, "canary-key") as file:
        file.save(5)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"kraken-key-{fingerprint('canary-key')}.json", f"kraken-key-{fingerprint('canary-key')}.lock"]
    assert all("canary" not in name + (tmp_path / name).read_text() for name in names)


def test_nonces_rise_across_restarts_even_where_the_clock_fell_back(tmp_path: Path) -> None:
    def life(now_us: int) -> list[int]:
        async def run() -> list[int]:
            with KeyFile(tmp_path, "canary-key") as file:
                client = make_client(
                    url=None, ws_url=None, api_key="canary-key", api_secret=base64.b64encode(b"s").decode(), clock=LoopClock(now_us),
                    save_nonce=file.save, nonce_floor=file.floor,
                )  # fmt: skip
                nonces = [client.incrementing_nonce() for _ in range(3)]
                await client.close()
                return nonces

        return run_stepped(run)

    first, second = life(NOW), life(NOW - 3_600_000_000)
    assert first[0] == NOW // 1000
    assert second[0] > first[-1]
    assert second == sorted(set(second))


@pytest.mark.parametrize("text", ["", "[]", '{"nonce": "7"}', '{"nonce": -1}', '{"nonce": true}', '{"other": 1}'])
def test_a_damaged_floor_is_named_and_the_key_let_go(tmp_path: Path, text: str) -> None:
    path = tmp_path / f"kraken-key-{fingerprint('canary-key')}.json"
    path.write_text(text)
    with pytest.raises(CorruptError, match=path.name):
        KeyFile(tmp_path, "canary-key")
    path.unlink()
    with KeyFile(tmp_path, "canary-key") as file:
        assert file.floor == 0


def test_a_floor_never_falls(tmp_path: Path) -> None:
    with KeyFile(tmp_path, "canary-key") as file:
        file.save(9)
        file.save(4)
    with KeyFile(tmp_path, "canary-key") as file:
        assert file.floor == 9
    with pytest.raises(FatalError), KeyFile(tmp_path, "canary-key"), KeyFile(tmp_path, "canary-key"):
        pass


def test_a_full_disk_stops_no_nonce_and_the_old_file_is_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with KeyFile(tmp_path, "canary-key") as file:
        file.save(1_000_000)
        real = Path.open

        def without_room(path: Path, mode: str = "r", **rest: object) -> object:
            if mode == "w":
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(path, mode, **rest)  # type: ignore[call-overload]

        monkeypatch.setattr(Path, "open", without_room)
        file.save(2_000_000)
    with KeyFile(tmp_path, "canary-key") as file:
        assert file.floor == 2_000_000
