"""What AddOrder, AmendOrder, EditOrder and the batches make of their fields: every spelling clients use, every field refused by name."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from trader.simulation.exchange_orders import OrderRequest, Refused
from trader.simulation.exchange_terms import Close, Offset
from trader.simulation.kraken_server.spot.order_form import deadline_of, listed, parse_body
from trader.simulation.kraken_server.spot.order_requests import amendment, batch, order_request

D = Decimal
NOW = 1_767_571_200_000_000
BASE = {"pair": "XBTUSD", "type": "sell", "volume": "0.1", "ordertype": "market"}


def asked(**fields: str) -> OrderRequest:
    return order_request(BASE | fields, "BTC/USD", NOW)


# the bodies of KRAKEN.md section 2 and what ccxt and python-kraken-sdk send besides
FORMS: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({"ordertype": "limit", "price": "25000.1"}, {"price": D("25000.1"), "trigger": None}),
    ({"ordertype": "market", "price": "1", "price2": "2"}, {"price": None, "trigger": None}),
    ({"ordertype": "stop-loss", "price": "55"}, {"trigger": D(55), "price": None}),
    ({"ordertype": "take-profit", "price": "120"}, {"trigger": D(120)}),
    ({"ordertype": "stop-loss-limit", "price": "55", "price2": "54"}, {"trigger": D(55), "price": D(54)}),
    ({"ordertype": "take-profit-limit", "price": "45000", "price2": "#2%"}, {"price_by": Offset(sign="#", amount=D(2), percent=True)}),
    ({"ordertype": "trailing-stop", "price": "+1.5%", "trigger": "last"}, {"trigger_by": Offset(sign="+", amount=D("1.5"), percent=True)}),
    (
        {"ordertype": "trailing-stop-limit", "price": "+100", "price2": "-100"},
        {"trigger_by": Offset(sign="+", amount=D(100)), "price_by": Offset(sign="-", amount=D(100))},
    ),
    ({"volume": "5", "oflags": "viqc", "type": "buy"}, {"cash": D(5), "volume": D(0), "oflags": ("viqc",)}),
    ({"ordertype": "limit", "price": "1", "oflags": "fcib,post"}, {"post_only": True, "oflags": ("fcib",)}),
    ({"timeinforce": "GTD", "expiretm": "+60", "starttm": "+5"}, {"expire_us": NOW + 60_000_000, "start_us": NOW + 5_000_000}),
    ({"expiretm": "1767571300", "starttm": "0"}, {"expire_us": 1_767_571_300_000_000, "start_us": 0}),
    ({"reduce_only": "true", "leverage": "5"}, {"reduce_only": True, "leverage": "5"}),
    ({"reduce_only": "False", "leverage": "none", "stptype": "cancel-newest", "validate": "False"}, {"reduce_only": False}),
    ({"ordertype": "iceberg", "price": "1", "displayvol": "0.01"}, {"display": D("0.01")}),
    (
        {"close[ordertype]": "stop-loss-limit", "close[price]": "21000", "close[price2]": "-1%"},
        {"close": Close(ordertype="stop-loss-limit", trigger=D(21000), price_by=Offset(sign="-", amount=D(1), percent=True))},
    ),
    ({"close[ordertype]": "limit", "close[price]": "21000"}, {"close": Close(ordertype="limit", price=D(21000))}),
]


@pytest.mark.parametrize(("fields", "expected"), FORMS)
def test_every_form_of_an_order_is_read(fields: dict[str, str], expected: dict[str, Any]) -> None:
    request = asked(**fields)
    assert {name: getattr(request, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"type": "hold"}, "EGeneral:Invalid arguments:type"),
        ({"ordertype": "settle-position"}, "EGeneral:Invalid arguments:ordertype"),
        ({"volume": ""}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "1e400000000"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "+1"}, "EGeneral:Invalid arguments:volume"),
        ({"ordertype": "limit", "price": "cheap"}, "EGeneral:Invalid arguments:price"),
        ({"ordertype": "limit", "price": "++5"}, "EGeneral:Invalid arguments:price"),
        ({"ordertype": "limit", "price": "+1e5"}, None),
        ({"ordertype": "limit", "price": "+inf"}, "EGeneral:Invalid arguments:price"),
        ({"ordertype": "limit", "price": "1", "price2": "2"}, "EGeneral:Invalid arguments:price2"),
        ({"ordertype": "stop-loss", "price": "1", "trigger": "index"}, "EGeneral:Invalid arguments:Index unavailable"),
        ({"oflags": "fciq,fcib"}, "EGeneral:Invalid arguments:oflags"),
        ({"oflags": "magic"}, "EGeneral:Invalid arguments:oflags"),
        ({"expiretm": "soon"}, "EGeneral:Invalid arguments:expiretm"),
        ({"starttm": "-5"}, "EGeneral:Invalid arguments:starttm"),
        ({"reduce_only": "perhaps"}, "EGeneral:Invalid arguments:reduce_only"),
        ({"cl_ord_id": "a", "userref": "5"}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"close[ordertype]": "market"}, "EGeneral:Invalid arguments:close[ordertype]"),
        ({"close[price]": "5"}, "EGeneral:Invalid arguments:close[ordertype]"),
        ({"surprise": "1"}, "EGeneral:Invalid arguments"),
    ],
)
def test_a_field_that_is_no_order_is_refused_by_its_name(fields: dict[str, str], error: str | None) -> None:
    if error is None:
        assert asked(**fields).price_by is not None
        return
    with pytest.raises(Refused) as refusal:
        asked(**fields)
    assert refusal.value.error == error


def test_json_and_form_bodies_mean_the_same() -> None:
    form = b"pair=XBTUSD&volume=0.1&validate=True&close%5Bordertype%5D=stop-loss&close%5Bprice%5D=5"
    body = {"pair": "XBTUSD", "volume": 0.1, "validate": True, "close": {"ordertype": "stop-loss", "price": 5}}
    assert parse_body(json.dumps(body).encode(), "application/json") == parse_body(form, "application/x-www-form-urlencoded")


def test_a_batch_is_read_order_by_order_with_the_deadline_of_all() -> None:
    orders = [{"type": "buy", "volume": 1, "close": {"price": 2}}, {"type": "sell"}]
    fields = parse_body(json.dumps({"pair": "P", "orders": orders, "deadline": "D"}).encode(), "application/json")
    assert batch(fields) == [
        {"deadline": "D", "type": "buy", "volume": "1", "close[price]": "2"},
        {"deadline": "D", "type": "sell"},
    ]


@pytest.mark.parametrize("body", [b'{"orders": ["A", "B", 7]}', b'{"orders": [{"txid": "A"}, {"txid": "B"}, {"txid": 7}]}'])
def test_ids_of_a_batch_come_as_a_list_of_texts_or_of_objects(body: bytes) -> None:
    assert listed(parse_body(body, "application/json"), "orders") == ["A", "B", "7"]


def test_an_amend_reads_absolute_and_relative_prices() -> None:
    change = amendment({"txid": "O", "order_qty": "2", "limit_price": "+1%", "trigger_price": "5", "post_only": "true"}, NOW)
    assert (change.volume, change.price, change.price_by) == (D(2), None, Offset(sign="+", amount=D(1), percent=True))
    assert (change.trigger, change.post_only, change.display) == (D(5), True, None)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("2026-01-05T00:00:02Z", None),
        ("2026-01-05T00:01:00.000Z", None),
        ("2026-01-05T01:00:30+01:00", None),
        ("2026-01-05T00:00:01.999Z", "EGeneral:Invalid arguments:deadline"),
        ("2026-01-05T00:01:00.001Z", "EGeneral:Invalid arguments:deadline"),
        ("2026-01-05T00:00:30", "EGeneral:Invalid arguments:deadline"),
        ("tomorrow", "EGeneral:Invalid arguments:deadline"),
        ("2026-01-04T23:59:59Z", "EService:Deadline elapsed"),
    ],
)
def test_a_deadline_lies_two_to_sixty_seconds_ahead(text: str, error: str | None) -> None:
    if error is None:
        assert deadline_of({"deadline": text}, NOW) is not None
        return
    with pytest.raises(Refused) as refusal:
        deadline_of({"deadline": text}, NOW)
    assert refusal.value.error == error
