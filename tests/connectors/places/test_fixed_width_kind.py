"""The kind `fixed_width`: batch files of mainframes, cut by a layout, that count themselves."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import ValidationError

from app.connectors.fixed_width import FixedWidthConnector, FixedWidthSelection, Layout
from app.connectors.places.settings import PlaceSettings
from app.formats.guidance import FileRefused
from tests.connectors.contract import Contract, Row, Stage, rows_of
from tests.connectors.farm import FIELDS, Farm
from tests.connectors.places.servers import PASSWORD, Serving, put
from tests.connectors.sources import means
from tests.connectors.test_contract import ROWS
from tests.formats.reading import take
from tests.formats.test_fixed_width import double, packed, zoned

EBCDIC: dict[str, Any] = {
    "encoding": "cp930",
    "record_length": 40,
    "columns": [
        {"label": "no", "start": 2, "length": 4, "type": "zoned"},
        {"label": "name", "start": 6, "length": 35},
    ],
    "only": {"start": 1, "length": 1, "values": ["2"]},
    "trailer": {
        "mark": {"start": 1, "length": 1, "values": ["8"]},
        "count": {"start": 2, "length": 4, "type": "zoned"},
        "sums": [{"label": "no", "start": 6, "length": 4, "type": "packed"}],
    },
}


def batch(rows: list[Row], count: int | None = None, total: int | None = None) -> bytes:
    """A file of a host: a header, the data, and a trailer that counts them."""
    data = [
        b"\xf2" + zoned(int(row["no"]), 4)
        + (row["name"].encode("cp037") if row["name"].isascii() else b"\x0e" + double(row["name"]) + b"\x0f")
        for row in rows
    ]  # fmt: skip
    said = zoned(len(rows) if count is None else count, 4)
    said += packed(sum(int(row["no"]) for row in rows) if total is None else total, 4)
    return b"".join(each.ljust(40, b"\x40") for each in [b"\xf1", *data, b"\xf8" + said])


class TestFixedWidth(Contract):
    """EBCDIC over SFTP."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(self, sftp: Serving) -> AsyncIterator[Stage]:
        rows, folder = list(ROWS), secrets.token_hex(4)
        sftp.put(f"{folder}/N_20261128.DAT", batch(rows))
        async with means() as ours:
            settings = PlaceSettings.model_validate(sftp.at(folder))
            connector = FixedWidthConnector(settings, ours)
            told = {"path": "N_*.DAT", "newest_by": "name", "layout": EBCDIC}

            async def add(row: Row) -> None:
                rows.append(row)
                sftp.put(f"{folder}/N_20261129.DAT", batch(rows))

            async def go_away() -> None:
                sftp.remove(f"{folder}/N_20261128.DAT")

            yield Stage(
                connector, FixedWidthSelection.model_validate(told), ROWS, add, go_away,
                lambda: sftp.open_now, PASSWORD,
            )  # fmt: skip


async def test_a_trailer_that_counts_others_refuses_the_file_and_readers_keep_what_they_have(
    farm: Farm, drop: Path
) -> None:
    dataset = await farm.dataset(fields=FIELDS)
    feed = {
        "dataset": dataset,
        "publish": True,
        "selection": {"path": "N*.DAT", "layout": EBCDIC},
        "mapping": [{"to": "no", "from": ["no"]}, {"to": "name", "from": ["name"]}],
    }
    connector = await farm.add("fixed_width", {"base": str(drop)}, feed)
    runs = []
    for body in (batch(ROWS), batch(ROWS, count=3), batch(ROWS, total=77)):
        put(drop / "N.DAT", body)
        runs.append(await farm.run(connector))
    whole = batch(ROWS)
    put(drop / "N.DAT", whole[:-7])
    runs.append(await farm.run(connector))

    assert [each["state"] for each in runs] == ["ok", "failed", "failed", "failed"]
    assert await farm.records(dataset) == ROWS
    assert [each["error_code"] for each in runs] == [
        None, "fixed_width_trailer", "fixed_width_sum", "fixed_width_length",
    ]  # fmt: skip
    assert "counts 3 records, but there are 2" in runs[1]["error_en"]
    assert "末尾レコードの件数（3）と、実際の件数（2）" in runs[1]["error_ja"]
    assert "“no” sums up to 77, but it is 3" in runs[2]["error_en"]
    assert "153 bytes, which 40 bytes a record do not divide" in runs[3]["error_en"]


@pytest.mark.parametrize(
    ("row", "trailer"), [("1E9999999", "000000001"), ("000000001", "1E9999999")]
)
def test_a_number_beyond_all_bounds_is_no_sum(row: str, trailer: str) -> None:
    column = {"label": "a", "start": 1, "length": 9}
    layout = {"columns": [column], "trailer": {"records": 1, "sums": [column]}}

    with pytest.raises(FileRefused) as refused:
        take(f"{row}\n{row}\n{trailer}\n".encode(), fixed_width=layout)

    assert refused.value.code == "fixed_width_sum"


def test_a_sum_of_long_numbers_is_right_to_its_last_digit() -> None:
    column = {"label": "a", "start": 1, "length": 31}
    layout = {"columns": [column], "trailer": {"records": 1, "sums": [column]}}
    rows = f"{10**30}\n{1:031}\n"

    taken = take(f"{rows}{10**30 + 1}\n".encode(), fixed_width=layout)
    with pytest.raises(FileRefused) as refused:
        take(f"{rows}{10**30}\n".encode(), fixed_width=layout)

    assert len(taken.rows) == 2
    assert refused.value.code == "fixed_width_sum"


@pytest.mark.parametrize("unit", ["bytes", "characters"])
def test_days_of_eras_and_what_means_nothing_are_read(unit: str) -> None:
    columns = [
        {"label": "a", "start": 1, "length": 7, "date": "era"},
        {"label": "b", "start": 8, "length": 8, "date": "western", "empty": ["99999999"]},
        {"label": "c", "start": 16, "length": 3, "empty": ["***"]},
    ]
    body = (
        b"508112920261129abc\n"  # Reiwa 8
        b"R08112920261129***\n"
        b"431043099999999x  \n"  # Heisei 31
        b"000000000000000y  \n"
        b"608112920261129abc\n"  # no such era
        b"508113020261131abc\n"
    )
    got = take(body, fixed_width={"encoding": "cp932", "unit": unit, "columns": columns})

    assert [list(row.values())[4:] for row in got.rows] == [
        ["2026-11-29", "2026-11-29", "abc"],
        ["2026-11-29", "2026-11-29", ""],
        ["2019-04-30", "", "x"],
        ["", "", "y"],
    ]
    assert [(each.line, each.code) for each in got.rejects] == [
        (5, "invalid_date"), (6, "invalid_date"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"), [("cp037", "A-1 a"), ("cp500", "A-1 a"), ("cp1140", "€1"), ("cp273", "Ä1")]
)
def test_single_byte_pages_of_ebcdic_are_read(name: str, text: str) -> None:
    columns = [{"label": "a", "start": 1, "length": 8}, {"label": "b", "start": 9, "length": 3, "type": "zoned"}]  # fmt: skip
    body = text.ljust(8).encode(name) + zoned(-12, 3)

    got = take(body, fixed_width={"encoding": name, "record_length": 11, "columns": columns})

    assert list(got.rows[0].values())[4:] == [text, "-12"]


def test_japanese_single_bytes_are_read_as_cp290() -> None:
    columns = [{"label": "a", "start": 1, "length": 3}]
    told = {"encoding": "cp290", "record_length": 3, "columns": columns}

    got = take(bytes([0x81, 0x82, 0x83]) * 2, fixed_width=told)

    assert [list(row.values())[4] for row in got.rows] == ["ｱｲｳ", "ｱｲｳ"]


async def test_parts_of_a_host_are_joined_without_a_byte_between_and_their_trailers_add_up(
    tmp_path: Path,
) -> None:
    put(tmp_path / "N1.DAT", batch(ROWS[:1]), 1_000_000_000)
    put(tmp_path / "N2.DAT", batch(ROWS[1:]), 1_000_000_001)
    put(tmp_path / "N0.DAT", batch(ROWS), 900_000_000)
    async with means("", tmp_path) as ours:
        made = FixedWidthConnector(PlaceSettings(base=str(tmp_path)), ours)
        told = {"path": "N*.DAT", "parts": {}, "layout": EBCDIC}

        got = await rows_of(made, FixedWidthSelection.model_validate(told))

    assert got == ROWS


async def test_a_file_that_no_whole_records_make_is_told_before_it_is_fetched(
    tmp_path: Path,
) -> None:
    put(tmp_path / "N.DAT", batch(ROWS)[:-1])
    async with means("", tmp_path) as ours:
        made = FixedWidthConnector(PlaceSettings(base=str(tmp_path)), ours)
        told = FixedWidthSelection.model_validate({"path": "N.DAT", "layout": EBCDIC})
        with pytest.raises(FileRefused) as refused:
            await made.check(told)

    assert refused.value.details == {"size": 159, "length": 40, "rest": 39}


@pytest.mark.parametrize(
    "more",
    [
        {"encoding": "klingon"},
        {"record_length": 10},
        {"columns": []},
        {"trailer": {"mark": {"start": 1, "length": 1, "values": []}}},
        {"trailer": {"sums": [{"label": "none", "start": 1, "length": 1}]}},
        {"unit": "characters"},
    ],
)
def test_a_layout_that_cannot_be_is_refused_when_it_is_given(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Layout.model_validate({**EBCDIC, **more})


def test_parts_need_marks_for_what_is_no_data() -> None:
    layout = {**EBCDIC, "trailer": {"records": 1}}
    with pytest.raises(ValidationError):
        FixedWidthSelection.model_validate({"path": "N", "parts": {}, "layout": layout})
