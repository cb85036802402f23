"""The last one out: a process that does nothing until its supervisor is gone, then ends whatever that one left.

`python -m trader.maintenance.warden STATE_DIR` reads its stdin, whose other end only the supervisor holds. Linux tells
children of their parent's death, but not grandchildren, and some children take long over SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from trader.maintenance.kin import end, marked

PATIENCE_S = 4.0


def main() -> int:
    """Exit code 0, whatever had to be ended."""
    state = Path(sys.argv[1])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 4096):
        pass
    for _ in range(3):  # a flow that is being started may appear a moment later
        if not (left := marked(state)):
            return 0
        end(left, patience_s=PATIENCE_S)
    return 0


@contextlib.asynccontextmanager
async def warded(state: Path) -> AsyncIterator[None]:
    """While this is open, a SIGKILL of this process ends all marked processes of the state directory within seconds."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "trader.maintenance.warden", str(state), stdin=asyncio.subprocess.PIPE, start_new_session=True
    )  # fmt: skip
    try:
        yield
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


if __name__ == "__main__":
    sys.exit(main())
