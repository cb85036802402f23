"""The numba cache folder: one per digest of all sources."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import numba

from trader.indicators import compiled

PROBE = """
import sys
sys.path.insert(0, {root!r})
import outer
print(outer.outer(1.0), outer.outer.stats.cache_hits)
"""


def test_digest_changes_with_content_and_name(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("x = 1")
    first = compiled.digest([file])
    file.write_text("x = 2")
    assert compiled.digest([file]) != first
    assert compiled.digest([file.rename(tmp_path / "b.py")]) != first


def test_sources_cover_the_packages_with_compiled_code() -> None:
    names = {f"{file.parent.name}/{file.name}" for file in compiled.sources()}
    assert {"domain/costs.py", "indicators/patterns.py", "strategy/scoring.py", "execution/exits.py"} <= names


def test_cache_folder_is_private() -> None:
    folder = Path(numba.config.CACHE_DIR)
    assert folder.name == compiled.digest(compiled.sources())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_an_edit_in_a_called_function_of_another_file_is_noticed(tmp_path: Path) -> None:
    """numba alone would run the old code from its cache; a folder named by the sources does not."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "inner.py").write_text("import numba\n@numba.njit(cache=True)\ndef inner(x):\n    return x + 1.0\n")
    (code / "outer.py").write_text(
        "import pathlib, numba\nfrom trader.indicators import compiled\nhere = pathlib.Path(__file__).parent\n"
        f"numba.config.CACHE_DIR = str(pathlib.Path({str(tmp_path)!r}) / compiled.digest(here.glob('*.py')))\n"
        "from inner import inner\n@numba.njit(cache=True)\ndef outer(x):\n    return inner(x) * 2.0\n"
    )

    def run() -> str:
        probe = PROBE.format(root=str(code))
        return subprocess.run(
            [sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]
        ).stdout.split()[0]

    assert run() == "4.0" and run() == "4.0"
    (code / "inner.py").write_text("import numba\n@numba.njit(cache=True)\ndef inner(x):\n    return x + 2.0\n")
    assert run() == "6.0"
