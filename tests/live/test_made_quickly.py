"""Records that are made the quick way: the same as one value after another makes them."""

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.connectors.json_texts import PLAIN, parsed, plain
from app.kit.outbound import Answer
from app.live.typed import Typing, _one_by_one, cell
from app.query.fields import Field, FieldType

FIELDS = tuple(
    Field(name, name, name, kind, key=name == "no")
    for name, kind in (
        ("no", FieldType.CODE), ("size", FieldType.INTEGER), ("lat", FieldType.LATITUDE),
        ("lon", FieldType.LONGITUDE), ("note", FieldType.TEXT),
    )
)  # fmt: skip
texts = st.sampled_from(
    (
        " A\u3000",
        "",
        "-",
        "N/A",
        "施設",
        "12",
        "１２",
        "1.2E+3",
        "区域外",
        None,
        7,
        2**64,
        34.5,
        True,
    )
)
numbers = st.sampled_from((7, -(2**63), 2**63, 7.0, "７", "", None, True, Decimal("7.5"), "x"))
degrees = st.sampled_from((34.5, Decimal("34.5"), 91.0, "34度30分0秒", 34, None, "", float("nan")))
rows = st.lists(
    st.fixed_dictionaries({"no": texts, "size": numbers, "lat": degrees, "lon": degrees}),
    max_size=4,
)


@given(rows)
def test_columns_at_once_are_what_one_value_after_another_is(rows: list[dict[str, Any]]) -> None:
    typing = Typing(FIELDS, None)

    made = typing.records(rows)

    if typing._columns is not None:
        assert made == _one_by_one(rows, typing._columns, 0)
        assert len(made[0]) + made[1] == len(rows)


@given(
    st.integers(-(10**20), 10**20),
    st.text("019", max_size=20),
    st.sampled_from(("", "e5", "E-3", "e+20")),
)
def test_a_number_keeps_the_digits_that_came(whole: int, fraction: str, power: str) -> None:
    answer = Answer("source", 200, {"content-type": "application/json"}, b"")
    number = f"{whole}{'.' + fraction if fraction else ''}{power}"
    body = f'[{{"fee": {number}}}]'.encode()

    quick, slow = plain(answer, body), parsed(answer, body, PLAIN)

    assert cell(quick[0]["fee"]) == cell(slow[0]["fee"])
