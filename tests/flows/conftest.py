"""One Prefect test server for the whole run, and one real `prefect server start` that tests may kill and start again."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest
from demo_kit import free_port
from prefect_kit import Server

_HOME = tempfile.mkdtemp(prefix="trader-prefect-")
atexit.register(shutil.rmtree, _HOME, True)
# Read while prefect is imported, which no test module does before this line.
os.environ.update(PREFECT_HOME=_HOME, PREFECT_SERVER_ANALYTICS_ENABLED="false", PREFECT_CLI_PROMPT="false", PREFECT_LOGGING_LEVEL="ERROR")
os.environ.pop("PREFECT_API_URL", None)


@pytest.fixture(scope="session")
def prefect_api() -> Iterator[str]:
    """The API of one test server for all flows; heartbeat threads off."""
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180), temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield PREFECT_API_URL.value()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server with an empty home."""
    made = Server(tmp_path_factory.mktemp("prefect-home"), free_port())
    made.start()
    yield made
    made.kill()
