"""The registry of profiles over HTTP: versions live side by side, are compared, and come to an end (R04)."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from app.audit.events import Event
from app.formats.profiles.municipal import built_in
from app.models.parties import Role
from app.parties.seed import OPERATOR
from tests.world import KENKO, SAKAI, World

V1: list[dict[str, Any]] = [
    {"name": "no", "label": "NO", "type": "code", "key": True},
    {"name": "name", "label": "名称", "type": "text", "required": True},
    {"name": "address", "label": "住所", "type": "text"},
    {"name": "fee", "label": "料金", "type": "text"},
    {
        "name": "kind",
        "label": "種別",
        "type": "code",
        "code_list": {"1": "街区公園", "2": "近隣公園"},
    },
    {"name": "fax", "label": "FAX", "type": "phone"},
]
V2: list[dict[str, Any]] = [
    {"name": "id", "label": "ID", "type": "code", "key": True, "variants": ["NO"]},
    {"name": "name", "label": "名称", "type": "text", "required": True},
    {"name": "address", "label": "所在地_連結表記", "type": "text", "variants": ["住所"]},
    {"name": "fee", "label": "料金", "type": "integer", "unit": "円"},
    {
        "name": "kind",
        "label": "種別",
        "type": "code",
        "code_list": {"1": "街区公園", "3": "総合公園"},
    },
    {"name": "email", "label": "メール", "type": "email", "required": True},
]


async def steward(world: World, organization: str = KENKO) -> dict[str, str]:
    party = await world.party(organization, Role.STEWARD)
    return await world.token(party, "catalogue:write")


async def operator(world: World) -> dict[str, str]:
    return await world.token(await world.party(OPERATOR, Role.OPERATOR), "admin:write")


async def registered(
    client: httpx.AsyncClient,
    headers: dict[str, str],
    *versions: list[dict[str, Any]],
    **more: Any,
) -> str:
    """A profile of a new name with these versions; the name."""
    name = f"p-{secrets.token_hex(5)}"
    for number, fields in enumerate(versions, 1):
        body = {"name": name, "version": number, "title_ja": "公園", "fields": fields, **more}
        sent = await client.post("/v1/profiles", json=body, headers=headers)
        assert sent.status_code == 201, sent.text
    return name


async def test_all_municipal_standard_datasets_are_there_from_the_start(
    client: httpx.AsyncClient,
) -> None:
    listed = (await client.get("/v1/profiles", params={"state": "published"})).json()

    found = {(each["name"], each["version"]) for each in listed if each["owner"] is None}
    assert found == {(each.layout.name, each.layout.version) for each in built_in()}
    assert len({name for name, _ in found}) == 23
    toilets = (await client.get("/v1/profiles", params={"name": "public-toilet"})).json()
    assert [(each["version"], each["field_count"]) for each in toilets] == [(1, 32), (2, 39)]
    assert toilets[1]["edition"] == "A 2026-08-01 (3.09)"


async def test_a_new_version_leaves_those_who_use_the_old_one_as_they_are(
    client: httpx.AsyncClient, world: World
) -> None:
    headers = await steward(world)
    name = await registered(client, headers, V1)
    before = (await client.get(f"/v1/profiles/{name}/1")).json()
    dataset = f"d-{secrets.token_hex(5)}"
    entry = {
        "id": dataset,
        "title_ja": "公園",
        "steward": {"name": "公園課"},
        "update_frequency": "annual",
        "profile": {"name": name, "version": 1},
    }
    assert (await client.post("/v1/datasets", json=entry, headers=headers)).status_code == 201
    fields = (await client.get(f"/v1/datasets/{dataset}")).json()["fields"]

    body = {"name": name, "version": 2, "title_ja": "公園", "fields": V2}
    assert (await client.post("/v1/profiles", json=body, headers=headers)).status_code == 201

    assert (await client.get(f"/v1/profiles/{name}/1")).json() == before
    after = (await client.get(f"/v1/datasets/{dataset}")).json()
    assert (after["fields"], after["profile"]) == (fields, {"name": name, "version": 1})


async def test_the_difference_names_what_was_added_renamed_and_removed(
    client: httpx.AsyncClient, world: World
) -> None:
    name = await registered(client, await steward(world), V1, V2)

    found = (await client.get(f"/v1/profiles/{name}/diff", params={"from": 1, "to": 2})).json()

    assert [each["name"] for each in found["added"]] == ["email"]
    assert [each["name"] for each in found["removed"]] == ["fax"]
    assert [(each["from"]["name"], each["to"]["name"]) for each in found["renamed"]] == [
        ("no", "id")
    ]
    assert found["relabelled"] == [{"name": "address", "from": "住所", "to": "所在地_連結表記"}]
    assert found["retyped"] == [{"name": "fee", "from": "text", "to": "integer"}]
    assert found["unit"] == [{"name": "fee", "from": None, "to": "円"}]
    assert found["code_list"] == [
        {
            "name": "kind",
            "from": {"1": "街区公園", "2": "近隣公園"},
            "to": {"1": "街区公園", "3": "総合公園"},
        }
    ]


async def test_a_version_that_is_to_end_says_so_in_its_headers(
    client: httpx.AsyncClient, world: World
) -> None:
    headers = await steward(world)
    name = await registered(client, headers, V1, V2)
    course = {
        "state": "deprecated",
        "deprecated_at": "2026-01-01T00:00:00+09:00",
        "sunset_at": "2099-04-01T00:00:00+09:00",
        "successor": {"name": name, "version": 2},
        "note_ja": "番号は id になりました。",
        "note_en": "The number is now id.",
    }

    changed = await client.patch(f"/v1/profiles/{name}/1", json=course, headers=headers)

    assert (changed.status_code, changed.json()["state"]) == (200, "deprecated")
    for path in ("", "/schema", "/template.xlsx"):
        shown = await client.get(f"/v1/profiles/{name}/1{path}")
        assert shown.status_code == 200
        assert shown.headers["Deprecation"] == "@1767193200"
        assert shown.headers["Sunset"] == "Tue, 31 Mar 2099 15:00:00 GMT"
        assert f'/v1/profiles/{name}/2>; rel="successor-version"' in shown.headers["Link"]
    assert "Sunset" not in (await client.get(f"/v1/profiles/{name}/2")).headers
    assert [each["state"] for each in await world.log(Event.PROFILE_CHANGED)] == ["deprecated"]


async def test_after_its_end_a_version_answers_gone_with_the_note_on_how_to_move(
    client: httpx.AsyncClient, world: World
) -> None:
    headers = await steward(world)
    name = await registered(client, headers, V1, V2)
    course = {
        "state": "sunset",
        "successor": {"name": name, "version": 2},
        "note_ja": "番号は id になりました。",
    }
    assert (
        await client.patch(f"/v1/profiles/{name}/1", json=course, headers=headers)
    ).status_code == 200

    gone = await client.get(f"/v1/profiles/{name}/1")

    assert (gone.status_code, gone.json()["code"]) == (410, "profile_sunset")
    note = gone.headers["Link"].partition(">")[0].removeprefix("<")
    assert note.endswith(f"/v1/profiles/{name}/1/migration")
    told = (await client.get(note)).json()
    assert told["note_ja"] == "番号は id になりました。"
    assert told["successor"] == {"name": name, "version": 2}
    assert [each["name"] for each in told["changes"]["added"]] == ["email"]
    for path in ("schema", "template.xlsx"):
        assert (await client.get(f"/v1/profiles/{name}/1/{path}")).status_code == 410
    judged = await client.post(f"/v1/profiles/{name}/1/validate", json=[{}])
    assert judged.status_code == 410
    moved = await client.post(
        f"/v1/profiles/{name}/convert?from=1&to=2", json=[{"no": "1", "name": "a"}]
    )
    assert moved.json()["records"][0]["record"]["id"] == "1"


async def test_no_dataset_is_registered_on_what_has_ended_or_is_a_draft(
    client: httpx.AsyncClient, world: World
) -> None:
    headers = await steward(world)
    ended = await registered(client, headers, V1)
    course = {"state": "sunset", "note_ja": "終了"}
    await client.patch(f"/v1/profiles/{ended}/1", json=course, headers=headers)
    draft = await registered(client, headers, V1, draft=True)
    entry = {"title_ja": "公園", "steward": {"name": "公園課"}, "update_frequency": "annual"}

    for name, code in ((ended, "profile_sunset"), (draft, "profile_is_draft")):
        for more in ({}, {"fields": V1}):
            body = {**entry, **more, "profile": {"name": name, "version": 1}}
            refused = await client.post("/v1/datasets", json=body, headers=headers)

            assert refused.status_code == 422, refused.text
            assert [(e["pointer"], e["code"]) for e in refused.json()["errors"]] == [
                ("/profile", code)
            ]


async def test_a_draft_may_change_until_it_is_published(
    client: httpx.AsyncClient, world: World
) -> None:
    headers = await steward(world)
    name = await registered(client, headers, V1, draft=True)
    body = {"name": name, "version": 1, "title_ja": "公園", "fields": V2, "draft": True}

    again = await client.post("/v1/profiles", json=body, headers=headers)
    published = await client.patch(
        f"/v1/profiles/{name}/1", json={"state": "published"}, headers=headers
    )
    late = await client.post("/v1/profiles", json=body, headers=headers)

    assert (again.status_code, again.json()["state"]) == (201, "draft")
    assert published.json()["state"] == "published"
    assert (late.status_code, late.json()["code"]) == (409, "profile_exists")


async def test_the_database_itself_keeps_a_published_version_as_it_is(
    client: httpx.AsyncClient, world: World
) -> None:
    name = await registered(client, await steward(world), V1)

    for statement in (
        "UPDATE profile SET fields = '[]' WHERE name = $1",
        "UPDATE profile SET published_at = NULL WHERE name = $1",
        "DELETE FROM profile WHERE name = $1",
    ):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await world.platform.database.pool.execute(statement, name)


async def test_a_name_belongs_to_the_body_that_used_it_first(
    client: httpx.AsyncClient, world: World
) -> None:
    mine, other = await steward(world), await steward(world, SAKAI)
    same_body = await steward(world, "271004-kikikanri")
    name = await registered(client, mine, V1)
    second = {"name": name, "version": 2, "title_ja": "公園", "fields": V2}
    course = {"state": "deprecated", "note_ja": "移行"}

    refusals = [
        await client.post("/v1/profiles", json=second, headers=other),
        await client.patch(f"/v1/profiles/{name}/1", json=course, headers=other),
        await client.patch("/v1/profiles/aed/1", json=course, headers=mine),
        await client.post(
            "/v1/profiles", json={**second, "name": "aed", "version": 9}, headers=mine
        ),
    ]

    assert [(each.status_code, each.json()["code"]) for each in refusals] == [
        (403, "not_the_profile_owner")
    ] * 4
    accepted = await client.post("/v1/profiles", json=second, headers=same_body)
    assert accepted.status_code == 201
    by_operator = await client.patch(
        f"/v1/profiles/{name}/1", json=course, headers=await operator(world)
    )
    assert by_operator.json()["state"] == "deprecated"


async def test_a_deprecation_can_be_taken_back_and_the_operator_may_end_a_built_in_one(
    client: httpx.AsyncClient, world: World
) -> None:
    headers = await operator(world)
    soon = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    course = {"state": "deprecated", "sunset_at": soon, "note_ja": "移行"}

    ended = await client.patch("/v1/profiles/event/1", json=course, headers=headers)
    back = await client.patch("/v1/profiles/event/1", json={"state": "published"}, headers=headers)

    assert ended.json()["state"] == "deprecated"
    assert (back.json()["state"], back.json()["sunset_at"]) == ("published", None)


@pytest.mark.parametrize(
    ("course", "pointer", "code"),
    [
        ({"state": "deprecated"}, "/note_ja", "required"),
        ({"state": "draft"}, "/state", "wrong_state"),
        (
            {
                "state": "deprecated",
                "deprecated_at": "2026-05-01T00:00:00Z",
                "sunset_at": "2026-04-01T00:00:00Z",
                "note_ja": "a",
            },
            "/sunset_at",
            "date_order",
        ),
        (
            {
                "state": "deprecated",
                "note_ja": "a",
                "successor": {"name": "none-such", "version": 1},
            },
            "/successor",
            "profile_not_found",
        ),
        (
            {"state": "deprecated", "note_ja": "a", "successor": {"name": "NAME", "version": 1}},
            "/successor",
            "own_successor",
        ),
    ],
)
async def test_a_course_that_cannot_be_is_refused(
    client: httpx.AsyncClient, world: World, course: dict[str, Any], pointer: str, code: str
) -> None:
    headers = await steward(world)
    name = await registered(client, headers, V1)
    if course.get("successor", {}).get("name") == "NAME":
        course = {**course, "successor": {"name": name, "version": 1}}

    refused = await client.patch(f"/v1/profiles/{name}/1", json=course, headers=headers)

    assert (refused.status_code, refused.json()["code"]) == (422, "profile_invalid")
    assert [(each["pointer"], each["code"]) for each in refused.json()["errors"]] == [
        (pointer, code)
    ]


@pytest.mark.parametrize("year", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
async def test_an_end_at_the_edge_of_the_calendar_does_not_take_the_list_down(
    client: httpx.AsyncClient, world: World, year: str
) -> None:
    headers = await steward(world)
    name = await registered(client, headers, V1)
    begins = {"state": "deprecated", "note_ja": "a", "deprecated_at": year}
    ends = {"state": "deprecated", "note_ja": "a", "sunset_at": year}

    refused = [
        await client.patch(f"/v1/profiles/{name}/1", json=course, headers=headers)
        for course in (begins, ends)
    ]
    listed = await client.get("/v1/profiles", params={"name": name})

    assert [answer.status_code for answer in refused] == [422, 422]
    assert [each["code"] for answer in refused for each in answer.json()["errors"]] == [
        "year_out_of_range",
        "year_out_of_range",
    ]
    assert listed.status_code == 200


async def test_many_patterns_that_are_large_together_are_refused(
    client: httpx.AsyncClient, world: World
) -> None:
    headers = await steward(world)
    rules = [{"field": "name", "pattern": rf"\w{{19}}{at}"} for at in range(20)]
    body = {"name": "p-large", "version": 1, "title_ja": "公園", "fields": V1, "rules": rules}

    few = await client.post("/v1/profiles", json={**body, "rules": rules[:2]}, headers=headers)
    many = await client.post("/v1/profiles", json={**body, "version": 2}, headers=headers)

    assert few.status_code == 201
    assert [each["pointer"] for each in many.json()["errors"]] == ["/rules"]


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ({"field": "name", "pattern": r"\w{90}"}, "rule_bad_pattern"),
        ({"field": "name", "pattern": "(a+)+$"}, "rule_bad_pattern"),
        ({"field": "name", "pattern": "(a|a)*b"}, "rule_bad_pattern"),
        ({"field": "name", "pattern": r"(a)\1"}, "rule_bad_pattern"),
        ({"field": "name", "pattern": "(?=a)a"}, "rule_bad_pattern"),
        ({"field": "name", "pattern": "(?:a{1,50}){1,50}"}, "rule_bad_pattern"),
        ({"field": "name", "pattern": "("}, "rule_bad_pattern"),
        ({"field": "name", "min": 1}, "rule_type"),
        ({"field": "fee", "pattern": "a"}, "rule_type"),
        ({"field": "fee", "min": 2, "max": 1}, "rule_range"),
        ({"field": "none", "min": 2}, "rule_unknown_field"),
        ({"when": "name", "required": "none"}, "rule_unknown_field"),
        ({"compare": ["fee", "<=", "name"]}, "rule_type"),
        ({"area": {"bbox": [136, 34, 135, 35]}}, "rule_range"),
        ({"area": {"municipalities": ["271005"]}}, "wrong_check_digit"),
    ],
)
async def test_a_rule_that_cannot_hold_or_could_be_abused_is_refused(
    client: httpx.AsyncClient, world: World, rule: dict[str, Any], code: str
) -> None:
    body = {"name": "p-rules", "version": 1, "title_ja": "公園", "fields": V2, "rules": [rule]}

    refused = await client.post("/v1/profiles", json=body, headers=await steward(world))

    assert (refused.status_code, refused.json()["code"]) == (422, "profile_invalid")
    first = refused.json()["errors"][0]
    assert (first["pointer"], first["code"]) == ("/rules/0", code)


async def test_two_columns_of_one_heading_are_refused(
    client: httpx.AsyncClient, world: World
) -> None:
    fields = [{"name": "a", "label": "料金（基本）", "type": "text"},
              {"name": "b", "label": "料金(基本)", "type": "text"}]  # fmt: skip
    body = {"name": "p-labels", "version": 1, "title_ja": "公園", "fields": fields}

    refused = await client.post("/v1/profiles", json=body, headers=await steward(world))

    assert [each["code"] for each in refused.json()["errors"]] == ["duplicate_label"]
