"""Story 8: a village joins and publishes from one workbook, with no IT staff. All data is synthetic."""

import csv
import io
from datetime import date, timedelta
from typing import Any

import httpx
import openpyxl
import pytest
import pytest_asyncio

from app.audit.events import Event
from app.kit import clock
from app.models.parties import Role
from app.parties.seed import OPERATOR
from tests.oauth import senders
from tests.stories.village import DATASET, VILLAGE, Village, workbook
from tests.world import Party, World

pytestmark = pytest.mark.usefixtures("worker")
TOWNS = ("273210", "273821", VILLAGE)  # 豊能町, 河南町, 千早赤阪村
LATER = "273015"  # 島本町: a member from tomorrow on
CLOUD = "municipal-cloud-office"
LAYOUT = {"name": "public-facility", "version": 2}


async def set_the_stage(world: World) -> dict[str, Any]:
    """What the operator has done before the story: terms in force, and the one invitation."""
    operator = await world.party(OPERATOR, Role.OPERATOR)
    headers = await world.token(operator, "admin:read admin:write invitations:write")
    terms = {"text_ja": "利用規約（架空）", "text_en": "Terms", "valid_from": str(today())}
    await world.client.post("/v1/admin/terms", json=terms, headers=headers)
    asked = {"organization": VILLAGE, "email": "soumu@vill.example.jp"}
    made = await world.client.post("/v1/admin/invitations", json=asked, headers=headers)
    assert made.status_code == 201, made.text
    return {"code": made.json()["code"], "admin": headers}


async def play(world: World) -> dict[str, Any]:
    """The ten steps."""
    stage = await set_the_stage(world)
    village = Village(world)

    # 1. accept the invitation
    accepted = await village.send(
        "/v1/invitations/accept", {"code": stage["code"], "client_name": "総務課の端末"}
    )
    await village.sign_in(accepted["client"]["id"], accepted["secret"])
    await village.look_up_next()

    # 2. accept the terms
    await village.send("/v1/terms/1/accept")
    await village.look_up_next()

    # 3. choose the template
    await village.send(
        "/v1/datasets",
        {
            "id": DATASET,
            "title_ja": "千早赤阪村 公共施設一覧",
            "steward": {"name": "総務課", "email": "soumu@vill.example.jp"},
            "data_class": "public",
            "update_frequency": "annual",
            "themes": ["公共施設"],
            "profile": LAYOUT,
        },
    )
    await village.look_up_next()

    # 4. download the empty template
    template = await world.client.get(
        f"/v1/profiles/{LAYOUT['name']}/{LAYOUT['version']}/template.xlsx",
        headers=village.headers,
    )
    assert template.status_code == 200, template.text
    columns = await layout_columns(world)

    # 5. upload the workbook, 6. read the report in Japanese
    first = await village.upload(workbook(columns, longitude_of_4=None))
    await village.look_up_next()
    report = await world.client.get(
        f"/v1/runs/{first['id']}/rejects", headers={**village.headers, "Accept-Language": "ja"}
    )

    # 7. fix row 4, 8. upload again
    second = await village.upload(workbook(columns, longitude_of_4=135.624))
    await village.look_up_next()

    # 9. choose CC BY 4.0 and approve
    await village.send(f"/v1/datasets/{DATASET}", {"license": "CC-BY-4.0"}, method="PATCH")
    await village.send(f"/v1/datasets/{DATASET}/versions/{second['version_number']}/publish")
    await village.look_up_next()
    return {
        **stage,
        "village": village,
        "template": template.content,
        "columns": columns,
        "first": first,
        "report": report.json(),
        "second": second,
    }


async def layout_columns(world: World) -> list[str]:
    """The Japanese column names of the layout, in order."""
    path = f"/v1/profiles/{LAYOUT['name']}/{LAYOUT['version']}"
    shown = await world.client.get(path)
    assert shown.status_code == 200, shown.text
    return [field["label"] for field in shown.json()["fields"]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def story(platform: Any, client: httpx.AsyncClient, worker: None) -> dict[str, Any]:
    """Steps 1 to 9, once."""
    world = World(platform, client)
    await world.start()
    return await play(world)


def test_the_checklist_named_the_next_step_all_the_way(story: dict[str, Any]) -> None:
    # after: invitation, terms, layout, first upload, second upload, approval
    assert story["village"].steps == [2, 3, 4, 6, 9, None]


def test_the_empty_template_has_the_columns_of_the_layout(story: dict[str, Any]) -> None:
    book = openpyxl.load_workbook(io.BytesIO(story["template"]))

    cells = {cell.value for sheet in book.worksheets for row in sheet.iter_rows() for cell in row}

    assert set(story["columns"]) <= cells


def test_the_first_report_accepts_five_rows_and_rejects_row_four_in_japanese(
    story: dict[str, Any],
) -> None:
    run = story["first"]

    assert (run["rows_read"], run["rows_accepted"], run["rows_rejected"]) == (6, 5, 1)
    assert run["state"] == "degraded"
    rejects = story["report"]["items"]
    assert [(each["row"], each["code"]) for each in rejects] == [(4, "longitude_missing")]
    assert "経度" in rejects[0]["guidance_ja"]


async def test_row_five_is_repaired_to_the_six_digit_code_and_the_clerk_is_told(
    story: dict[str, Any], client: httpx.AsyncClient
) -> None:
    repairs = await client.get(
        f"/v1/runs/{story['first']['id']}/repairs", headers=story["village"].headers
    )

    assert repairs.status_code == 200, repairs.text
    told = [
        (each["row"], each["before"], each["after"])
        for each in repairs.json()["items"]
        if each["field"] == "local_government_code"
    ]
    assert told == [(5, "27383", VILLAGE)]


def test_row_six_is_accepted_with_a_warning_about_its_address(story: dict[str, Any]) -> None:
    warnings = [
        notice for notice in story["first"]["notices"] if notice["code"] == "address_not_split"
    ]

    # below the title and the header, row 6 stands on line 8
    assert [(each["details"]["label"], each["details"]["lines"]) for each in warnings] == [
        ("所在地_町字", "8")
    ]
    assert "所在地_町字" in warnings[0]["ja"]


def test_the_second_report_accepts_six(story: dict[str, Any]) -> None:
    run = story["second"]

    assert (run["rows_read"], run["rows_accepted"], run["rows_rejected"]) == (6, 6, 0)
    assert run["state"] == "ok"


async def test_the_quality_score_rises_between_the_two_uploads(
    story: dict[str, Any], client: httpx.AsyncClient
) -> None:
    scores = []
    for run in (story["first"], story["second"]):
        found = await client.get(
            f"/v1/datasets/{DATASET}/quality",
            params={"version": run["version_number"]},
            headers=story["village"].headers,
        )
        assert found.status_code == 200, found.text
        scores.append(found.json()["score"])

    assert scores[0] < scores[1]


async def test_anyone_opens_the_public_addresses(
    story: dict[str, Any], client: httpx.AsyncClient
) -> None:
    entry = (await client.get(f"/opendata/datasets/{DATASET}.jsonld")).json()
    forms = {each["@id"].partition("#")[2]: each for each in entry["dcat:distribution"]}

    opened = {
        name: await client.get(form["dcat:downloadURL"]["@id"]) for name, form in forms.items()
    }

    as_csv = list(csv.DictReader(io.StringIO(opened["csv"].content.decode("utf-8-sig"))))
    as_json = opened["json"].json()["records"]
    features = opened["geojson"].json()["features"]
    ids = [f"{at:04}" for at in range(1, 7)]
    assert [row["id"] for row in as_csv] == ids
    assert [row["id"] for row in as_json] == ids
    assert [each["properties"]["id"] for each in features] == ids
    assert {row["local_government_code"] for row in as_json} == {VILLAGE}
    assert features[3]["geometry"]["coordinates"] == [135.624, 34.464]


async def test_the_catalogue_for_harvesters_lists_the_dataset(
    story: dict[str, Any], client: httpx.AsyncClient
) -> None:
    listed = (await client.get("/opendata/catalog.jsonld")).json()["dcat:dataset"]

    entry = next(each for each in listed if each["dct:identifier"] == DATASET)
    assert entry["dct:license"] == {"@id": "https://creativecommons.org/licenses/by/4.0/"}
    assert entry["dct:publisher"]["dct:identifier"] == VILLAGE
    assert entry["dct:accrualPeriodicity"]["@id"].endswith("/ANNUAL")


async def test_a_need_of_a_developer_reaches_the_village_and_is_answered(
    story: dict[str, Any], client: httpx.AsyncClient, world: World
) -> None:
    await world.client.post(
        "/v1/admin/organizations",
        json={"id": "citizen-developer", "kind": "private_provider", "name_ja": "架空の開発者"},
        headers=story["admin"],
    )
    developer = await world.token(
        await world.party("citizen-developer", Role.DEVELOPER), "agreements:write"
    )
    village = story["village"]

    asked = await client.post(
        "/v1/needs",
        json={"municipality": VILLAGE, "title": "公衆トイレ一覧", "text": "地図に載せたいです。"},
        headers=developer,
    )
    assert asked.status_code == 201, asked.text
    need = asked.json()["id"]
    inbox = await client.get("/v1/needs", params={"municipality": VILLAGE}, headers=village.headers)
    await village.send(f"/v1/needs/{need}/reply", {"text": "来月までに公開します。"})

    assert [each["title"] for each in inbox.json()["items"]] == ["公衆トイレ一覧"]
    shown = (await client.get(f"/v1/needs/{need}")).json()
    assert shown["state"] == "answered"
    assert [each["text"] for each in shown["replies"]] == ["来月までに公開します。"]


# --- the shared operator of the municipal cloud ----------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cloud(story: dict[str, Any], platform: Any, client: httpx.AsyncClient) -> dict[str, Any]:
    """The group: three towns for a while now, 島本町 from tomorrow on."""
    world = World(platform, client)
    await world.start()
    admin = story["admin"]
    office = {"id": CLOUD, "kind": "joint_association", "name_ja": "自治体クラウド事務局（架空）"}
    await client.post("/v1/admin/organizations", json=office, headers=admin)
    group = {"id": "cloud", "name_ja": "自治体クラウド", "operator": CLOUD, "purpose": "共同運用"}
    made = await client.post("/v1/admin/groups", json=group, headers=admin)
    assert made.status_code == 201, made.text
    for town in (*TOWNS, LATER):
        since = today() + timedelta(days=1 if town == LATER else -30)
        body = {"organization": town, "agreement": "協定書（架空）", "since": str(since)}
        joined = await client.post("/v1/admin/groups/cloud/members", json=body, headers=admin)
        assert joined.status_code == 201, joined.text
    shared = await world.party(CLOUD, Role.STEWARD)
    return {"shared": shared, "headers": await world.token(shared, "catalogue:write")}


def today() -> date:
    return clock.now().astimezone(clock.TOKYO).date()


async def register(
    client: httpx.AsyncClient, headers: dict[str, str], town: str
) -> tuple[int, str]:
    """Register a restricted dataset of a town."""
    body = {
        "title_ja": "台帳（架空）",
        "publisher": town,
        "steward": {"name": "総務課"},
        "update_frequency": "annual",
        "fields": [{"name": "no", "label": "番号", "type": "code", "key": True}],
    }
    made = await client.post("/v1/datasets", json=body, headers=headers)
    return made.status_code, made.json().get("id") or made.json()["code"]


async def test_the_shared_operator_manages_every_town_and_shimamoto_from_the_agreements_date(
    cloud: dict[str, Any], client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = cloud["headers"]

    now = [(await register(client, headers, town))[0] for town in TOWNS]
    early = await register(client, headers, LATER)
    monkeypatch.setattr("app.parties.groups.today", lambda: today() + timedelta(days=1))
    in_time = (await register(client, headers, LATER))[0]

    assert now == [201, 201, 201]
    assert early == (403, "not_the_publisher")
    assert in_time == 201


@pytest.mark.parametrize("town", TOWNS)
async def test_the_shared_operator_loads_but_does_not_read_a_towns_restricted_rows(
    cloud: dict[str, Any], client: httpx.AsyncClient, world: World, town: str
) -> None:
    shared: Party = cloud["shared"]
    _, dataset = await register(client, cloud["headers"], town)
    town_itself = await world.token(await world.party(town, Role.STEWARD), "catalogue:write")
    theirs = await world.load(town_itself, dataset, "番号\n1\n1\n".encode())
    await world.publish(cloud["headers"], theirs)

    asked = {"purpose": "own-duty", "originals": "true"}
    read = await client.get(
        f"/v1/datasets/{dataset}/records", params=asked, headers=cloud["headers"]
    )
    token = await senders.asked(world, shared, f"dataset:{dataset}:read")
    rejects = await client.get(f"/v1/runs/{theirs['id']}/rejects.csv", headers=cloud["headers"])

    assert read.status_code == 403
    assert token.json()["error"] == "invalid_scope"
    assert (rejects.status_code, rejects.json()["code"]) == (403, "rows_of_a_member")
    managed = await world.log(Event.MANAGED_FOR_MEMBER)
    assert {(entry["operator"], entry["member"]) for entry in managed} == {(CLOUD, town)}
