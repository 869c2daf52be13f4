"""What people ask for is heard in public, answered in public, and closed with a dataset."""

from typing import Any

import httpx
import pytest

from app.audit.events import Event
from app.models.parties import Role
from tests.stock import put, stocked
from tests.world import KENKO, SAKAI, World

OSAKA = "271004"
WISH = {"title": "定員を知りたい", "text": "福祉避難所の定員が分かりません。"}


async def steward(world: World, organization: str) -> dict[str, str]:
    return await world.token(await world.party(organization, Role.STEWARD), "catalogue:write")


async def asker(world: World) -> dict[str, str]:
    return await world.token(await world.party(SAKAI, Role.DEVELOPER), "agreements:write")


async def raised(world: World, **more: Any) -> dict[str, Any]:
    body = {**WISH, "municipality": OSAKA, **more}
    sent = await world.client.post(
        "/v1/needs",
        json={name: value for name, value in body.items() if value is not None},
        headers=await asker(world),
    )
    assert sent.status_code == 201, sent.text
    made: dict[str, Any] = sent.json()
    return made


async def test_a_need_is_asked_answered_and_closed_with_the_dataset_that_answers_it(
    client: httpx.AsyncClient, world: World
) -> None:
    need = await raised(world)
    dataset = await stocked(world, [{"no": "1", "name": "架空", "size": 1}])
    own = await steward(world, KENKO)
    path = f"/v1/needs/{need['id']}"

    answered = await client.post(f"{path}/reply", json={"text": "公開します。"}, headers=own)
    closed = await client.post(f"{path}/close", json={"dataset": dataset}, headers=own)

    assert (need["state"], need["addressee"], need["asker"]) == ("open", OSAKA, SAKAI)
    assert (answered.status_code, answered.json()["state"]) == (200, "answered")
    assert (closed.status_code, closed.json()["state"]) == (200, "closed")
    seen = (await client.get(path)).json()
    assert [reply["text"] for reply in seen["replies"]] == ["公開します。"]
    links = {link["rel"]: link["href"] for link in seen["links"]}
    assert links["answer"].endswith(f"/v1/datasets/{dataset}")
    told = await world.log(Event.NEED_RAISED, Event.NEED_ANSWERED, Event.NEED_CLOSED)
    assert [facts["event"] for facts in told] == ["need.raised", "need.answered", "need.closed"]
    assert told[2]["dataset"] == dataset
    assert all("text" not in facts and "title" not in facts for facts in told)


async def test_feedback_on_a_dataset_goes_to_the_body_of_its_publisher(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [])

    need = await raised(world, municipality=None, dataset=dataset)

    assert (need["addressee"], need["municipality"], need["dataset"]) == (OSAKA, OSAKA, dataset)
    listed = (await client.get("/v1/needs", params={"dataset": dataset})).json()["items"]
    assert [each["id"] for each in listed] == [need["id"]]


async def test_only_a_steward_of_the_body_that_is_addressed_answers(
    client: httpx.AsyncClient, world: World
) -> None:
    need = await raised(world)
    dataset = await stocked(world, [{"no": "1", "name": "架空", "size": 1}])
    path = f"/v1/needs/{need['id']}"
    other = await steward(world, SAKAI)

    answers = [
        await client.post(f"{path}/reply", json={"text": "-"}, headers=other),
        await client.post(f"{path}/close", json={"dataset": dataset}, headers=other),
        await client.post(f"{path}/reply", json={"text": "-"}, headers=await asker(world)),
        await client.post(f"{path}/reply", json={"text": "-"}),
        await client.post("/v1/needs", json={**WISH, "municipality": OSAKA}),
    ]

    assert [(a.status_code, a.json()["code"]) for a in answers] == [
        (403, "not_the_addressee"),
        (403, "not_the_addressee"),
        (403, "insufficient_scope"),
        (401, "token_required"),
        (401, "token_required"),
    ]
    refused = [facts["code"] for facts in await world.log(Event.CALL_REFUSED)]
    assert refused[:2] == ["not_the_addressee"] * 2
    assert (await client.get(path)).json()["state"] == "open"


async def test_a_need_is_closed_only_with_a_dataset_that_people_get(
    client: httpx.AsyncClient, world: World
) -> None:
    need = await raised(world)
    own = await steward(world, KENKO)
    empty = await stocked(world, [])
    hidden = await stocked(world, [{"no": "1", "name": "架空", "size": 1}], hidden=True)
    withdrawn = await stocked(world, [{"no": "1", "name": "架空", "size": 1}])
    await client.post(f"/v1/datasets/{withdrawn}/withdraw", json={"reason": "-"}, headers=own)
    path = f"/v1/needs/{need['id']}/close"

    answers = [
        await client.post(path, json={"dataset": each}, headers=own)
        for each in ("no-such", empty, hidden, withdrawn)
    ]

    assert [(a.status_code, a.json()["code"]) for a in answers] == [
        (404, "dataset_not_found"),
        (404, "no_version_published"),
        (404, "dataset_not_found"),
        (410, "dataset_withdrawn"),
    ]


async def test_what_is_closed_stays_closed(client: httpx.AsyncClient, world: World) -> None:
    need = await raised(world)
    dataset = await stocked(world, [])
    await put(world, dataset, [{"no": "1", "name": "架空", "size": 1}])
    own = await steward(world, KENKO)
    path = f"/v1/needs/{need['id']}"
    await client.post(f"{path}/close", json={"dataset": dataset}, headers=own)

    again = [
        await client.post(f"{path}/close", json={"dataset": dataset}, headers=own),
        await client.post(f"{path}/reply", json={"text": "-"}, headers=own),
    ]

    assert [(a.status_code, a.json()["code"]) for a in again] == [(409, "need_closed")] * 2


@pytest.mark.parametrize("to", [{}, {"municipality": "999999"}, {"municipality": OSAKA, "dataset": "shelters"}])  # fmt: skip
async def test_a_need_that_is_addressed_to_nobody_or_to_two_is_refused(
    client: httpx.AsyncClient, world: World, to: dict[str, str]
) -> None:
    sent = await client.post("/v1/needs", json={**WISH, **to}, headers=await asker(world))

    assert (sent.status_code, sent.json()["code"]) == (422, "need_unaddressed")


async def test_feedback_does_not_tell_that_a_hidden_dataset_exists(
    client: httpx.AsyncClient, world: World
) -> None:
    hidden = await stocked(world, [], hidden=True)
    own = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")

    sent = await client.post("/v1/needs", json={**WISH, "dataset": hidden}, headers=own)

    assert (sent.status_code, sent.json()["code"]) == (404, "dataset_not_found")


async def test_the_list_is_paged_newest_first_and_filtered(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [])
    made = [
        await raised(world, municipality=None, dataset=dataset, title=f"第{at}") for at in range(5)
    ]
    await client.post(
        f"/v1/needs/{made[2]['id']}/reply", json={"text": "-"}, headers=await steward(world, KENKO)
    )
    titles, cursor = [], None

    while True:
        query: dict[str, str | int] = {
            "dataset": dataset,
            "limit": 2,
            **({"cursor": cursor} if cursor else {}),
        }
        page = (await client.get("/v1/needs", params=query)).json()
        titles += [each["title"] for each in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break

    assert titles == ["第4", "第3", "第2", "第1", "第0"]
    answered = await client.get("/v1/needs", params={"dataset": dataset, "state": "answered"})
    assert [each["title"] for each in answered.json()["items"]] == ["第2"]
