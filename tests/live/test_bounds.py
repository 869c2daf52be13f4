"""What may not leave a live dataset does not: columns, rows, names of people, whoever asks how."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from app.api.state import Platform
from app.audit.events import Event
from app.models.parties import Role
from tests.connectors.sources import reply
from tests.live.stage import SELECTION, Stage, stage_of
from tests.oauth.senders import under
from tests.rows.test_views import declare
from tests.rows.town import consumer_of
from tests.stock import PURPOSE, agreed, path
from tests.subjects import register
from tests.subjects.register import IKEDA, Reader
from tests.world import SAKAI, World

HIDDEN = ("S-1", "770033", "135.9", "south", "2019-01-05", "W-1")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def some(
    platform: Platform, client: httpx.AsyncClient
) -> AsyncIterator[tuple[Stage, dict[str, str]]]:
    """A live dataset, and who may read some of it."""
    world = World(platform, client)
    async with stage_of(world) as stage:
        _, bounded = await consumer_of(world, stage.dataset, "ward = 'north'")
        yield stage, bounded


@pytest.mark.parametrize(
    "query",
    [
        {}, {"sort": "-no"}, {"limit": "1", "count": "true"}, {"f": "geojson"}, {"f": "csv"},
        {"f": "ndjson"}, {"filter": "size > 0 OR size IS NULL OR 1=1"}, {"q": "水"},
        {"bbox": "135,34,136,36", "count": "true"}, {"no": "S-1"},
    ],
    ids=str,
)  # fmt: skip
async def test_a_reader_of_some_rows_and_columns_gets_no_others(
    some: tuple[Stage, dict[str, str]], world: World, query: dict[str, str]
) -> None:
    stage, bounded = some

    answer = await stage.read(who=bounded, **{"purpose": PURPOSE, **query})

    assert answer.status_code == 200, answer.text
    told = answer.text.replace(answer.request.url.query.decode(), "")
    assert not [each for each in HIDDEN if each in told]
    assert '"numberMatched":2' in told or "count" not in query
    [read] = await world.log(Event.RECORDS_READ)
    assert read["rows"] <= 2
    assert "ward" not in read["columns"]


async def test_what_is_no_record_of_the_others_rows_is_not_counted_for_who_may_see_some(
    stage: Stage, world: World
) -> None:
    _, bounded = await consumer_of(world, stage.dataset, "ward <> 'south'")
    stage.rows[2]["size"] = "many"

    own, other = await stage.read(), await stage.read(who=bounded, purpose=PURPOSE)

    assert own.json()["meta"]["rejected"] == 1
    assert "rejected" not in other.json()["meta"]


async def test_hidden_columns_can_be_named_nowhere_and_a_hidden_record_is_none(
    stage: Stage, world: World
) -> None:
    _, bounded = await consumer_of(world, stage.dataset, "ward = 'north'")
    asked = len(stage.source.asked)

    named = [
        await stage.read(who=bounded, purpose=PURPOSE, **query)
        for query in (
            {"ward": "south"},
            {"sort": "ward"},
            {"fields": "ward"},
            {"filter": "fee > 1"},
        )
    ]
    secret = await stage.read("S-1", bounded, purpose=PURPOSE)

    assert {(each.status_code, each.json()["code"]) for each in named} == {
        (403, "column_not_visible")
    }
    assert len(stage.source.asked) == asked + 1  # for the record alone
    assert (secret.status_code, secret.json()["code"]) == (404, "record_not_found")


async def test_who_may_not_read_is_refused_before_the_source_is_asked(
    stage: Stage, world: World
) -> None:
    _, bounded = await consumer_of(world, stage.dataset, None)

    nobody = await world.client.get(path(stage.dataset))
    other = await stage.read(who=bounded, purpose="health")

    assert (nobody.status_code, other.status_code) == (401, 403)
    assert stage.source.asked == []
    refused = [each["reason"] for each in await world.log(Event.RECORDS_REFUSED)]
    assert refused == ["token_required", "purpose_not_agreed"]


async def test_what_the_source_can_judge_is_asked_of_it_and_judged_again(stage: Stage) -> None:
    asked = await stage.read(ward="north", filter="size > 10")
    stage.source.answer = lambda _: reply({"items": stage.rows})  # whatever it is asked

    believed = await stage.names(ward="north", filter="size > 10")

    assert [each["no"] for each in asked.json()["records"]] == believed == ["N-2"]
    assert stage.source.asked[0].query == {"ward": "north"}
    assert asked.json()["meta"]["done_here"] == ["filter", "page"]


async def test_a_question_asks_for_nothing_that_the_selection_leaves_out(stage: Stage) -> None:
    await stage.feed(selection={**SELECTION, "query": {"ward": "north"}})

    other, own = await stage.names(ward="south"), await stage.names(size="20")

    assert (other, own) == ([], ["N-2"])
    assert [each.query for each in stage.source.asked] == [{"ward": "north"}] * 2


async def test_names_of_people_leave_as_each_organisation_knows_them(world: World) -> None:
    names = await world.platform.linker.new_people("271004-kenko", 2)
    async with stage_of(world, register.SPECS, data_class="personal") as stage:
        stage.rows = [register.record(at, name) for at, name in enumerate(names, start=1)]
        await register.declare(world, stage.dataset, "person")
        told = {}
        for organization in (SAKAI, IKEDA):
            reader = await _agreed(world, stage, organization)
            answers = [
                await register.ask(world, reader, path(stage.dataset), **query)
                for query in ({}, {"f": "csv"}, {"f": "ndjson"}, {"f": "geojson"})
            ]
            assert answers[0].status_code == 200, answers[0].text
            told[organization] = [e["person"] for e in answers[0].json()["records"]]
            mine = {"person": told[organization][1]}
            own = await register.ask(world, reader, path(stage.dataset), **mine)

            assert [e["no"] for e in own.json()["records"]] == ["N-2"]
            for answer in answers:
                assert answer.status_code == 200, answer.text
                assert not [name for name in names if name in answer.text]
                assert all(name in answer.text for name in told[organization])
        assert set(told[SAKAI]).isdisjoint(told[IKEDA])
        assert [e["subjects"] for e in await world.log(Event.RECORDS_READ)] == [2, 2, 2, 2, 1] * 2


@pytest.mark.parametrize("form", ["json", "csv", "ndjson"])
async def test_an_individual_number_in_a_source_leaves_by_no_form(stage: Stage, form: str) -> None:
    await stage.feed(stale_for_seconds=600)
    await stage.read(f=form)
    stage.rows[0]["name"] = "番号 1234-5678-9018"

    answers = [await stage.read(f=form), await stage.read(f=form, fields="no")]

    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (502, "live_source_broken")
        assert "individual_number" in answer.json()["detail"]
        assert "9018" not in answer.text


async def test_where_each_person_has_to_consent_nothing_is_given_live(world: World) -> None:
    async with stage_of(world, register.SPECS, data_class="personal") as stage:
        await register.declare(world, stage.dataset, "person")
        view = {"columns": ["no", "note"], "consent": True}
        assert (await declare(world, stage.dataset, view)).status_code == 200
        reader = await _agreed(world, stage, SAKAI)

        answer = await register.ask(world, reader, path(stage.dataset))

        assert (answer.status_code, answer.json()["code"]) == (409, "dataset_is_live")
        assert stage.source.asked == []


async def _agreed(world: World, stage: Stage, organization: str) -> Reader:
    party = await world.party(organization, Role.DEVELOPER)
    agreement, _ = await agreed(world, stage.dataset, party, actions=["read"])
    details = {"authorization_details": under(agreement, "read")}
    return Reader(world, party, f"dataset:{stage.dataset}:read", details)
