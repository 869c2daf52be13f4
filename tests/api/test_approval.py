"""Four eyes: where a body asks for it, whoever loaded a version of public data does not publish it."""

from typing import Any

import httpx
import pytest

from app.audit.events import Event
from app.models.parties import Role
from tests.oauth.people import acting, somebody
from tests.oauth.signing_in import an_app
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


async def test_a_second_app_makes_nobody_a_second_person_and_a_colleague_in_the_same_app_is_one(
    client: httpx.AsyncClient, world: World
) -> None:
    await asks(world, "second_person")
    dataset, _, _ = await loaded(world)
    one, other = [await somebody(world, KENKO, Role.STEWARD) for _ in range(2)]
    first, second_app = [await an_app(world, staff_of=(KENKO,)) for _ in range(2)]
    sending = f"/v1/datasets/{dataset}/versions"
    loader = await acting(world, first, one, "catalogue:write")
    sent = await client.post(sending, content=MORE, headers=loader.headers(sending, "POST"))
    run = await world.ended(await second(world), sent.json()["id"])
    publishing = f"{sending}/{run['version_number']}/publish"

    answers = []
    for app, person in ((first, one), (second_app, one), (first, other)):
        caller = await acting(world, app, person, "catalogue:write")
        answers.append(await client.post(publishing, headers=caller.headers(publishing, "POST")))

    assert [each.status_code for each in answers] == [403, 403, 200], answers[-1].text
    entry = (await world.log(Event.VERSION_PUBLISHED))[-1]
    assert (entry["loaded_by"], entry["by"]) == (one, other)


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
