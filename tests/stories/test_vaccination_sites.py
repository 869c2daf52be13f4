"""Story 1: from a departmental Shift_JIS CSV to a map in a municipal app. All data is synthetic."""

import csv
import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from app.audit.events import Event
from app.kit import clock
from app.models.parties import Role
from tests.world import KENKO, World

pytestmark = pytest.mark.usefixtures("worker")
DATA = Path(__file__).parent / "data"
VENDOR = "vendor-kaku-yoyaku"
APP = "271403"  # the map app is Sakai's: a reader from another body
OPEN_TO_15 = "age_min <= 15 AND (age_max IS NULL OR age_max >= 15) AND availability.slots > 0"
HERE = {"lat": "34.7025", "lon": "135.4959", "expand": "availability"}


def sites_file() -> bytes:
    text = (DATA / "vaccine_sites_20220401.csv").read_text("utf-8")
    return text.replace("\n", "\r\n").encode("cp932")


def profile(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text("utf-8"))
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def story(platform: Any, client: httpx.AsyncClient, worker: None) -> dict[str, Any]:
    """The script's steps 1 to 4, once."""
    world = World(platform, client)
    await world.start()
    return await play(world, client)


async def play(world: World, client: httpx.AsyncClient) -> dict[str, Any]:
    steward = await world.party(KENKO, Role.STEWARD)
    catalogue = await world.token(steward, "catalogue:write agreements:write")

    # 1. profiles and datasets, as data
    for name in ("vaccination-site.v1", "vaccination-availability.v1"):
        added = await client.post("/v1/profiles", json=profile(name), headers=catalogue)
        assert added.status_code == 201, added.text
    shared = {
        "steward": {"name": "健康局 保健医療対策課"},
        "data_class": "public",
        "license": "CC-BY-4.0",
        "update_frequency": "monthly",
    }
    availability = {
        **shared,
        "id": "vaccination-availability",
        "title_ja": "予約の空き状況",
        "profile": {"name": "vaccination-availability", "version": 1},
    }
    sites = {
        **shared,
        "id": "vaccination-sites",
        "title_ja": "予防接種実施医療機関",
        "title_kana": "よぼうせっしゅじっしいりょうきかん",
        "profile": {"name": "vaccination-site", "version": 1},
        "mapping": json.loads((DATA / "vaccination-site.mapping.json").read_text("utf-8")),
        "license": None,
        "joins": [
            {
                "name": "availability",
                "dataset": "vaccination-availability",
                "here": "no",
                "there": "site_no",
                "as_of": "as_of",
                "stale_after_seconds": 900,
            }
        ],
    }
    for body in (availability, sites):
        registered = await client.post("/v1/datasets", json=body, headers=catalogue)
        assert registered.status_code == 201, registered.text

    # 2. the file and its run report
    run = await world.load(catalogue, "vaccination-sites", sites_file())

    # 3. the vendor's agreement, and its five rows
    vendor = await agreed_vendor(world, client, catalogue)
    now = clock.now()
    slots = [("1", 12, 0), ("2", 0, 0), ("3", 4, 0), ("4", 0, 0), ("5", 30, 40)]
    rows = [
        {"site_no": no, "slots": free, "as_of": (now - timedelta(minutes=old)).isoformat()}
        for no, free, old in slots
    ]
    pushed = await client.post(
        "/v1/datasets/vaccination-availability/records", json=rows, headers=vendor
    )
    assert pushed.status_code == 200, pushed.text
    assert pushed.json()["accepted"] == 5

    # 4. publication is an act, and needs a licence
    path = f"/v1/datasets/vaccination-sites/versions/{run['version_number']}/publish"
    refused = await client.post(path, headers=catalogue)
    assert (refused.status_code, refused.json()["code"]) == (422, "license_missing")
    await client.patch(
        "/v1/datasets/vaccination-sites", json={"license": "CC-BY-4.0"}, headers=catalogue
    )
    assert (await client.post(path, headers=catalogue)).status_code == 200
    return {"run": run, "vendor": vendor, "steward": catalogue}


async def agreed_vendor(
    world: World, client: httpx.AsyncClient, steward: dict[str, str]
) -> dict[str, str]:
    operator = await world.party("270008-smartcity", Role.OPERATOR)
    admin = await world.token(operator, "admin:write")
    added = await client.post(
        "/v1/admin/organizations",
        json={"id": VENDOR, "kind": "vendor", "name_ja": "架空予約株式会社"},
        headers=admin,
    )
    assert added.status_code == 201, added.text
    party = await world.party(VENDOR, Role.DEVELOPER)
    asking = await world.token(party, "agreements:write")
    asked = await client.post(
        "/v1/access-requests",
        json={
            "dataset": "vaccination-availability",
            "purpose": "health",
            "legal_basis": "業務委託契約（架空）",
            "actions": ["read", "write"],
        },
        headers=asking,
    )
    assert asked.status_code == 201, asked.text
    approved = await client.post(
        f"/v1/access-requests/{asked.json()['id']}/approve", json={}, headers=steward
    )
    assert approved.status_code < 300, approved.text
    return await world.token(party, "dataset:vaccination-availability:write")


def numbers(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [record["no"] for record in response.json()["records"]]


async def test_the_run_report_says_what_was_accepted_and_why_three_rows_were_not(
    story: dict[str, Any], client: httpx.AsyncClient
) -> None:
    run = story["run"]
    assert (run["state"], run["encoding"].lower()) == ("degraded", "cp932")
    assert (run["rows_read"], run["rows_accepted"], run["rows_rejected"]) == (8, 5, 3)

    listed = await client.get(f"/v1/runs/{run['id']}/rejects", headers=story["steward"])

    rows = {(each["row"], each["line"], each["code"]) for each in listed.json()["items"]}
    assert rows == {
        (6, 8, "coordinate_out_of_area"),
        (7, 9, "duplicate_key"),
        (8, 10, "invalid_date"),
    }


async def test_rejected_rows_are_downloaded_corrected_and_sent_again_alone(
    story: dict[str, Any], client: httpx.AsyncClient, world: World
) -> None:
    run = story["run"]
    rejected = await client.get(f"/v1/runs/{run['id']}/rejects.csv", headers=story["steward"])
    lines = rejected.content.decode("utf-8-sig").splitlines()
    assert lines[0].startswith("No,医療機関名,")
    assert [line.split(",")[0] for line in lines[1:]] == ["6", "2", "8"]

    corrected = "\n".join(
        [lines[0], lines[1].replace("135.4600,34.6600", "34.6600,135.4600"), lines[3]]
    ).replace("R4.13.1", "R4.3.1")
    mended = await world.load(
        story["steward"], "vaccination-sites", corrected.encode(), corrects=run["id"]
    )

    assert (mended["state"], mended["rows_accepted"]) == ("ok", 2)
    version = await client.get(
        f"/v1/datasets/vaccination-sites/versions/{mended['version_number']}",
        headers=story["steward"],
    )
    assert version.json()["row_count"] == 7


async def test_values_are_normalised_and_names_are_kept(
    story: dict[str, Any], client: httpx.AsyncClient
) -> None:
    first = (await client.get("/v1/datasets/vaccination-sites/records/1")).json()["record"]

    assert first["phone"] == "06-0000-0001"
    assert first["name_kana"] == "キタウメダナイカ"
    assert first["address"] == "大阪市北区架空１丁目２－３"
    assert first["address_normalized"] == "大阪市北区架空1丁目2-3"
    assert first["updated_on"] == "2022-04-01"
    assert (first["age_min"], first["age_max"]) == (12, None)
    assert (first["municipality"], first["ward"]) == ("271004", "271276")
    names = {
        record["no"]: record["name"]
        for record in (await client.get("/v1/datasets/vaccination-sites/records")).json()["records"]
    }
    assert names["2"][0] == "\u9ad9"
    assert names["3"] == "中之島医院①号館（架空）"


async def test_the_map_app_finds_the_open_sites_nearest_first(
    story: dict[str, Any], client: httpx.AsyncClient
) -> None:
    path = "/v1/datasets/vaccination-sites/records"

    found = await client.get(path, params={**HERE, "radius": "2000", "filter": OPEN_TO_15})

    assert numbers(found) == ["1", "3"]
    assert [round(each["distance"]) for each in found.json()["records"]] == [372, 1140]
    moderna = {**HERE, "radius": "2000", "filter": OPEN_TO_15, "maker": "moderna"}
    assert numbers(await client.get(path, params=moderna)) == ["3"]
    near = {**HERE, "radius": "1000", "filter": OPEN_TO_15}
    assert numbers(await client.get(path, params=near)) == ["1"]
    wide = {**HERE, "radius": "6000", "filter": OPEN_TO_15, "maker": "pfizer"}
    wide_found = await client.get(path, params=wide)
    assert numbers(wide_found) == ["1", "5"]
    stale = [record["availability"]["stale"] for record in wide_found.json()["records"]]
    assert stale == [False, True]


async def test_csv_json_and_geojson_hold_the_same_sites_for_anyone(
    story: dict[str, Any], client: httpx.AsyncClient
) -> None:
    path = "/v1/datasets/vaccination-sites/records"

    as_json = numbers(await client.get(path))
    as_csv = await client.get(path, params={"f": "csv", "bom": "true"})
    as_geojson = (await client.get(path, params={"f": "geojson"})).json()

    rows = list(csv.DictReader(io.StringIO(as_csv.content.decode("utf-8-sig"))))
    assert as_csv.content.startswith(b"\xef\xbb\xbf")
    assert as_json == [row["no"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert [feature["properties"]["no"] for feature in as_geojson["features"]] == as_json
    assert as_geojson["features"][0]["geometry"]["coordinates"] == [135.4983, 34.7052]


async def test_the_dataset_is_found_by_kana_in_any_width(
    story: dict[str, Any], client: httpx.AsyncClient
) -> None:
    for words in ("予防接種", "ヨボウセッシュ", "ﾖﾎﾞｳｾｯｼｭ", "よぼう"):
        found = await client.get("/v1/datasets", params={"q": words})
        assert "vaccination-sites" in [each["id"] for each in found.json()["datasets"]], words


@pytest.mark.parametrize("dataset_id", ["vaccination-sites", "vaccination-availability"])
async def test_the_map_app_cannot_write(
    story: dict[str, Any], client: httpx.AsyncClient, world: World, dataset_id: str
) -> None:
    app = await world.token(await world.party(APP), f"dataset:{dataset_id}:read")

    response = await client.post(f"/v1/datasets/{dataset_id}/records", json=[], headers=app)

    assert response.status_code == 403
    assert (await world.log(Event.RECORDS_REFUSED))[-1]["reason"] == "insufficient_scope"


async def test_the_vendor_cannot_write_sites(
    story: dict[str, Any], client: httpx.AsyncClient, world: World
) -> None:
    response = await client.post(
        "/v1/datasets/vaccination-sites/records", json=[{"no": "9"}], headers=story["vendor"]
    )

    assert response.status_code == 403
    assert (await world.log(Event.RECORDS_REFUSED))[-1]["dataset"] == "vaccination-sites"


async def test_the_same_file_again_makes_no_new_version(
    story: dict[str, Any], client: httpx.AsyncClient, world: World
) -> None:
    path = "/v1/datasets/vaccination-sites/versions"
    await world.load(story["steward"], "vaccination-sites", sites_file())
    before = (await client.get(path, headers=story["steward"])).json()

    again = await world.load(story["steward"], "vaccination-sites", sites_file())

    assert again["unchanged"] is True
    assert (await client.get(path, headers=story["steward"])).json() == before


async def test_the_publisher_alone_sees_the_cells_as_they_came(
    story: dict[str, Any], client: httpx.AsyncClient, world: World
) -> None:
    path = "/v1/datasets/vaccination-sites/records/1"
    own = await world.token(await world.party(KENKO), "dataset:vaccination-sites:read")
    asked = {"originals": "true", "purpose": "own-duty"}

    mine = await client.get(path, params=asked, headers=own)
    anyone = await client.get(path, params=asked)

    original = mine.json()["record"]["_original"]
    assert original["phone"] == "０６－００００－０００１"
    assert original["updated_on"] == "R4.4.1"
    assert (anyone.status_code, anyone.json()["code"]) == (403, "column_not_visible")
    assert (await world.log(Event.RECORDS_REFUSED))[-1]["reason"] == "column_not_visible"
