"""Names for people are got by stewards, for their own organisation, and stand in no log."""

from typing import Any

import httpx
import pytest

from app.audit.events import Event
from app.models.parties import Role
from tests.world import KENKO, SAKAI, World

FIELDS = [
    {"name": "no", "label": "番号", "type": "code", "key": True},
    {"name": "person", "label": "本人", "type": "code"},
    {"name": "age", "label": "年齢", "type": "integer"},
]


async def steward(world: World, organization: str = KENKO) -> dict[str, str]:
    return await world.token(await world.party(organization, Role.STEWARD), "catalogue:write")


async def test_a_steward_gets_its_organisations_names_for_new_people(world: World) -> None:
    headers = await steward(world)

    made = await world.client.post("/v1/subjects", json={"count": 5}, headers=headers)

    names = made.json()["names"]
    assert made.status_code == 201 and len(set(names)) == 5
    assert await world.platform.linker.person(KENKO, names[0]) is not None
    assert await world.platform.linker.person(SAKAI, names[0]) is None
    (entry,) = await world.log(Event.SUBJECTS_NAMED)
    assert (entry["organization"], entry["count"]) == (KENKO, 5)
    assert not [name for name in names if name in str(await world.log())]


@pytest.mark.parametrize("count", [0, 10_001, "many", None])
async def test_names_are_got_a_few_thousand_at_a_time(world: World, count: Any) -> None:
    made = await world.client.post(
        "/v1/subjects", json={"count": count}, headers=await steward(world)
    )

    assert made.status_code == 422


async def test_who_is_no_steward_gets_none(world: World) -> None:
    headers = await world.token(await world.party(KENKO, Role.DEVELOPER), "agreements:write")

    answers = [
        await world.client.post(path, json={"count": 1}, headers=sent)
        for path in ("/v1/subjects", "/v1/subjects/keys")
        for sent in (headers, {})
    ]

    assert [each.status_code for each in answers] == [403, 401, 403, 401]


async def test_a_new_key_is_asked_for_by_a_steward_and_stands_in_the_log(world: World) -> None:
    headers = await steward(world, "272051")

    first, second = [await world.client.post("/v1/subjects/keys", headers=headers) for _ in "ab"]

    assert second.json()["number"] == first.json()["number"] + 1
    log = await world.log(Event.SUBJECT_KEY_ROTATED)
    assert [entry["organization"] for entry in log] == ["272051", "272051"]


async def entered(world: World, headers: dict[str, str], **more: Any) -> httpx.Response:
    body = {
        "title_ja": "試験", "data_class": "personal", "steward": {"name": "試験"},
        "update_frequency": "irregular", "fields": FIELDS, **more,
    }  # fmt: skip
    return await world.client.post("/v1/datasets", json=body, headers=headers)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"subject": "person"}, None),
        ({"subject": "age"}, "invalid_subject"),
        ({"subject": "nobody"}, "invalid_subject"),
        ({"subject": "person", "data_class": "restricted"}, "subject_of_no_person"),
    ],
    ids=str,
)
async def test_a_subject_is_a_field_of_text_of_a_personal_dataset(
    world: World, more: dict[str, str], code: str | None
) -> None:
    headers = await steward(world)

    made = await entered(world, headers, **more)

    if code is None:
        assert (made.status_code, made.json()["subject"]) == (201, "person"), made.text
    else:
        assert made.status_code == 422, made.text
        assert [each["code"] for each in made.json()["errors"]] == [code]


async def test_a_subject_is_declared_later_and_taken_back(world: World) -> None:
    headers = await steward(world)
    dataset = (await entered(world, headers)).json()["id"]
    where = f"/v1/datasets/{dataset}"

    answers = [
        await world.client.patch(where, json={"subject": subject}, headers=headers)
        for subject in ("age", "person", None)
    ]

    assert [each.status_code for each in answers] == [422, 200, 200]
    assert [each.json()["subject"] for each in answers[1:]] == ["person", None]
