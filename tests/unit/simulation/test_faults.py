"""The fault plan: read strictly, drawn with a seed, and the same every time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture import trees
from trader.bootstrap.stand_ins import read_plans
from trader.errors import ConfigError
from trader.simulation.fault_catalogue import BY_TIME, KRAKEN_ACTIONS, Action, misplaced, place_kind
from trader.simulation.faults import FaultPlan, parse_plan


def plan(text: str, seed: int = 1) -> FaultPlan:
    return parse_plan(text, seed=seed, places=("AddOrder", "OHLC", "executions", "account", "subscribe"))


def test_nth_counts_matching_calls_only() -> None:
    faults = plan('[[fault]]\nwhere = "AddOrder"\nmatch = { type = "buy" }\nnth = [2, 4]\naction = "lost_response"\n')
    calls = ["buy", "sell", "buy", "buy", "sell", "buy", "buy"]
    assert [len(faults.take("AddOrder", {"type": side})) for side in calls] == [0, 0, 1, 0, 0, 1, 0]
    assert faults.fired == {"AddOrder:lost_response": 2}


def test_pair_matches_the_wire_id_or_the_symbol_and_a_star_matches_the_beginning() -> None:
    faults = plan('[[fault]]\nwhere = "OHLC"\nmatch = { pair = "BTC/EUR" }\naction = "gap"\n')
    assert faults.take("OHLC", {"pair": "XXBTZEUR", "symbol": "BTC/EUR"})
    assert not faults.take("OHLC", {"pair": "XETHZEUR", "symbol": "ETH/EUR"})
    faults = plan('[[fault]]\nwhere = "AddOrder"\nmatch = { cl_ord_id = "tabc*" }\naction = "hang"\n')
    assert faults.take("AddOrder", {"cl_ord_id": "tabc1"})
    assert not faults.take("AddOrder", {"cl_ord_id": "txyz1"})


def test_chance_depends_on_the_seed_only() -> None:
    text = '[[fault]]\nwhere = "AddOrder"\np = 0.3\naction = "lost_request"\n'
    draws = [[bool(faults.take("AddOrder", {})) for _ in range(400)] for faults in (plan(text), plan(text), plan(text, 2))]
    assert draws[0] == draws[1] != draws[2]
    assert 80 < sum(draws[0]) < 160


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[fault]\n", "not valid TOML"),
        ("[[falt]]\nwhere = 1\n", "falt"),
        ('[[fault]]\nwhere = "AddOrder"\naction = "explode"\n', "fault 1: action = 'explode'"),
        ('[[fault]]\nwhere = "AdOrder"\naction = "hang"\n', "fault 1: where = 'AdOrder' is not allowed; one of AddOrder"),
        ('[[fault]]\nwhere = "AddOrder"\naction = "hang"\nnht = 1\n', "unknown key 'nht'"),
        ('[[fault]]\nwhere = "AddOrder"\naction = "delay"\narg = -1\n', "arg = -1"),
        ('[[fault]]\nwhere = "AddOrder"\naction = "http"\narg = 200\n', "400 to 599"),
        ('[[fault]]\nwhere = "AddOrder"\naction = "hang"\narg = 1\n', "no arg"),
        ('[[fault]]\nwhere = "AddOrder"\naction = "nan"\n', "nan happens at OHLC or ohlc"),
        ('[[fault]]\nwhere = "AddOrder"\naction = "hang"\nnth = 0\n', "nth = 0"),
        ('[[fault]]\nwhere = "AddOrder"\naction = "hang"\np = 2\n', "p = 2"),
        ('[[fault]]\nwhere = "AddOrder"\naction = "hang"\np = 1.0\nnth = 1\n', "not both"),
        ('[[fault]]\nwhere = "AddOrder"\naction = "cut_json"\neffect = "after"\n', "effect"),
        ('[[fault]]\nwhere = "account"\naction = "foreign_fill"\narg = { pair = "A/B" }\n', "a table { pair, side"),
        ('[[fault]]\nwhere = "subscribe"\naction = "html"\n', "at subscribe"),
    ],
)
def test_a_bad_plan_is_one_clear_error(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        plan(text)
    assert said in str(error.value)


def test_errors_of_a_file_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    with pytest.raises(ConfigError, match=r"plan\.toml"):
        read_plans(path, seed=1)
    path.write_text('[[fault]]\nwhere = "AddOrder"\naction = "x"\n')
    with pytest.raises(ConfigError, match=r"plan\.toml: fault 1"):
        read_plans(path, seed=1)


# --- the catalogue -----------------------------------------------------------------------------------------------------
PLACES = (
    "AddOrder",
    "OHLC",
    "GetWebSocketsToken",
    "QueryOrders",
    "CancelOrder",
    "Ticker",
    "futures:sendorder",
    "ohlc",
    "futures_ws:fills",
    "futures_ws:challenge",
    "subscribe",
    "add_order",
    *BY_TIME,
)
DOCS = trees.ROOT / "docs" / "how-to" / "inject-faults.md"


def lines(where: str, action: str, arg: str = "") -> str:
    return f'[[fault]]\nwhere = "{where}"\naction = "{action}"\n{arg}'


@pytest.mark.parametrize("name", KRAKEN_ACTIONS)
def test_every_action_has_places_and_is_refused_elsewhere(name: str) -> None:
    here = [where for where in PLACES if misplaced(where, name, KRAKEN_ACTIONS) is None]
    elsewhere = [where for where in PLACES if where not in here]
    assert here
    assert elsewhere
    for where in elsewhere:
        with pytest.raises(ConfigError, match=rf"fault 1: (where|action) = .* is not allowed; ({name} happens at|at {where} one of) "):
            parse_plan(lines(where, name), seed=1)


@pytest.mark.parametrize("name", KRAKEN_ACTIONS)
def test_every_action_refuses_an_argument_that_is_not_its_own(name: str) -> None:
    where = next(where for where in PLACES if misplaced(where, name, KRAKEN_ACTIONS) is None)
    with pytest.raises(ConfigError, match=rf"fault 1: arg = \[1\] is not allowed; {name} takes "):
        parse_plan(lines(where, name, "arg = [1]\n"), seed=1)


@pytest.mark.parametrize("where", PLACES)
def test_places_are_endpoints_channels_methods_or_times(where: str) -> None:
    expected = {
        "futures:sendorder": "endpoint",
        "futures_ws:fills": "channel",
        "ohlc": "channel",
        **dict.fromkeys(("subscribe", "add_order", "futures_ws:challenge"), "method"),
    }
    assert place_kind(where) == expected.get(where, where if where in BY_TIME else "endpoint")


def documented(name: str, action: Action) -> str:
    """The line of the guide's table for an action."""
    sides = "before, after" if action.before and action.after else "after" if action.after else ""
    argument = str(action.arg([1])).replace("|", "\\|")
    return f"| `{name}` | {', '.join(action.at)} | {argument} | {sides} | {action.about} |"


def test_the_guide_lists_every_action_as_the_catalogue_has_it() -> None:
    table = [line for line in DOCS.read_text().splitlines() if line.startswith("| `") and line.count(" | ") == 4]
    wanted = [documented(name, action) for name, action in KRAKEN_ACTIONS.items()]
    assert len(wanted) >= 40
    assert table == wanted, "the table should read:\n" + "\n".join(wanted)
