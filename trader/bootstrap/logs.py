"""One structured log for every process: JSON lines in `state/logs/<process>.jsonl`, and the same as plain lines on stderr."""

from __future__ import annotations

import logging
import sys
import traceback

from trader.bootstrap.paths import Paths
from trader.maintenance.joblog import JobLog

LINE = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


class _ToJobLog(logging.Handler):
    """Python's log records as lines of a JobLog."""

    def __init__(self, log: JobLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        fields = {"logger": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            fields["error"] = "".join(traceback.format_exception(record.exc_info[1]))[-4_000:]
        self._log.write(record.getMessage(), level=record.levelname.lower(), **fields)

    def close(self) -> None:
        self._log.close()
        super().close()


def start_logging(paths: Paths, process: str, *, terminal: bool = True, level: int = logging.INFO) -> JobLog:
    """Send the root logger to the log of `process`, and to stderr for people; calling it again replaces both.

    One file has one writer: name processes apart.
    """
    root = logging.getLogger()
    for handler in [h for h in root.handlers if getattr(h, "of_trader", False)]:
        root.removeHandler(handler)
        handler.close()
    log = JobLog(paths.logs, process)
    handlers: list[logging.Handler] = [_ToJobLog(log)]
    if terminal:
        stream = logging.StreamHandler(sys.stderr)
        stream.setFormatter(logging.Formatter(LINE, datefmt="%H:%M:%S"))
        handlers.append(stream)
    for handler in handlers:
        handler.of_trader = True  # type: ignore[attr-defined]
        root.addHandler(handler)
    root.setLevel(level)
    return log
