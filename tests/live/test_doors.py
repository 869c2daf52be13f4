"""A live dataset at every door: answered from its source at one, and at all others refused alike."""

import re
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio

from app.api.state import Platform
from app.audit.events import Event
from tests.live.stage import Stage, stage_of
from tests.rows.test_doors import CKAN, DOORS, addresses
from tests.stock import put
from tests.versioned import base
from tests.world import World

# What stands in a record of the source, and in nothing that is said about the dataset.
_RECORDS: Final = ("青葉", "770033", "緑,丘", "34.71", "水辺")
_ANSWERED: Final = re.compile(r"/records(/\{key:path\})?$")
_OF_STORED: Final = re.compile(r"aggregate|changes|diff|files|items")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def live(platform: Platform, client: httpx.AsyncClient) -> AsyncIterator[Stage]:
    """One for all doors, open data: so that they are asked by nobody too."""
    world = World(platform, client)
    async with stage_of(world, data_class="public") as made:
        await world.platform.database.pool.execute(
            "UPDATE dataset SET license = 'CC-BY-4.0' WHERE id = $1", made.dataset
        )
        platform.live.changed("dataset", made.dataset)
        yield made


@pytest.mark.parametrize("where", DOORS)
async def test_a_door_answers_from_the_source_or_refuses_in_words(live: Stage, where: str) -> None:
    for query in DOORS[where]:
        for address in dict.fromkeys(addresses(where, live.dataset)):
            asked = len(live.source.asked)
            answer = await live.world.client.get(address, params=query, headers=live.reader)

            told = answer.text
            assert answer.status_code < 500, told
            if _ANSWERED.search(where) and answer.status_code == 200:
                assert len(live.source.asked) > asked
                continue
            assert not [each for each in _RECORDS if each in told], (address, query, told)
            assert len(live.source.asked) == asked or answer.status_code == 404
            if _OF_STORED.search(where) and "{name}" not in where:
                assert (answer.status_code, answer.json()["code"]) == (409, "dataset_is_live"), told


@pytest.mark.parametrize(
    "query",
    [
        {"version": "1"}, {"version": "0"}, {"as_of": "2099"}, {"f": "parquet"}, {"f": "xlsx"},
        {"expand": "other"}, {"originals": "true"},
    ],
    ids=str,
)  # fmt: skip
async def test_what_needs_stored_records_is_refused_in_both_languages_and_logged(
    live: Stage, world: World, query: dict[str, Any]
) -> None:
    answer = await live.read(**query)
    ja = await live.world.client.get(
        base(live.dataset) + "/records", params=query, headers={"Accept-Language": "ja"}
    )

    assert (answer.status_code, answer.json()["code"]) == (409, "dataset_is_live")
    assert "its source is asked at each read" in answer.json()["detail"]
    assert "その都度問い合わせ" in ja.json()["detail"]
    refused = [each["reason"] for each in await world.log(Event.RECORDS_REFUSED)]
    assert refused == ["dataset_is_live"] * 2


@pytest.mark.parametrize("action", sorted(CKAN))
async def test_the_doors_of_ckan_hold_no_record_of_it(live: Stage, action: str) -> None:
    about = {"resource_id": live.dataset, "id": live.dataset}
    about["sql"] = f'SELECT * FROM "{live.dataset}"'
    for named in (live.dataset, f"{live.dataset}.csv"):
        about |= {"resource_id": named, "id": named}
        answer = await live.world.client.get(f"/api/3/action/{action}", params=about)

        assert 400 <= answer.status_code < 500
        assert not [each for each in _RECORDS if each in answer.text]


async def test_nobody_writes_records_to_what_its_source_answers_for(live: Stage) -> None:
    with pytest.raises(AssertionError, match="dataset_is_live"):
        await put(live.world, live.dataset, [{"no": "X-1"}])


async def test_beside_other_records_it_is_not_looked_up(live: Stage, world: World) -> None:
    from tests.stock import KEYED, stocked  # noqa: PLC0415

    other = await stocked(world, [{"no": "N-1", "name": "a", "size": 1}], KEYED)
    pool = world.platform.database.pool
    join = f'[{{"name":"beside","dataset":"{live.dataset}","here":"no","there":"no"}}]'
    await pool.execute("UPDATE dataset SET joins = $2::jsonb WHERE id = $1", other, join)
    world.platform.live.changed("dataset", other)

    answer = await world.client.get(base(other) + "/records", params={"expand": "beside"})

    assert (answer.status_code, answer.json()["code"]) == (409, "dataset_is_live")
