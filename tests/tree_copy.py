"""A copy of the working tree in a temporary directory, with one line of it changed: what planted bugs are tried on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("trader", "tests", "flows", "tasks", "pyproject.toml")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "node_modules", "*.pyc", ".mypy_cache")


@contextmanager
def tree_copy(parts: tuple[str, ...] = PARTS) -> Iterator[Path]:
    """The root of a copy; nothing in it is linked to the original."""
    with TemporaryDirectory(prefix="trader-tree-") as folder:
        for part in parts:
            source, target = ROOT / part, Path(folder) / part
            if source.is_dir():
                shutil.copytree(source, target, ignore=LEFT_OUT)
            else:
                shutil.copy(source, target)
        yield Path(folder)


@contextmanager
def patched(root: Path, file: str, old: str, new: str) -> Iterator[None]:
    """Inside, `old` reads `new` in one file of a copy. Raises ValueError unless it stands there exactly once."""
    path = root / file
    text = path.read_text()
    if text.count(old) != 1:
        raise ValueError(f"{file}: the line to change stands there {text.count(old)} times, not once: {old[:80]!r}")
    path.write_text(text.replace(old, new))
    try:
        yield
    finally:
        path.write_text(text)


def environment(root: Path) -> dict[str, str]:
    """The environment in which Python imports the copy, whatever is installed."""
    return os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}", "PYTHONDONTWRITEBYTECODE": "1"}
