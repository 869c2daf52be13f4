"""Of people as few as one nothing is told to another organisation, by no door that counts."""

from typing import Any

import httpx
import pytest

from app.audit.events import Event
from app.models.parties import Role
from tests.oauth.senders import Sender, sender, under
from tests.oauth.test_one_agreement import stocked_by_sender
from tests.rows.town import consumer_of
from tests.stock import KEYED, PURPOSE, Spec, agreed, reader, stocked
from tests.versioned import publish, steward_of
from tests.world import KENKO, SAKAI, World

PEOPLE: list[dict[str, Any]] = [
    {"no": f"{at}", "name": name, "size": at}
    for at, name in enumerate(["aoba"] * 5 + ["hisui"] * 1 + ["sora"] * 4)
]
RULES = {"k": 3, "dimensions": ["name"]}


async def get(world: World, caller: Sender, where: str, **query: str) -> httpx.Response:
    return await world.client.get(
        where, params={"purpose": PURPOSE, **query}, headers=caller.headers(where)
    )


async def agreed_with(world: World, dataset: str) -> Sender:
    """A consumer with an agreement on personal data, and a token for it."""
    party = await world.party(SAKAI, Role.DEVELOPER)
    agreement, _ = await agreed(world, dataset, party)
    scope = f"dataset:{dataset}:read"
    return await sender(world, party, scope, authorization_details=under(agreement))


async def suppress(world: World, dataset: str) -> None:
    headers = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
    where = f"/v1/datasets/{dataset}"
    answer = await world.client.patch(where, json={"suppression": RULES}, headers=headers)
    assert answer.status_code == 200, answer.text


async def test_personal_data_is_not_counted_for_others_without_suppression(world: World) -> None:
    dataset = await stocked_by_sender(world, PEOPLE)
    caller = await agreed_with(world, dataset)

    answer = await get(world, caller, f"/v1/datasets/{dataset}/aggregate", group_by="name")

    assert (answer.status_code, answer.json()["code"]) == (403, "suppression_needed")
    assert "`suppression`" in answer.json()["detail"]
    [refused] = await world.log(Event.RECORDS_REFUSED)
    assert refused["reason"] == "suppression_needed"


async def test_with_suppression_no_group_of_fewer_is_told_and_no_record_counted(
    world: World,
) -> None:
    dataset = await stocked_by_sender(world, PEOPLE)
    await suppress(world, dataset)
    caller = await agreed_with(world, dataset)
    where = f"/v1/datasets/{dataset}"

    groups = (await get(world, caller, f"{where}/aggregate", group_by="name")).json()["groups"]
    others = [
        await get(world, caller, f"{where}/records", count="true", name="hisui"),
        await get(world, caller, f"{where}/records", count="true", limit="1"),
        await get(world, caller, f"{where}/changes"),
    ]

    told = [each["values"]["count"] for each in groups]
    assert all(count is None or count >= RULES["k"] for count in told), groups
    assert "hisui" not in [each["by"]["name"] for each in groups if each["values"]["count"]]
    assert [each.status_code for each in others] == [403] * 3, [each.text for each in others]
    assert not [each for each in others if "numberMatched" in each.text]


async def test_ones_own_personal_data_is_counted_to_the_last(world: World) -> None:
    dataset = await stocked_by_sender(world, PEOPLE)
    owner = await sender(world, await world.party(KENKO), f"dataset:{dataset}:read")

    answer = await get(world, owner, f"/v1/datasets/{dataset}/aggregate", group_by="name")

    assert [each["values"]["count"] for each in answer.json()["groups"]] == [5, 1, 4]


async def test_a_personal_column_of_other_data_is_counted_for_nobody_else(world: World) -> None:
    specs: tuple[Spec, ...] = (*KEYED[:2], ("illness", "text", {"visibility": "personal"}))
    rows = [{"no": "1", "name": "a", "illness": "x"}]
    dataset = await stocked_by_sender(world, rows, specs, data_class="restricted")
    caller = await agreed_with(world, dataset)
    where = f"/v1/datasets/{dataset}"

    read = await get(world, caller, f"{where}/records")
    counted = await get(world, caller, f"{where}/aggregate", group_by="name")
    personal = await get(world, caller, f"{where}/aggregate", group_by="illness")
    filtered = await get(world, caller, f"{where}/aggregate", filter="illness = 'x'")

    assert read.json()["records"] == rows
    assert caller.answer["expires_in"] == 60  # it reads what is personal
    assert counted.status_code == 200
    assert [(each.status_code, each.json().get("code")) for each in (personal, filtered)] == [
        (403, "column_not_visible"), (403, "column_not_visible"),
    ]  # fmt: skip


async def test_personal_data_is_not_counted_beside_other_data(world: World) -> None:
    other = await stocked_by_sender(world, PEOPLE)
    here = await stocked(
        world, [{"no": "1", "ref": "1"}], (KEYED[0], ("ref", "code")), data_class="restricted"
    )
    join = f'[{{"name": "person", "dataset": "{other}", "here": "ref", "there": "no"}}]'
    await world.platform.database.pool.execute(
        "UPDATE dataset SET joins = $2::jsonb WHERE id = $1", here, join
    )
    world.platform.live.changed("dataset", here)
    owner = await sender(
        world, await world.party(KENKO), f"dataset:{here}:read dataset:{other}:read"
    )

    where = f"/v1/datasets/{here}/aggregate"
    own = await get(world, owner, where, expand="person", group_by="person.name")
    await world.platform.database.pool.execute(
        "UPDATE dataset SET publisher_id = $2 WHERE id = $1", other, SAKAI
    )
    world.platform.live.changed("dataset", other)
    theirs = await get(world, owner, where, expand="person", group_by="person.name")

    assert own.status_code == 200, own.text
    assert theirs.status_code == 403


@pytest.mark.usefixtures("worker")
async def test_of_how_many_something_personal_is_known_is_no_figure_of_quality(
    world: World,
) -> None:
    steward = await steward_of(world)
    told = []
    for seen_by in ("internal", "personal"):
        specs: tuple[Spec, ...] = (*KEYED[:2], ("illness", "text", {"visibility": seen_by}))
        dataset = await stocked(world, [], specs, data_class="internal")
        await publish(world, steward, dataset, b"no,name,illness\n1,a,\n2,b,x\n")
        asking = await reader(world, dataset, "271004-digital")
        where = f"/v1/datasets/{dataset}/quality"
        own = await world.token(await world.party(KENKO), f"dataset:{dataset}:read")
        told += [await world.client.get(where, headers=each) for each in (asking, own)]

    assert [each.status_code for each in told] == [200, 200, 403, 200]
    assert told[2].json()["code"] == "quality_not_shown"


@pytest.mark.parametrize("data_class", ["internal", "restricted"])
async def test_data_that_is_not_personal_is_counted_as_before(
    world: World, data_class: str
) -> None:
    dataset = await stocked(world, PEOPLE, data_class=data_class)
    _, asking = await consumer_of(world, dataset, None, columns=["no", "name"])

    answer = await world.client.get(
        f"/v1/datasets/{dataset}/aggregate",
        params={"purpose": PURPOSE, "group_by": "name"}, headers=asking,
    )  # fmt: skip

    assert [each["values"]["count"] for each in answer.json()["groups"]] == [5, 1, 4]


async def test_how_many_people_there_are_is_no_part_of_the_catalogue(world: World) -> None:
    dataset = await stocked_by_sender(world, PEOPLE)
    anybody = await reader(world, await stocked(world, []), SAKAI)

    about = [
        await world.client.get(f"/v1/datasets/{dataset}{door}", headers=who)
        for door in ("", "/schema", "/quality", "/versions", "/files")
        for who in ({}, anybody)
    ]
    about += [
        await world.client.get(where)
        for where in (f"/opendata/datasets/{dataset}.jsonld", f"/ogc/collections/{dataset}")
    ]

    for each in about:
        assert each.status_code in (200, 401, 403, 404)
        assert '"row_count"' not in each.text
        assert '"rows"' not in each.text
        assert '"records":' not in each.text
