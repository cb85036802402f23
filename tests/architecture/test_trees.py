"""Bans on the syntax trees of what decides: no wall clock, no chance of its own, no order that a set decides."""

from __future__ import annotations

import pytest

from tests.architecture.trees import DECIDING, ROOT, banned, sources

PLANTED = {
    "datetime.now": "from datetime import UTC, datetime\nseen = datetime.now(UTC)\n",
    "datetime.utcnow by module": "import datetime as dt\nseen = dt.datetime.utcnow()\n",
    "date.today": "from datetime import date\nseen = date.today()\n",
    "time.time": "import time\nseen = time.time()\n",
    "time.monotonic by name": "from time import monotonic as clock\nseen = clock()\n",
    "uuid4": "from uuid import uuid4\nseen = uuid4()\n",
    "random": "import random\nseen = random.random()\n",
    "secrets": "import secrets\nseen = secrets.token_hex()\n",
    "numpy's global generator": "import numpy as np\nseen = np.random.rand(3)\n",
    "numpy's seed": "import numpy\nnumpy.random.seed(1)\n",
    "os.urandom": "import os\nseen = os.urandom(4)\n",
    "loop over a set literal": "for one in {1, 2}:\n    print(one)\n",
    "loop over set()": "for one in set([1, 2]):\n    print(one)\n",
    "comprehension over a frozenset": "seen = [one for one in frozenset((1, 2))]\n",
    "loop over a name that is a set": "found = {one for one in (1, 2)}\nfor one in found:\n    print(one)\n",
    "loop over a difference of keys": "a, b = {1: 1}, {2: 2}\nfor one in a.keys() - b.keys():\n    print(one)\n",
    "a sum over a set": "seen = sum(one for one in {0.1, 0.2})\n",
    "list of a set": "seen = list({1, 2})\n",
}
ALLOWED = {
    "a seeded generator": "import numpy as np\nseen = np.random.default_rng(7)\n",
    "a moment from a number": "from datetime import UTC, datetime\nseen = datetime.fromtimestamp(0, UTC)\n",
    "membership in a set": "seen = 1 in {1, 2}\n",
    "a sorted set": "for one in sorted({1, 2}):\n    print(one)\n",
    "a set inside sorted": "seen = sorted(str(one) for one in {1, 2})\n",
    "a dict": "for one in {1: 2}:\n    print(one)\n",
    "a variable called time": "def at(time: int) -> int:\n    return time\n",
}


@pytest.mark.parametrize("name", sorted(PLANTED))
def test_a_planted_violation_is_found(name: str) -> None:
    assert banned(PLANTED[name]), PLANTED[name]


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_what_is_allowed_is_not_reported(name: str) -> None:
    assert banned(ALLOWED[name]) == []


def test_nothing_that_decides_reads_a_clock_draws_chance_or_orders_by_a_set() -> None:
    files = sources(*DECIDING)
    assert len(files) >= 30
    found = [f"{path.relative_to(ROOT)}:{one}" for path in files for one in banned(path.read_text())]
    assert found == []
