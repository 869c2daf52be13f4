"""The open-data shelf: a city's own file, published once, is read alike by everybody's own clients.

Rows R21, R20, R03. The file is one that Yaizu City publishes; it is read in place.
"""

import asyncio
import csv
import io
import multiprocessing
import os
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import ckanapi
import feedparser
import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from app.api.state import Platform
from app.kit.settings import Settings
from app.models.parties import Role
from app.tasks.worker import Crew, work
from tests.ogc import gdal
from tests.serving import served
from tests.world import KENKO, World

DATA = Path(os.environ.get("URBANOS_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
FILE = DATA / "yaizu" / "csv" / "222127_public_toilet.csv"
pytestmark = [
    pytest.mark.skipif(not FILE.exists(), reason=f"left out: {FILE} (URBANOS_REAL_DATA)"),
    # Of the Atom reader's own insides.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:feedparser"),
]
DATASET = "public-toilets"
RECORDS = f"/v1/datasets/{DATASET}/records"
CSV = f"/v1/datasets/{DATASET}/files/{DATASET}.csv"
COUNT = 112
REASON = "施設の再編により公開を終了"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Of a server whose public address is a free port: clients follow its links."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return Settings(home=tmp_path_factory.mktemp("home"), public_url=f"http://127.0.0.1:{port}")


@pytest.fixture(scope="module")
def process() -> Iterator[ProcessPoolExecutor]:
    """Where GDAL runs: it holds the interpreter while it waits."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@dataclass(frozen=True, slots=True)
class Shelf:
    """A listening server with the dataset on its shelf, and its steward."""

    url: str
    steward: dict[str, str]
    unlicensed: httpx.Response
    ids: list[str]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shelf(
    app: FastAPI, platform: Platform, client: httpx.AsyncClient, settings: Settings
) -> AsyncIterator[Shelf]:
    """The steward's part: register, load, choose a licence, publish; and files are made."""
    world = World(platform, client)
    await world.start()
    stop = asyncio.Event()
    working = asyncio.create_task(work(platform.database, stop, Crew(store=platform.store)))
    steward = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
    async with served(app, urlsplit(settings.issuer).port or 0):
        yield await play(world, client, settings.issuer, steward)
    stop.set()
    await working


async def play(world: World, client: httpx.AsyncClient, url: str, steward: dict[str, str]) -> Shelf:
    entry = {
        "id": DATASET,
        "title_ja": "公衆トイレ一覧",
        "steward": {"name": "環境課"},
        "data_class": "public",
        "update_frequency": "annual",
    }
    registered = await client.post("/v1/datasets", json=entry, headers=steward)
    assert registered.status_code == 201, registered.text
    run = await world.load(steward, DATASET, FILE.read_bytes())
    publish = f"/v1/datasets/{DATASET}/versions/{run['version_number']}/publish"
    unlicensed = await client.post(publish, headers=steward)
    licence = {"license": "CC-BY-4.0"}
    await client.patch(f"/v1/datasets/{DATASET}", json=licence, headers=steward)
    await world.publish(steward, run)
    async with asyncio.timeout(60):
        while (await client.get(f"/v1/datasets/{DATASET}/files")).json()["absent"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    found = await client.get(RECORDS, params={"fields": "id", "limit": "10000"})
    return Shelf(url, steward, unlicensed, [row["id"] for row in found.json()["records"]])


async def curl(*words: str) -> bytes:
    """What curl gives."""
    command = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--fail", *words, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(command.communicate(), 30)
    assert command.returncode == 0
    return out


async def test_publishing_takes_a_licence_and_every_row_of_the_citys_file_is_there(
    shelf: Shelf,
) -> None:
    assert (shelf.unlicensed.status_code, shelf.unlicensed.json()["code"]) == (
        422, "license_missing",
    )  # fmt: skip
    assert len(set(shelf.ids)) == len(shelf.ids) == COUNT


async def test_ckanapi_finds_the_dataset_in_kana_and_reads_the_same_ids(shelf: Shelf) -> None:
    def asked() -> list[str]:
        with ckanapi.RemoteCKAN(shelf.url) as remote:
            (package,) = remote.action.package_search(q="ﾄｲﾚ")["results"]
            (table,) = [each for each in package["resources"] if each["datastore_active"]]
            found = remote.action.datastore_search(resource_id=table["id"], limit=1000)
            return [row["id"] for row in found["records"]]

    assert await asyncio.to_thread(asked) == shelf.ids


async def test_gdal_reads_the_same_ids_from_the_ogc_door(
    shelf: Shelf, process: ProcessPoolExecutor
) -> None:
    address = f"OAPIF:{shelf.url}/ogc"

    reading = asyncio.get_running_loop().run_in_executor(
        process, gdal.read, address, DATASET, {"PAGE_SIZE": "50"}
    )
    found = await asyncio.wait_for(reading, 60)

    assert sorted(each["id"] for each in found) == sorted(shelf.ids)
    assert all(each["wkt"].startswith("POINT (138.") for each in found)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_curl_goes_on_where_it_was_cut_off_and_has_the_same_ids(
    shelf: Shelf, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    target = tmp_path / "toilets.csv"
    target.write_bytes(await curl("-r", "0-999", shelf.url + CSV))

    await curl("-C", "-", "-o", str(target), shelf.url + CSV)

    rows = csv.DictReader(io.StringIO(target.read_text("utf-8-sig")))
    assert [row["id"] for row in rows] == shelf.ids
    assert target.read_bytes() == (await client.get(CSV)).content


async def test_the_figures_of_a_group_are_those_of_the_records(
    shelf: Shelf, client: httpx.AsyncClient
) -> None:
    path = f"/v1/datasets/{DATASET}/aggregate"
    asked = {"group_by": "mesh3(geometry)", "f": "csv"}

    answer = await client.get(path, params=asked)

    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert sum(int(row["count"]) for row in rows) == COUNT
    assert all(row["mesh3(geometry)"].startswith("52") for row in rows)


async def test_a_feed_reader_and_a_person_find_the_dataset_its_licence_and_its_workbook(
    shelf: Shelf, client: httpx.AsyncClient
) -> None:
    page = f"{shelf.url}/opendata/datasets/{DATASET}"

    feed = feedparser.parse((await client.get("/opendata/feed.atom")).content)
    shown = (await client.get(page, headers={"Accept": "text/html"})).text

    assert page in [entry.link for entry in feed.entries]
    assert "CC-BY-4.0" in shown
    assert f'href="{shelf.url}/v1/datasets/{DATASET}/files/{DATASET}.xlsx">Excel' in shown


async def test_what_is_withdrawn_is_gone_from_every_outlet_with_the_reason(
    shelf: Shelf, client: httpx.AsyncClient
) -> None:
    paths = {
        RECORDS: 410,
        f"/v1/datasets/{DATASET}/aggregate": 410,
        f"/v1/datasets/{DATASET}/changes": 410,
        f"/v1/datasets/{DATASET}/files": 410,
        CSV: 410,
        f"/ogc/collections/{DATASET}": 410,
        f"/ogc/collections/{DATASET}/items": 410,
        f"/opendata/datasets/{DATASET}": 410,
        f"/opendata/datasets/{DATASET}.ttl": 410,
        f"/opendata/datasets/{DATASET}/croissant.json": 410,
        f"/api/3/action/package_show?id={DATASET}": 404,  # CKAN's clients know no 410
    }
    lists = (
        "/opendata/catalog.jsonld", "/opendata/data.json", "/api/3/action/package_list",
        "/ogc/collections", "/sitemaps/1.xml",
    )  # fmt: skip
    withdraw = f"/v1/datasets/{DATASET}/withdraw"

    before = [DATASET in (await client.get(path)).text for path in lists]
    ended = await client.post(withdraw, json={"reason": REASON}, headers=shelf.steward)
    told = {path: await client.get(path) for path in paths}
    after = [DATASET in (await client.get(path)).text for path in lists]
    feed = (await client.get("/opendata/feed.atom")).text
    await client.post(
        f"/v1/datasets/{DATASET}/reinstate", json={"reason": "誤り"}, headers=shelf.steward
    )
    again = {path: (await client.get(path)).status_code for path in paths}

    assert ended.status_code == 200, ended.text
    assert {path: answer.status_code for path, answer in told.items()} == paths
    assert [path for path, answer in told.items() if REASON not in answer.text] == []
    assert (before, after) == ([True] * len(lists), [False] * len(lists))
    assert f'deleted-entry ref="{shelf.url}/opendata/datasets/{DATASET}"' in feed
    assert REASON in feed
    assert set(again.values()) == {200}
