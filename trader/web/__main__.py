"""`python -m trader.web --state DIR --port P --prefect-url URL`: the status page on 127.0.0.1."""

from __future__ import annotations

import argparse
import sys

import uvicorn

from trader.bootstrap.readmodel import ReadModel
from trader.bootstrap.readscore import Scorecards
from trader.config import load
from trader.errors import ConfigError
from trader.web.app import create_app

HOST = "127.0.0.1"


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted; 2 for settings that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m trader.web", description="the status page, for this machine only")
    parser.add_argument("--state", help="state directory (default: state)")
    parser.add_argument("--port", type=int, help="default: the setting ports.web, 8787")
    parser.add_argument("--prefect-url", help="default: http://127.0.0.1 and the setting ports.prefect")
    given = parser.parse_args(arguments)
    try:
        settings = load({"state_dir": given.state, "ports.web": given.port})
    except ConfigError as error:
        sys.stderr.write(f"trader.web: {error}\n")
        return 2
    prefect = given.prefect_url or f"http://{HOST}:{settings.ports.prefect}"
    model = ReadModel(settings.state, environment=settings.environment, prefect_url=prefect)
    config = uvicorn.Config(
        create_app(model, Scorecards(settings)),
        host=HOST,
        port=settings.ports.web,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
    )
    uvicorn.Server(config).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
