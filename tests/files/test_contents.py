"""What is in the files of one version: the same records in every form, and nothing that runs."""

import csv
import hashlib
import io
import json
import sqlite3
from decimal import Decimal
from pathlib import Path

import httpx
import openpyxl
import polars as pl
import pyogrio
import shapely

from tests.files.ready import ALL, ROWS, address, file_of
from tests.stock import path


async def test_every_form_is_listed_with_its_size_and_hash(
    client: httpx.AsyncClient, parks: str
) -> None:
    listed = (await client.get(f"/v1/datasets/{parks}/files")).json()

    assert {file["format"] for file in listed["files"]} == ALL
    assert listed["absent"] == []
    for file in listed["files"]:
        bytes_ = (await client.get(file["href"])).content
        assert (len(bytes_), hashlib.sha256(bytes_).hexdigest()) == (file["size"], file["sha256"])
        assert (await client.get(file["latest"])).content == bytes_
        assert file["name"].startswith(f"{parks}-v1-r1")


async def test_the_csv_is_the_export_byte_for_byte_and_the_geojson_its_features(
    client: httpx.AsyncClient, parks: str
) -> None:
    ready = await client.get(address(parks, ".csv"))
    live = await client.get(path(parks), params={"f": "csv"})
    drawn = await client.get(address(parks, ".geojson"))
    page = await client.get(path(parks), params={"f": "geojson"})

    assert ready.content == live.content
    assert drawn.json()["features"] == page.json()["features"]
    assert drawn.json()["type"] == "FeatureCollection"
    assert "inside" not in ready.text and "庁内" not in drawn.text


async def test_all_forms_hold_the_same_records(
    client: httpx.AsyncClient, parks: str, tmp_path: Path
) -> None:
    wanted = (await client.get(path(parks))).json()["records"]

    frame = pl.read_parquet(await file_of(client, tmp_path, parks, ".parquet"))
    book = openpyxl.load_workbook(await file_of(client, tmp_path, parks, ".xlsx"))
    package = await file_of(client, tmp_path, parks, ".gpkg")
    about, _, shapes, columns = pyogrio.raw.read(package)

    parquet = frame.drop("geometry").to_dicts()
    assert [row["name"] for row in parquet] == [row["name"] for row in wanted]
    assert [row["no"] for row in parquet] == ["007", "008", "009"]
    assert parquet[0]["area"] == Decimal("12.345") and frame.schema["area"] == pl.Decimal(5, 3)
    assert parquet[0]["at"].isoformat() == "2026-04-01T00:00:00.250000+00:00"
    assert (parquet[2]["size"], parquet[2]["open"]) == (None, None)
    geo = json.loads(pl.read_parquet_metadata(tmp_path / "x.parquet")["geo"])
    assert geo["columns"]["geometry"]["geometry_types"] == ["Point"]
    assert geo["columns"]["geometry"]["bbox"] == [135.5, 34.7, 135.51, 34.71]
    assert shapely.from_wkb(frame["geometry"][0]).wkt == "POINT (135.5 34.7)"
    cells = [[cell.value for cell in line] for line in book["records"].iter_rows()]
    assert cells[0] == [name for name in wanted[0]]
    assert cells[1][:5] == ["007", wanted[0]["name"], -5, 12.345, True]
    assert cells[1][5].date().isoformat() == "2026-04-01"
    assert (cells[2][5], cells[1][6]) == ("1890-01-01", wanted[0]["at"])
    named = dict(zip(about["fields"], columns, strict=True))
    assert (about["crs"], named["no"].tolist()) == ("EPSG:4326", ["007", "008", "009"])
    assert named["name"].tolist() == [row["name"] for row in wanted]
    assert named["area"].tolist()[:2] == [12.345, 0.5]
    assert shapely.from_wkb(shapes[1]).wkt.startswith("POINT (135.51 34.71")
    assert shapes[2] is None


async def test_no_cell_of_a_workbook_or_of_the_csv_for_excel_is_a_formula(
    client: httpx.AsyncClient, parks: str, tmp_path: Path
) -> None:
    book = openpyxl.load_workbook(await file_of(client, tmp_path, parks, ".xlsx"))
    excel = await client.get(address(parks, "-excel.csv"))

    cells = [cell for line in book["records"].iter_rows() for cell in line]
    assert [cell.value for cell in cells if cell.data_type == "f"] == []
    assert excel.content.startswith("\ufeff".encode())
    rows = list(csv.reader(io.StringIO(excel.content.decode("utf-8-sig"), newline="")))
    assert rows[2][1] == "'" + ROWS[1]["name"]
    assert (rows[1][2], rows[1][1]) == ("-5", ROWS[0]["name"])


async def test_tiles_open_in_the_readers_that_exist(
    client: httpx.AsyncClient, parks: str, tmp_path: Path
) -> None:
    from pmtiles.reader import MmapSource, Reader  # noqa: PLC0415

    archive = await file_of(client, tmp_path, parks, ".pmtiles")

    with archive.open("rb") as file:
        header = Reader(MmapSource(file)).header()
        metadata = Reader(MmapSource(file)).metadata()
    about, _, shapes, columns = pyogrio.raw.read(archive)
    named = dict(zip(about["fields"], columns, strict=True))
    assert (header["version"], header["max_zoom"], metadata["name"]) == (3, 14, "公園一覧")
    assert metadata["features_left_out"] == 0
    assert sorted(named["no"]) == ["007", "008"]
    assert sorted(named["mvt_id"]) == [1, 2]
    assert len(shapes) == 2


async def test_a_geopackage_is_sound_for_sqlite(
    client: httpx.AsyncClient, parks: str, tmp_path: Path
) -> None:
    package = await file_of(client, tmp_path, parks, ".gpkg")

    base = sqlite3.connect(package)
    try:
        told = base.execute("PRAGMA application_id").fetchone()
        sound = base.execute("PRAGMA integrity_check").fetchone()
        listed = base.execute("SELECT table_name, data_type FROM gpkg_contents").fetchall()
    finally:
        base.close()

    assert (told, sound) == ((0x47504B47,), ("ok",))
    assert listed == [(parks, "features")]
