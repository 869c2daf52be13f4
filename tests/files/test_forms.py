"""Records as Parquet and as a workbook, asked with a question: the same rows as in JSON."""

import io
import sys

import httpx
import openpyxl
import polars as pl
import pytest

from app.audit.events import Event
from app.broker import answer
from tests.stock import PURPOSE, Spec, path, stocked
from tests.world import KENKO, World

SPECS: tuple[Spec, ...] = (
    ("no", "code", {"key": True}),
    ("size", "integer"),
    ("price", "decimal"),
    ("lat", "latitude"),
    ("lon", "longitude"),
)
ROWS = [
    {"no": f"{at:03}", "size": at, "price": at / 4, "lat": 34.6 + at / 1000, "lon": 135.5}
    for at in range(20)
]


async def test_a_question_is_answered_as_parquet_and_as_a_workbook(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS, SPECS)
    asked = {"filter": "size >= 15", "sort": "-size", "fields": "no,price"}

    records = (await client.get(path(dataset), params=asked)).json()["records"]
    parquet = await client.get(path(dataset), params={**asked, "f": "parquet"})
    xlsx = await client.get(path(dataset), params={**asked, "f": "xlsx", "labels": "ja"})
    near = await client.get(
        path(dataset),
        params={"f": "parquet", "lat": "34.6", "lon": "135.5", "radius": "300", "limit": "2"},
    )

    frame = pl.read_parquet(io.BytesIO(parquet.content))
    assert frame["no"].to_list() == [record["no"] for record in records]
    assert [float(each) for each in frame["price"]] == [record["price"] for record in records]
    assert parquet.headers["content-type"] == "application/vnd.apache.parquet"
    sheet = openpyxl.load_workbook(io.BytesIO(xlsx.content))["records"]
    assert [tuple(cell.value for cell in line) for line in sheet.iter_rows()] == [
        ("no", "price"), *((record["no"], record["price"]) for record in records),
    ]  # fmt: skip
    found = pl.read_parquet(io.BytesIO(near.content))
    assert found.columns == ["no", "size", "price", "lat", "lon", "distance", "geometry"]
    assert [float(each) for each in found["distance"]] == [0.0, 111.2]


async def test_no_rows_are_a_file_too(client: httpx.AsyncClient, world: World) -> None:
    dataset = await stocked(world, ROWS, SPECS)

    parquet = await client.get(path(dataset), params={"size": "99", "f": "parquet"})
    xlsx = await client.get(path(dataset), params={"size": "99", "f": "xlsx"})

    assert pl.read_parquet(io.BytesIO(parquet.content)).height == 0
    assert openpyxl.load_workbook(io.BytesIO(xlsx.content))["records"].max_row == 1


async def test_what_no_workbook_holds_is_refused_in_words(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = await stocked(world, [{"no": "1", "name": "長" * 33_000}])
    broad = await stocked(world, ROWS, SPECS)

    long = await client.get(path(dataset), params={"f": "xlsx"})
    monkeypatch.setattr(answer, "MOST_SHEET_ROWS", 1)
    cut = await client.get(path(broad), params={"f": "xlsx"})

    assert (long.status_code, long.json()["code"]) == (406, "does_not_fit_form")
    assert "cell_too_long" in long.json()["detail"]
    rows = openpyxl.load_workbook(io.BytesIO(cut.content))["records"].max_row
    assert rows == 1 + 2  # one more than fits is read, so that the writer refuses


async def test_the_same_question_gives_the_same_bytes_and_304_for_who_has_them(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS, SPECS)

    first = await client.get(path(dataset), params={"f": "xlsx"})
    again = await client.get(path(dataset), params={"f": "xlsx"})
    known = await client.get(
        path(dataset), params={"f": "xlsx"}, headers={"If-None-Match": first.headers["etag"]}
    )

    assert first.content == again.content
    assert (known.status_code, known.content) == (304, b"")


async def test_a_workbook_of_internal_data_stands_in_the_log_with_its_rows(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS, SPECS, data_class="internal")
    headers = await world.token(await world.party(KENKO), f"dataset:{dataset}:read")

    nobody = await client.get(path(dataset), params={"f": "xlsx", "purpose": PURPOSE})
    sent = await client.get(
        path(dataset), params={"f": "xlsx", "purpose": PURPOSE, "limit": "7"}, headers=headers
    )

    assert nobody.status_code == 401
    assert sent.status_code == 200
    assert [entry["rows"] for entry in await world.log(Event.RECORDS_READ)] == [7]


async def test_a_conversion_that_fails_says_so(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = await stocked(world, ROWS, SPECS)
    monkeypatch.setattr(sys, "executable", "/bin/false")

    answered = await client.get(path(dataset), params={"f": "parquet"})

    assert (answered.status_code, answered.json()["code"]) == (503, "conversion_failed")
    assert world.platform.broker._exports == 0
