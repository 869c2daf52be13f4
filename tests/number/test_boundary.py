"""The individual number at every way in: refused, and found nowhere afterwards (R11)."""

import asyncio
import base64
import io
import json
import logging
import tempfile
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import numpy
import pyogrio
import pytest
import shapely
import structlog
import xlsxwriter

from app.api.state import Platform
from app.audit.events import Event
from app.formats.individual_number import masked_json
from app.kit.settings import Settings
from app.models.parties import Role
from tests.number.searched import HYPHENED, PROBE, SPACED, WIDE, in_database, in_folders
from tests.secret_watch import SecretWatch
from tests.stock import Spec, path, stocked
from tests.world import KENKO, World

CODE = "individual_number_refused"
SPECS: tuple[Spec, ...] = (
    ("no", "code", {"key": True, "label": "番号"}),
    ("name", "text", {"label": "名称"}),
    ("note", "text", {"label": "備考"}),
)
ENCODED = "".join(f"%{ord(digit):x}" for digit in PROBE)
FORMS = [PROBE, WIDE, SPACED, HYPHENED, "1234－5678－9018", f"架空{PROBE}番", "1234 5678-9018"]


@pytest.fixture(autouse=True, scope="module")
def _askers_own_log() -> Iterator[None]:
    """What the asking side of these tests writes of its own addresses is no log of ours."""
    asking = logging.getLogger("httpx")
    asking.setLevel(logging.WARNING)
    yield
    asking.setLevel(logging.NOTSET)


async def nowhere(platform: Platform, settings: Settings) -> None:
    """The number is in no table and in no file."""
    assert await in_database(platform.database.pool) == []
    assert await asyncio.to_thread(in_folders, settings.home) == []


def refused(response: httpx.Response, *places: str) -> None:
    assert response.status_code == 422, response.text
    assert (response.headers["content-type"], response.json()["code"]) == (
        "application/problem+json",
        CODE,
    )
    assert all(place in response.json()["detail"] for place in places), response.text
    assert not any(form in response.text for form in (PROBE, WIDE, SPACED, HYPHENED))


async def steward(world: World) -> tuple[str, dict[str, str]]:
    dataset = await stocked(world, [], SPECS)
    party = await world.party(KENKO, Role.STEWARD)
    return dataset, await world.token(party, f"catalogue:write dataset:{dataset}:write")


@pytest.mark.parametrize("form", FORMS)
async def test_a_record_that_holds_a_number_is_refused_by_pointer_and_kept_nowhere(
    client: httpx.AsyncClient,
    world: World,
    platform: Platform,
    settings: Settings,
    form: str,
) -> None:
    dataset, headers = await steward(world)
    records = [{"no": "P-1", "name": "架空"}, {"no": "P-2", "name": form}]

    response = await client.post(path(dataset), json=records, headers=headers)

    refused(response, "/1/name")
    assert [error["pointer"] for error in response.json()["errors"]] == ["/1/name"]
    assert [(entry["code"], entry["where"]) for entry in await world.log(Event.CALL_REFUSED)] == [
        (CODE, "/1/name of the body")
    ]
    await nowhere(platform, settings)


@pytest.mark.parametrize(
    ("body", "place"),
    ids=range(9),
    argvalues=[
        (b'[{"no": "P-1", "name": 123456789018}]', "/0/name"),
        (b'[{"no": "P-1", "name": 123456789018.0}]', "/0/name"),
        (b'[{"no": "P-1", "name": 1.23456789018e11}]', "/0/name"),
        (rb'[{"no": "P-1", "name": "\u0031\uff12\u0033456789018"}]', "/0/name"),
        (b'[{"no": "P-1", "name": "1234 5678", "note": "9018"}]', "/0/note"),
        (b'[{"no": "P-1", "name": "1234", "note": "5678-9018"}]', "/0/note"),
        (b"[" * 1_000 + b'"123456789018"' + b"]" * 1_000, "/0/0/0/0"),
        (b'[{"no": "P-1", "123456789018": "x"}]', "/0/************"),
        (b'[{"no": "P-1", "name": "123456789018"', "line 1"),
    ],
)
async def test_however_json_writes_it(
    client: httpx.AsyncClient, world: World, body: bytes, place: str
) -> None:
    dataset, headers = await steward(world)

    response = await client.post(
        path(dataset), content=body, headers={**headers, "Content-Type": "application/json"}
    )

    refused(response, place)


async def test_a_number_cut_between_two_pieces_of_a_large_body_is_seen(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, headers = await steward(world)
    rows = [{"no": f"P-{at}", "name": "架空" * 20} for at in range(9_000)]
    whole = json.dumps([*rows, {"no": "P-X", "name": PROBE}]).encode()

    async def pieces() -> AsyncIterator[bytes]:
        cut = whole.index(PROBE.encode()) + 7
        yield whole[:cut]
        yield whole[cut:]

    response = await client.post(
        path(dataset), content=pieces(), headers={**headers, "Content-Type": "application/json"}
    )

    refused(response, "/9000/name")


@pytest.mark.parametrize("size", [1, 2, 7, 1_000])
async def test_a_number_over_two_values_is_seen_however_the_body_is_cut(
    client: httpx.AsyncClient, world: World, size: int
) -> None:
    dataset, headers = await steward(world)
    whole = b'[{"no": "P-1", "name": " 1234 5678 " , "note": "9018"}]'

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(whole), size):
            yield whole[at : at + size]

    response = await client.post(
        path(dataset), content=pieces(), headers={**headers, "Content-Type": "application/json"}
    )

    refused(response, "/0/note")


@pytest.mark.parametrize("name", ["Client-Cert", "X-SSL-Client-Cert"])
async def test_in_a_certificate_that_a_gateway_hands_on_digits_come_by_chance(
    client: httpx.AsyncClient, name: str
) -> None:
    response = await client.get("/v1/datasets", headers={name: f":{PROBE}:"})

    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    ("method", "address", "told", "place"),
    [
        ("GET", "/v1/datasets/{id}/records?name={n}", {}, "query"),
        ("GET", "/v1/datasets/{id}/records?name=%31%32%33456789018", {}, "query"),
        ("GET", "/v1/datasets/{id}/records?name=1234+5678+9018", {}, "query"),
        ("GET", "/v1/datasets/{id}/records/{n}", {}, "path"),
        ("DELETE", "/v1/datasets/{id}/records/{n}", {}, "path"),
        ("GET", "/ogc/collections/{n}/items", {}, "path"),
        ("GET", "/{n}", {}, "path"),
        ("GET", "/v1/datasets", {"headers": {"X-Resident": PROBE}}, "header x-resident"),
        ("GET", "/v1/datasets", {"headers": {"X-Request-ID": PROBE}}, "header x-request-id"),
        ("GET", "/v1/datasets", {"headers": {"User-Agent": "a " + SPACED}}, "header user-agent"),
        ("GET", "/v1/datasets", {"headers": {"X-Resident": quote(WIDE)}}, "header x-resident"),
        ("GET", "/v1/datasets", {"headers": {"X-Resident": quote(SPACED)}}, "header x-resident"),
        ("GET", "/v1/datasets", {"headers": {"X-Resident": ENCODED}}, "header x-resident"),
        ("POST", "/v1/datasets", {"json": {"title": f"架空の台帳 {PROBE}"}}, "/title"),
        ("POST", "/v1/access-requests", {"json": {"reason": "児童 " + WIDE}}, "/reason"),
        ("POST", "/oauth/token", {"data": {"grant_type": "x", "scope": SPACED}}, "scope"),
        ("POST", "/oauth/token", {"data": {"client_id": PROBE}}, "client_id"),
        ("POST", "/api/3/action/package_search", {"json": {"q": PROBE}}, None),
    ],
)
async def test_no_address_header_or_body_may_hold_one(
    client: httpx.AsyncClient,
    world: World,
    method: str,
    address: str,
    told: dict[str, Any],
    place: str | None,
) -> None:
    dataset, headers = await steward(world)
    told = {**told, "headers": {**headers, **told.get("headers", {})}}

    response = await client.request(method, address.format(id=dataset, n=PROBE), **told)

    if place is not None:
        refused(response, place)
    assert CODE in response.text and PROBE not in response.text
    assert PROBE not in str(response.headers)
    logged = await world.log(Event.CALL_REFUSED)
    assert [entry["code"] for entry in logged[-1:]] == [CODE] and PROBE not in str(logged)


async def test_the_form_of_a_page_is_refused_as_a_page(client: httpx.AsyncClient) -> None:
    response = await client.post("/sign-in", data={"email": PROBE, "password": "a"})

    assert response.status_code == 422
    assert CODE in response.text and PROBE not in response.text


async def test_the_name_of_a_file_is_looked_at_however_it_is_sent(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, headers = await steward(world)
    where = f"/v1/datasets/{dataset}/versions"
    told = f"dataset {_b64(dataset)},filename {_b64(WIDE + '.csv')}"
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "9", "Upload-Metadata": told}

    bare = await client.post(
        where,
        content=b"a",
        headers={**headers, "Content-Disposition": f"attachment; filename={PROBE}.csv"},
    )
    form = await client.post(where, files={"file": (f"{SPACED}.csv", b"a")}, headers=headers)
    parts = await client.post("/v1/uploads", headers={**headers, **tus})

    refused(bare, "content-disposition")
    refused(form, "the file's name")
    refused(parts, "the file's name")


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def csv(note: str, name: str = "架空") -> str:
    return f"番号,名称,備考\nP-1,架空,なし\nP-2,{name},{note}\n"


def zipped(content: bytes, name: str = "a.csv") -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return held.getvalue()


def workbook(note: object, *, beside: object = None, elsewhere: object = None) -> bytes:
    held = io.BytesIO()
    with xlsxwriter.Workbook(held, {"in_memory": True}) as book:
        sheet = book.add_worksheet("台帳")
        sheet.write_row(0, 0, ["番号", "名称", "備考"])
        sheet.write_row(1, 0, ["P-1", "架空", "なし"])
        sheet.write_row(2, 0, ["P-2", beside or "架空", note])
        if elsewhere is not None:
            book.add_worksheet("控え").write(0, 0, elsewhere)
    return held.getvalue()


def geopackage(layer: str) -> bytes:
    columns = [numpy.array([cell], dtype=object) for cell in ("P-1", "a", "b")]
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made.gpkg"
        pyogrio.raw.write(
            made, shapely.to_wkb([shapely.Point(135.5, 34.7)]), columns,
            numpy.array(["番号", "名称", "備考"], dtype=object), field_mask=None, layer=layer,
            driver="GPKG", geometry_type="Point", crs="EPSG:6668",
        )  # fmt: skip
        return made.read_bytes()


FILES: dict[str, tuple[bytes, str]] = {
    "plain": (csv(PROBE).encode(), "備考: 3"),
    "wide": (csv(WIDE).encode(), "備考: 3"),
    "spaced": (csv(SPACED).encode(), "備考: 3"),
    "hyphened": (csv(HYPHENED).encode(), "備考: 3"),
    "cp932": (csv(WIDE).encode("cp932"), "備考: 3"),
    "utf-16": (csv("１２３４　５６７８　９０１８").encode("utf-16"), "備考: 3"),
    "exponent": (csv("1.23456789018E+11").encode(), "備考: 3"),
    "heading": (csv("a").replace("備考", f"備考{PROBE}").encode(), ""),
    "title above": (f"{PROBE}の記録,,\n{csv('a')}".encode(), ""),
    "two cells": (csv("9018", "1234 5678").encode(), "名称 + 備考: 3"),
    "two cells, wide": (csv("５６７８　９０１８", "１２３４").encode(), "名称 + 備考: 3"),
    "cut columns": (b"no,name,note\n" + b"P,123456,789018\n" * 3, "名称 + 備考"),
    "rejected row": (f"番号,名称,備考\n,{PROBE},\nP-2,a,b\n".encode(), "名称: 2"),
    "zip": (zipped(csv(SPACED).encode()), "備考: 3"),
    "zip in zip": (zipped(zipped(csv(PROBE).encode()), "b.zip"), ""),
    "name in zip": (zipped(csv("a").encode(), f"{PROBE}.csv"), ""),
    "xlsx, text": (workbook(SPACED), "備考: 3"),
    "xlsx, number": (workbook(int(PROBE)), "備考: 3"),
    "xlsx, float": (workbook(float(PROBE)), "備考: 3"),
    "xlsx, two cells": (workbook(9018, beside="1234 5678"), "名称 + 備考: 3"),
    "xlsx, other sheet": (workbook("a", elsewhere=PROBE), ""),
    "gpkg, layer": (geopackage(f"台帳 {SPACED}"), "***"),
    "json": (b'[{"no":"P-1","name":"a","note":"\\u0031\\u003234 5678 9018"}]', ""),
}


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("name", FILES)
async def test_a_file_that_holds_one_fails_by_column_and_line_and_nothing_of_it_is_kept(
    world: World, platform: Platform, settings: Settings, name: str
) -> None:
    dataset, headers = await steward(world)
    content, place = FILES[name]
    if name == "cut columns":
        content = content.replace(b"no,name,note", "番号,名称,備考".encode())

    run = await world.load(headers, dataset, content)

    assert (run["state"], run["error_code"]) == ("failed", CODE), run
    assert place in run["error_en"] and place in run["error_ja"], run
    assert (run["version_number"], run["columns"], run["notices"]) == (None, None, [])
    assert run["table_name"] is None
    kept = await platform.database.pool.fetchrow(
        "SELECT u.size, u.sha256, (SELECT count(*) FROM upload_chunk c WHERE c.upload_id = u.id)"
        " AS chunks FROM upload u JOIN run r ON r.upload_id = u.id WHERE r.id = $1::uuid",
        run["id"],
    )
    assert kept is not None and tuple(kept.values()) == (len(content), "", 0)
    ended = (await world.log(Event.RUN_FINISHED))[-1]
    assert (ended["run"], ended["error"]) == (run["id"], CODE)
    await nowhere(platform, settings)


TOWN_CODES = [f"302010{at:03}{chome:03}" for at in range(1, 60) for chome in (0, 1, 2)]


@pytest.mark.usefixtures("worker")
async def test_a_column_of_twelve_digit_codes_is_loaded_and_a_number_among_them_is_not(
    world: World,
) -> None:
    dataset, headers = await steward(world)
    rows = [f"{code},架空町,\n" for code in TOWN_CODES]
    file = "番号,名称,備考\n" + "".join(rows)

    codes = await world.load(headers, dataset, file.encode())
    hidden = await world.load(headers, dataset, (file + f"{PROBE},架空町,\n").encode())

    assert (codes["state"], codes["rows_accepted"]) == ("ok", len(TOWN_CODES)), codes
    assert (hidden["state"], hidden["error_code"]) == ("failed", CODE)
    assert f"番号: {len(TOWN_CODES) + 2}" in hidden["error_en"]


async def test_an_entry_of_the_log_holds_none_whatever_is_told_to_it(
    world: World, platform: Platform
) -> None:
    await platform.log.write(
        Event.CALL_REFUSED, code="x", why=f"a {SPACED} b", path=f"/{PROBE}", named=[int(PROBE)]
    )

    (entry,) = await world.log(Event.CALL_REFUSED)
    assert (entry["why"], entry["path"]) == ("a **** **** **** b", "/************")
    assert entry["named"] == ["*" * 12]


def test_the_last_word_on_a_line_of_the_log_masks_numbers_and_leaves_all_else() -> None:
    held, plain = b'{"a":123456789018,"b":{"c":"x1234-5678-9018"}}', b'{"a":1.5,"b":"2026-11-29"}'

    assert masked_json(held) == b'{"a":"************","b":{"c":"x****-****-****"}}'
    assert masked_json(plain) is plain


def test_the_watch_over_the_suites_logs_sees_a_number(secret_watch: SecretWatch) -> None:
    logging.getLogger("of.a.test").debug("sent %s", WIDE)
    structlog.get_logger().debug("sent", number=int(PROBE))
    structlog.get_logger().debug("sent", number=PROBE[:-1] + "9", at=1.123456789018)

    found = secret_watch.take()  # taken here, so that this test does not fail by it

    assert [line.partition(",")[0] for line in found] == ["of.a.test", "structlog"]
