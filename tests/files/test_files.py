"""Ready-made files of published versions: made by the worker, decided by the broker, sent by HTTP."""

import asyncio
import csv
import hashlib
import io
import json
import sqlite3
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import openpyxl
import polars as pl
import psutil
import pyogrio
import pytest
import pytest_asyncio
import shapely
from fastapi import FastAPI

from app.api.state import Platform
from app.audit.events import Event
from app.models.parties import Role
from app.tasks.files import keep_up, make_files
from tests.api.test_exports import hang_up
from tests.serving import served
from tests.stock import PURPOSE, Spec, against_the_rules, path, put, stocked
from tests.world import KENKO, SAKAI, World

SPECS: tuple[Spec, ...] = (
    ("no", "code", {"key": True}),
    ("name", "text"),
    ("size", "integer"),
    ("area", "decimal"),
    ("open", "boolean"),
    ("day", "date"),
    ("at", "datetime"),
    ("lat", "latitude"),
    ("lon", "longitude"),
    ("inside", "text", {"visibility": "internal"}),
)
ROWS: list[dict[str, Any]] = [
    {
        "no": "007", "name": '第一 "公園"\n\t北, \\側', "size": -5, "area": 12.345, "open": True,
        "day": "2026-04-01", "at": "2026-04-01T09:00:00.25+09:00", "lat": 34.7, "lon": 135.5,
        "inside": "庁内",
    },
    {"no": "008", "name": "=cmd|' /C calc'!A1", "size": None, "area": 0.5, "open": False,
     "day": "1890-01-01", "at": None, "lat": 34.71, "lon": 135.51, "inside": None},
    {"no": "009", "name": "", "lat": None, "lon": None},
]  # fmt: skip
SIZE = 200 << 20
ALL = {"csv", "csv-excel", "geojson", "parquet", "xlsx", "geopackage", "pmtiles"}


async def made(world: World, dataset: str, number: int = 1) -> dict[str, Any]:
    """Have the files of a version made; the list."""
    await make_files(world.platform.database, world.platform.store, dataset, number)
    world.platform.live.changed("dataset", dataset)
    return (await world.client.get(f"/v1/datasets/{dataset}/files")).json()


def address(dataset: str, suffix: str) -> str:
    return f"/v1/datasets/{dataset}/files/{dataset}{suffix}"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def parks(platform: Platform, client: httpx.AsyncClient) -> str:
    """A public dataset with its files made."""
    world = World(platform, client)
    await world.start()
    dataset = await stocked(world, ROWS, SPECS)
    await platform.database.pool.execute(
        "UPDATE dataset SET title_ja = '公園一覧' WHERE id = $1", dataset
    )
    await made(world, dataset)
    return dataset


async def file_of(client: httpx.AsyncClient, tmp_path: Path, dataset: str, suffix: str) -> Path:
    answer = await client.get(address(dataset, suffix))
    assert answer.status_code == 200, answer.text
    target = tmp_path / f"x{suffix}"
    target.write_bytes(answer.content)
    return target


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


async def test_a_download_asks_no_database_and_is_counted(
    client: httpx.AsyncClient, world: World, parks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.get(address(parks, ".csv"))
    before = dict(world.platform.files._recorder._usage._counts)

    def asked(*_given: object, **_named: object) -> None:
        raise AssertionError("the database was asked")

    with monkeypatch.context() as cut:
        cut.setattr(world.platform.database, "reading", asked)
        cut.setattr(type(world.platform.database.pool), "acquire", asked)
        answer = await client.get(address(parks, ".csv"))

    assert answer.status_code == 200
    assert dict(world.platform.files._recorder._usage._counts) != before
    assert await world.log(Event.RECORDS_READ) == []


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-4", 206, slice(0, 5)),
        ("bytes=5-", 206, slice(5, None)),
        ("bytes=-3", 206, slice(-3, None)),
        ("bytes=0-999999", 206, slice(0, None)),
        ("bytes=999999-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=4-2", 200, slice(None)),
        ("bytes=0-1,3-4", 200, slice(None)),
        ("bytes=²-4", 200, slice(None)),
        ("lines=0-4", 200, slice(None)),
    ],
)
async def test_a_part_is_what_its_range_names(
    client: httpx.AsyncClient, parks: str, asked: str, status: int, part: slice | None
) -> None:
    whole = (await client.get(address(parks, ".csv"))).content

    answer = await client.get(address(parks, ".csv"), headers={b"Range": asked.encode()})

    assert answer.status_code == status
    if part is None:
        assert answer.headers["content-range"] == f"bytes */{len(whole)}"
        assert answer.json()["code"] == "range_not_satisfiable"
    else:
        assert answer.content == whole[part]


async def test_conditions_are_kept(client: httpx.AsyncClient, parks: str) -> None:
    url = address(parks, ".csv")
    first = await client.get(url)
    etag, modified = first.headers["etag"], first.headers["last-modified"]
    part = {"Range": "bytes=0-1"}

    same = await client.get(url, headers={"If-None-Match": f'"x", {etag}'})
    since = await client.get(url, headers={"If-Modified-Since": modified})
    fits = await client.get(url, headers={**part, "If-Range": etag})
    fits_not = await client.get(url, headers={**part, "If-Range": '"other"'})
    by_time = await client.get(url, headers={**part, "If-Range": modified})
    nonsense = await client.get(url, headers={"If-Modified-Since": "yesterday"})
    head = await client.head(url)

    assert [same.status_code, since.status_code] == [304, 304]
    assert [fits.status_code, fits_not.status_code, by_time.status_code] == [206, 200, 206]
    assert nonsense.status_code == 200
    assert (head.content, head.headers["content-length"]) == (b"", str(len(first.content)))
    assert first.headers["accept-ranges"] == "bytes"
    told = first.headers["content-disposition"]
    assert "filename*=UTF-8''%E5%85%AC%E5%9C%92%E4%B8%80%E8%A6%A7.csv" in told
    assert told.isascii()


async def test_curl_resumes_a_download(app: FastAPI, parks: str, tmp_path: Path) -> None:
    target = tmp_path / "x.csv"
    async with served(app) as port:
        url = f"http://127.0.0.1:{port}{address(parks, '.csv')}"

        async def curl(*words: str) -> bytes:
            child = await asyncio.create_subprocess_exec(
                "curl", "-sS", "--fail", *words, url, stdout=asyncio.subprocess.PIPE
            )
            said, _ = await child.communicate()
            assert child.returncode == 0
            return said

        whole = await curl()
        target.write_bytes(whole[:7])
        await curl("-C", "-", "-o", str(target))
        middle = await curl("-r", "3-9")

    assert target.read_bytes() == whole
    assert middle == whole[3:10]


async def test_names_from_outside_reach_no_other_file(
    client: httpx.AsyncClient, parks: str
) -> None:
    for name in (
        "..%2f..%2fsecret.key",
        "%2e%2e",
        f"{parks}-v1-r1.csv%00",
        "公園.csv",
        ".incoming",
    ):
        answer = await client.get(f"/v1/datasets/{parks}/files/{name}")
        assert answer.status_code == 404, name
    hidden = await client.get(f"/v1/datasets/{parks}/files/{parks}-v9.csv")
    assert hidden.json()["code"] == "file_not_found"


async def test_a_taker_of_one_byte_a_second_holds_no_connection_and_no_memory(
    app: FastAPI, client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [{"no": "1"}])
    await made(world, dataset)
    (large,) = Path(world.platform.store.place).glob(f"{dataset}/v1/*/records.csv")
    with large.open("r+b") as file:
        file.truncate(SIZE)
    await world.platform.database.pool.execute(
        "UPDATE version_file SET size = $2 WHERE dataset_id = $1", dataset, SIZE
    )
    world.platform.live.changed("dataset", dataset)
    before = psutil.Process().memory_info().rss
    async with served(app) as port:
        taking, giving = await asyncio.open_connection("127.0.0.1", port, limit=4_096)
        giving.write(f"GET {address(dataset, '.csv')} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await taking.readexactly(100)
        await asyncio.sleep(0.3)
        pool = world.platform.database.pool
        grown = psutil.Process().memory_info().rss - before
        busy = pool.get_size() - pool.get_idle_size()
        page = await client.get(path(dataset), params={"limit": "1"})
        await hang_up(giving)

    assert busy == 0
    assert grown < 8 << 20
    assert page.status_code == 200


async def test_withdrawn_is_gone_at_once_and_hidden_is_not_found(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS[:1], SPECS)
    await made(world, dataset)
    secret = await stocked(world, ROWS[:1], SPECS, data_class="internal", hidden=True)
    await make_files(world.platform.database, world.platform.store, secret, 1)
    pool = world.platform.database.pool
    await pool.execute(
        "UPDATE dataset SET state = 'withdrawn', withdrawn_reason = '誤り' WHERE id = $1", dataset
    )
    world.platform.live.changed("dataset", dataset)

    gone = await client.get(address(dataset, ".csv"))
    unlisted = await client.get(f"/v1/datasets/{dataset}/files")
    unknown = await client.get(address(secret, ".csv"))

    assert (gone.status_code, gone.json()["code"]) == (410, "dataset_withdrawn")
    assert unlisted.status_code == 410
    assert (unknown.status_code, unknown.json()["code"]) == (404, "dataset_not_found")


async def test_an_internal_file_needs_its_right_and_stands_in_the_log(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS, SPECS, data_class="internal")
    await make_files(world.platform.database, world.platform.store, dataset, 1)
    scope = f"dataset:{dataset}:read"
    url, purpose = address(dataset, ".csv"), {"purpose": PURPOSE}

    nobody = await client.get(url, params=purpose)
    stranger = await client.get(
        url,
        params=purpose,
        headers=await world.token(await world.party(SAKAI, Role.DEVELOPER), "agreements:write"),
    )
    own = await world.token(await world.party(KENKO), scope)
    first = await client.get(url, params=purpose, headers=own)
    without = await client.get(url, headers=own)
    head = await client.head(url, params=purpose, headers=own)

    assert [nobody.status_code, stranger.status_code, first.status_code] == [401, 403, 200]
    assert "resource_metadata" in nobody.headers["www-authenticate"]
    assert without.json()["code"] == "purpose_required"
    assert "inside" in first.text
    assert first.headers["cache-control"] == "private, no-cache"
    reads = await world.log(Event.RECORDS_READ)
    assert [(read["rows"], read["file"]) for read in reads] == [
        (3, f"{dataset}-v1-r1.csv"), (0, f"{dataset}-v1-r1.csv"),
    ]  # fmt: skip
    assert first.headers["linkage-receipt"] and head.status_code == 200
    assert len(await world.log(Event.RECORDS_REFUSED)) == 3


async def test_no_files_of_restricted_data_are_kept(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS, SPECS, data_class="restricted")
    platform = world.platform
    await make_files(platform.database, platform.store, dataset, 1)
    own = await world.token(await world.party(KENKO), f"dataset:{dataset}:read")

    listed = await client.get(
        f"/v1/datasets/{dataset}/files", params={"purpose": PURPOSE}, headers=own
    )
    asked = await client.get(address(dataset, ".csv"), params={"purpose": PURPOSE}, headers=own)

    assert listed.json()["files"] == []
    assert {each["code"] for each in listed.json()["absent"]} == {"class_not_kept"}
    assert (asked.status_code, asked.json()["code"]) == (404, "file_not_made")
    assert not list(Path(platform.store.place).glob(f"{dataset}/**/*.csv"))


async def test_what_becomes_restricted_loses_its_files(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS[:1], SPECS)
    await made(world, dataset)
    platform = world.platform
    kept = list(Path(platform.store.place).glob(f"{dataset}/**/*.csv"))
    await platform.database.pool.execute(
        "UPDATE dataset SET data_class = 'restricted' WHERE id = $1", dataset
    )
    platform.live.changed("dataset", dataset)

    at_once = await client.get(address(dataset, ".csv"))
    await keep_up(platform.database, platform.store)

    assert at_once.status_code == 401
    assert kept and not Path(platform.store.place, dataset).exists()


async def test_records_without_a_place_have_no_map_forms_and_the_list_says_why(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [{"no": "1", "name": "長" * 40_000}])

    listed = await made(world, dataset)
    asked = await client.get(address(dataset, ".gpkg"))

    assert {file["format"] for file in listed["files"]} == {"csv", "csv-excel", "parquet"}
    assert {each["format"]: each["code"] for each in listed["absent"]} == {
        "geojson": "no_geometry", "geopackage": "no_geometry", "pmtiles": "no_geometry",
        "xlsx": "cell_too_long",
    }  # fmt: skip
    assert asked.json()["code"] == "file_not_made"


async def test_written_records_get_new_files_and_the_old_ones_stay_for_a_while(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [{"no": "1", "name": "前"}])
    before = await made(world, dataset)
    await put(world, dataset, [{"no": "2", "name": "後"}])
    pool = world.platform.database.pool

    still = (await client.get(address(dataset, ".csv"))).text
    await keep_up(world.platform.database, world.platform.store)  # too early: made just now
    soon = (await client.get(address(dataset, ".csv"))).text
    await pool.execute(
        "UPDATE version_file SET made_at = made_at - interval '1 hour' WHERE dataset_id = $1",
        dataset,
    )
    await keep_up(world.platform.database, world.platform.store)
    world.platform.live.changed("dataset", dataset)
    after = (await client.get(address(dataset, ".csv"))).text
    old = await client.get(before["files"][0]["href"])
    await pool.execute(
        "UPDATE version_file SET made_at = made_at - interval '2 days' WHERE dataset_id = $1",
        dataset,
    )
    await keep_up(world.platform.database, world.platform.store)
    world.platform.live.changed("dataset", dataset)
    older = await client.get(before["files"][0]["href"])

    assert "後" not in still and soon == still
    assert "後" in after
    assert (old.status_code, older.status_code) == (200, 404)


@pytest.mark.usefixtures("files_worker")
async def test_publishing_has_the_files_made_and_letting_the_version_go_removes_them(
    client: httpx.AsyncClient, world: World
) -> None:
    from tests.versioned import publish  # noqa: PLC0415

    dataset = await world.dataset(data_class="public", columns=())
    pool = world.platform.database.pool
    await pool.execute(
        "UPDATE dataset SET license = 'CC-BY-4.0', fields = NULL WHERE id = $1", dataset
    )
    steward = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
    await publish(world, steward, dataset)
    name = f"/v1/datasets/{dataset}/files/{dataset}-v1.csv"

    async with asyncio.timeout(30):
        while (answer := await client.get(name)).status_code != 200:
            assert answer.json()["code"] in ("file_not_found", "file_not_ready")
            await asyncio.sleep(0.05)
    await pool.execute("UPDATE version_file SET removed_at = now() WHERE dataset_id = $1", dataset)
    world.platform.live.changed("dataset", dataset)
    ended = await client.get(name)

    assert answer.text.startswith("no,name,size\n1,a,1\n")
    assert ended.status_code == 404


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def files_worker(platform: Platform) -> AsyncIterator[None]:
    """A worker that makes files too."""
    from app.tasks.worker import work  # noqa: PLC0415

    stop = asyncio.Event()
    working = asyncio.create_task(work(platform.database, stop, store=platform.store))
    yield
    stop.set()
    await working


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


async def test_behind_an_nginx_the_bytes_are_left_to_it(
    client: httpx.AsyncClient, world: World, parks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.platform, "accel_prefix", "/inside/")

    answer = await client.get(address(parks, ".csv"))

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["x-accel-redirect"] == f"/inside/{parks}/v1/r1/records.csv"
    assert answer.headers["content-type"].startswith("text/csv")


async def test_what_others_may_not_see_is_in_no_file_that_they_get(
    client: httpx.AsyncClient, world: World
) -> None:
    hidden: tuple[Spec, ...] = (
        *SPECS[:7],
        ("lat", "latitude", {"visibility": "internal"}),
        ("lon", "longitude", {"visibility": "internal"}),
    )
    rows = [{name: value for name, value in ROWS[0].items() if name != "inside"}]
    dataset = await stocked(world, rows, hidden)

    listed = await made(world, dataset)
    await against_the_rules(  # what was public is so no longer
        world,
        """UPDATE version SET fields = jsonb_set(fields, '{1,visibility}', '"internal"')
        WHERE dataset_id = $1""",
        dataset,
    )
    world.platform.live.changed("dataset", dataset)
    after = await client.get(address(dataset, ".csv"))
    relisted = (await client.get(f"/v1/datasets/{dataset}/files")).json()

    assert {each["format"] for each in listed["absent"]} == {"geojson", "geopackage", "pmtiles"}
    assert (after.status_code, after.json()["code"]) == (403, "column_not_visible")
    assert relisted["files"] == []
    assert len(await world.log(Event.RECORDS_REFUSED)) == 1
