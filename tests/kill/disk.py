"""A small disk of memory for one state directory, to be filled and turned read-only; needs the right to mount."""

from __future__ import annotations

import errno
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trader.bootstrap.paths import Paths

SIZE = "64m"
MEGABYTE = 1 << 20


class SmallDisk:
    """What is mounted on a directory."""

    def __init__(self, at: Path) -> None:
        self.at, self._filler = at, at / "filler"

    @classmethod
    @contextmanager
    def on(cls, at: Path) -> Iterator[SmallDisk | None]:
        """Mounted while the context lasts; None where that is not allowed."""
        at.mkdir(mode=0o700)
        if _mount("-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "tmpfs", str(at)):
            try:
                yield cls(at)
            finally:
                subprocess.run(["umount", "--lazy", str(at)], check=True)
        else:
            yield None

    def moved_out(self, paths: Paths, outside: Path) -> Paths:
        """The exchange's books and the emergency journal lie on another disk, as a careful person would have it."""
        books = outside / "books"
        paths.twin.rmdir()
        books.mkdir(mode=0o700)
        paths.twin.symlink_to(books)
        paths.emergency.symlink_to(outside / "emergency.journal")
        return paths

    def nearly_fill(self) -> None:
        """Leave a megabyte free, so that filling the rest takes no time in which anything could happen."""
        with self._filler.open("wb", buffering=0) as file:
            for _ in range(shutil.disk_usage(self.at).free // MEGABYTE - 1):
                file.write(b"\0" * MEGABYTE)

    def fill(self) -> None:
        """Leave not a byte free."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (MEGABYTE, 4096, 1):
                try:
                    while file.write(b"\0" * size):
                        pass
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def free(self) -> None:
        self._filler.unlink()

    def read_only(self, on: bool) -> None:
        """Raises RuntimeError where somebody still writes to it."""
        if not _mount("-o", f"remount,{'ro' if on else 'rw'}", str(self.at)):
            raise RuntimeError(f"{self.at}: not remounted")


def _mount(*words: str) -> bool:
    try:
        return subprocess.run(["mount", *words], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
