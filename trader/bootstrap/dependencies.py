"""What the parts of one machine look like from beside: present, missing or broken, and since when."""

from __future__ import annotations

import http.client
import time
from pathlib import Path
from urllib.parse import urlsplit

from trader.bootstrap.views import DependencyView

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
PATIENCE_S = 0.5


def ok(name: str, detail: str = "", age_s: float | None = None) -> DependencyView:
    return DependencyView(name=name, state="ok", age_s=age_s, detail=detail)


def missing(name: str, detail: str) -> DependencyView:
    return DependencyView(name=name, state="missing", age_s=None, detail=detail)


def failed(name: str, detail: str) -> DependencyView:
    return DependencyView(name=name, state="failed", age_s=None, detail=detail)


def age_of(*files: Path) -> float | None:
    """Machine seconds since the newest of these files was written; None where none exists."""
    times = []
    for file in files:
        try:
            about = file.stat()
        except OSError:
            continue
        if about.st_size:  # a reader makes an empty -wal
            times.append(about.st_mtime)
    return max(0.0, time.time() - max(times)) if times else None


def ask_prefect(url: str) -> DependencyView:
    """Whether Prefect's API answers; only a server on this machine is asked."""
    name = "prefect"
    where = urlsplit(url)
    if not where.hostname:
        return missing(name, "no Prefect server is configured for this page")
    if where.scheme != "http" or where.hostname not in LOOPBACK:
        return missing(name, f"{url} is not on this machine, so it is not asked")
    peer = http.client.HTTPConnection(where.hostname, where.port or 80, timeout=PATIENCE_S)
    try:
        peer.request("GET", "/api/health")
        status = peer.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return failed(name, f"{url} does not answer ({error}); `trader up` starts it")
    finally:
        peer.close()
    return ok(name, url) if status == 200 else failed(name, f"{url} answers {status}")
