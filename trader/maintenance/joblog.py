"""One structured log: JSON lines in `logs/<process>.jsonl`, rotated by size, and the same lines for a person's eyes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

ROTATE_BYTES = 8_000_000
KEPT = 3
LINE_LIMIT = 4_000


class JobLog:
    """Appends one JSON object a line: `at` (UTC), `process`, `level`, `text` and what else is given. Files are 0600.

    At ROTATE_BYTES the file becomes `<process>.1.jsonl`, `.1` becomes `.2`, and so on; the oldest of three is dropped.
    """

    def __init__(self, directory: Path, process: str, *, rotate_bytes: int = ROTATE_BYTES) -> None:
        self.path = directory / f"{process}.jsonl"
        self._process = process
        self._rotate_bytes = rotate_bytes
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = self._open()

    def _open(self) -> TextIO:
        return os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8")

    def write(self, text: str, *, level: str = "info", **fields: Any) -> None:
        """One line; `text` longer than 4,000 characters is cut and says so. After `close` it does nothing."""
        if self._file.closed:
            return
        if len(text) > LINE_LIMIT:
            text = f"{text[:LINE_LIMIT]} ... ({len(text)} characters)"
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        row: Mapping[str, Any] = {"at": at, "process": self._process, "level": level, "text": text, **fields}
        self._file.write(json.dumps(row, default=str) + "\n")
        self._file.flush()
        if self._file.tell() >= self._rotate_bytes:
            self._rotate()

    def _rotate(self) -> None:
        self._file.close()
        for number in range(KEPT - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        self.path.replace(self._numbered(1))
        self._numbered(KEPT).unlink(missing_ok=True)
        self._file = self._open()

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self._process}.{number}.jsonl")

    def close(self) -> None:
        """Close the file."""
        self._file.close()
