"""Four eyes: where a body asks for it, whoever loaded a version of public data does not publish it."""

from typing import Any

import httpx
import pytest

from app.audit.events import Event
from app.models.parties import Role
from tests.oauth.people import acting, somebody
from tests.stock import declared, path
from tests.world import KENKO, World

FILE = b"no,name\n1,a\n"
MORE = b"no,name\n1,a\n2,b\n"
pytestmark = pytest.mark.usefixtures("worker")


async def asks(world: World, approval: str | None, body: str = "271004") -> None:
    """Have the whole city ask for it: the unit that publishes stands below."""
    admin = await world.token(await world.party(KENKO, Role.OPERATOR), "admin:write")
    answer = await world.client.post(
        f"/v1/admin/organizations/{body}/approval", json={"approval": approval}, headers=admin
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["approval"] == approval


async def loaded(world: World, data_class: str = "public") -> tuple[str, dict[str, str], str]:
    """A dataset, the token of who loaded its first version, and where that is published."""
    specs = (("no", "code", {"key": True}), ("name", "text"))
    dataset = await world.dataset(data_class=data_class, fields=declared(specs))
    await world.platform.database.pool.execute(
        "UPDATE dataset SET license = 'CC-BY-4.0' WHERE id = $1", dataset
    )
    headers = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
    run = await world.load(headers, dataset, FILE)
    assert run["state"] == "ok", run
    return dataset, headers, f"/v1/datasets/{dataset}/versions/1/publish"


async def second(world: World) -> dict[str, str]:
    return await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")


async def test_whoever_loaded_a_version_does_not_publish_it_and_another_does(
    client: httpx.AsyncClient, world: World
) -> None:
    await asks(world, "second_person")
    dataset, loader, publishing = await loaded(world)

    alone = await client.post(publishing, headers=loader)
    approved = await client.post(publishing, headers=await second(world))

    assert (alone.status_code, alone.json()["code"]) == (403, "second_person_needed")
    assert "another client" in alone.json()["detail"]
    assert approved.status_code == 200, approved.text
    assert [each["code"] for each in await world.log(Event.CALL_REFUSED)] == [
        "second_person_needed"
    ]
    entry = (await world.log(Event.VERSION_PUBLISHED))[0]
    assert entry["license"] == "CC-BY-4.0"
    assert entry["loaded_by"] != entry["by"]
    assert (await client.get(path(dataset))).status_code == 200


async def test_who_loaded_it_is_the_person_whatever_app_is_used(
    client: httpx.AsyncClient, world: World
) -> None:
    await asks(world, "second_person")
    dataset, _, publishing = await loaded(world)
    apps = [await world.party(KENKO) for _ in range(2)]
    people = [await somebody(world, KENKO, Role.STEWARD) for _ in range(2)]
    one, same, other = [
        await acting(world, app, person, "catalogue:write")
        for app, person in ((apps[0], people[0]), (apps[1], people[0]), (apps[0], people[1]))
    ]
    loading, publishing = f"/v1/datasets/{dataset}/versions", publishing.replace("/1/", "/2/")
    sent = await client.post(loading, content=MORE, headers=one.headers(loading, "POST"))
    await world.ended(await second(world), sent.json()["id"])
    rejects = f"/v1/runs/{sent.json()['id']}/rejects.csv"

    shown = await client.get(rejects, headers=one.headers(rejects))
    alone, approved = [
        await client.post(publishing, headers=each.headers(publishing, "POST"))
        for each in (same, other)
    ]

    assert shown.status_code == 200, shown.text
    assert (alone.status_code, alone.json()["code"]) == (403, "second_person_needed")
    assert approved.status_code == 200, approved.text
    entry = (await world.log(Event.VERSION_PUBLISHED))[-1]
    assert [entry["loaded_by"], entry["by"]] == people


async def test_an_app_by_itself_is_no_second_person_to_who_signed_in_to_it(
    client: httpx.AsyncClient, world: World
) -> None:
    await asks(world, "second_person")
    dataset, _, _ = await loaded(world)
    loading = f"/v1/datasets/{dataset}/versions"
    app = await world.party(KENKO, Role.STEWARD)
    person = await acting(world, app, await somebody(world, KENKO, Role.STEWARD), "catalogue:write")
    itself = await world.token(app, "catalogue:write")
    # Each of the two loads, and the other one would publish.
    sent = await client.post(loading, content=MORE, headers=person.headers(loading, "POST"))
    by_person = await world.ended(itself, sent.json()["id"])
    by_app = await world.load(itself, dataset, MORE + b"3,c\n")
    paths = [f"{loading}/{run['version_number']}/publish" for run in (by_person, by_app)]

    refused = [
        await client.post(paths[0], headers=itself),
        await client.post(paths[1], headers=person.headers(paths[1], "POST")),
    ]
    approved = await client.post(paths[1], headers=await second(world))

    codes = [(each.status_code, each.json().get("code")) for each in refused]
    assert codes == [(403, "second_person_needed")] * 2
    assert approved.status_code == 200
    entry = (await world.log(Event.VERSION_PUBLISHED))[-1]
    assert entry["loaded_by"] == app.id


async def test_correcting_anothers_file_makes_nobody_of_the_two_a_second_person(
    client: httpx.AsyncClient, world: World
) -> None:
    await asks(world, "second_person")
    dataset, loader, _ = await loaded(world)
    poor = await world.load(loader, dataset, b"no,name\n1,a\n,b\n")
    other = await second(world)
    mended = await world.load(other, dataset, b"no,name\n2,b\n", corrects=poor["id"])
    publishing = f"/v1/datasets/{dataset}/versions/{mended['version_number']}/publish"

    statuses = [
        (await client.post(publishing, headers=who)).status_code
        for who in (loader, other, await second(world))
    ]

    assert statuses == [403, 403, 200]


async def test_records_do_not_go_round_it(client: httpx.AsyncClient, world: World) -> None:
    await asks(world, "second_person")
    dataset, _, publishing = await loaded(world)
    await client.post(publishing, headers=await second(world))
    writer = await world.token(await world.party(KENKO), f"dataset:{dataset}:write")

    written = await client.post(path(dataset), json=[{"no": "2"}], headers=writer)
    deleted = await client.delete(path(dataset, "1"), headers=writer)

    for answer in (written, deleted):
        assert (answer.status_code, answer.json()["code"]) == (403, "records_need_approval")
    assert len((await client.get(path(dataset))).json()["records"]) == 1


async def test_going_back_to_what_was_approved_needs_nobody(
    client: httpx.AsyncClient, world: World
) -> None:
    await asks(world, "second_person")
    dataset, loader, publishing = await loaded(world)
    other = await second(world)
    await client.post(publishing, headers=other)
    run = await world.load(loader, dataset, MORE)
    await world.publish(other, run)

    back = await client.post(f"/v1/datasets/{dataset}/rollback", json={"to": 1}, headers=loader)

    assert back.status_code == 200, back.text


@pytest.mark.parametrize(
    ("approval", "data_class"), [(None, "public"), ("second_person", "internal")]
)
async def test_where_nobody_asks_for_it_one_person_is_enough(
    client: httpx.AsyncClient, world: World, approval: Any, data_class: str
) -> None:
    await asks(world, approval)
    _, loader, publishing = await loaded(world, data_class)

    alone = await client.post(publishing, headers=loader)

    assert alone.status_code == 200, alone.text


async def test_a_steward_does_not_lift_it(client: httpx.AsyncClient, world: World) -> None:
    await asks(world, "second_person")

    lifted = await client.post(
        "/v1/admin/organizations/271004/approval",
        json={"approval": None},
        headers=await second(world),
    )

    assert (lifted.status_code, lifted.json()["code"]) == (403, "insufficient_scope")
