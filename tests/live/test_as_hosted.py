"""A live dataset answers as a hosted one with the same records does, word for word."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from app.api.state import Platform
from tests.live.stage import ROWS, SPECS, Stage, stage_of
from tests.rows.test_views import declare
from tests.rows.town import ask
from tests.stock import path, stocked
from tests.world import World

SQUARE = "S_INTERSECTS(geometry, BBOX(135.4,34.6,135.6,34.8))"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def both(platform: Platform, client: httpx.AsyncClient) -> AsyncIterator[tuple[Stage, str]]:
    """The live one, and the hosted one's name."""
    world = World(platform, client)
    hosted = await stocked(world, ROWS, SPECS, data_class="internal")
    async with stage_of(world) as live:
        yield live, hosted


def records_of(answer: httpx.Response) -> Any:
    """What an answer holds beside its envelope."""
    assert answer.status_code == 200, answer.text
    if answer.headers["content-type"].startswith("text/csv"):
        return answer.text
    if answer.headers["content-type"].startswith("application/x-ndjson"):
        return [json.loads(line) for line in answer.text.splitlines()]
    told = answer.json()
    if "record" in told or "properties" in told:
        return told.get("record", told.get("properties"))
    counted = [told.get(name) for name in ("numberReturned", "numberMatched")]
    links = [each["rel"] for each in told["links"]]
    return counted, links, told.get("records", told.get("features"))


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"fields": "name,no"},
        {"ward": "north"},
        {"ward": "north", "size": "20"},
        {"filter": "size > 10 AND ward <> 'west'"},
        {"filter": "NOT (name LIKE '青%') OR size IS NULL"},
        {"filter": "CASEI(no) = CASEI('n-1')"},
        {"filter": "fee * 2 >= 3"},
        {"filter": "opened > DATE('2020-01-01')"},
        {"filter": "checked < TIMESTAMP('2026-01-01T00:00:00Z')"},
        {"filter": SQUARE},
        {"bbox": "135,34.6,136,34.8", "count": "true"},
        {"lat": "34.7", "lon": "135.5", "radius": "80000"},
        {"sort": "-size,no"},
        {"sort": "opened,-no", "limit": "2", "count": "true"},
        {"q": "水辺"},
        {"limit": "2"},
        {"f": "geojson"},
        {"f": "geojson", "fields": "name", "sort": "-no"},
        {"f": "csv"},
        {"f": "csv", "labels": "ja", "charset": "cp932", "sort": "name"},
        {"f": "csv", "filter": "size = 20", "limit": "1"},
        {"f": "ndjson", "lat": "34.7", "lon": "135.5", "radius": "80000"},
    ],
    ids=str,
)
async def test_the_same_question_has_the_same_answer(
    both: tuple[Stage, str], query: dict[str, Any]
) -> None:
    live, hosted = both

    of_hosted = await live.world.client.get(
        path(hosted), params={"purpose": "own-duty", **query},
        headers=await live.world.token(await live.world.party(), f"dataset:{hosted}:read"),
    )  # fmt: skip
    of_live = await live.read(**query)

    assert records_of(of_live) == records_of(of_hosted)


async def test_pages_lead_through_all_records_once(both: tuple[Stage, str]) -> None:
    live, _ = both
    seen: list[str] = []
    shifts: list[bool] = []
    query: dict[str, Any] = {"sort": "-size", "limit": "2"}

    for _ in range(3):
        page = (await live.read(**query)).json()
        seen += [each["no"] for each in page["records"]]
        shifts.append(page["meta"].get("pages_may_shift", False))
        following = [each["href"] for each in page["links"] if each["rel"] == "next"]
        query |= {"cursor": httpx.URL(following[0]).params["cursor"]} if following else {}

    assert seen == ["S-1", "N-2", "W-1", "N-1", "S-2"]
    assert not following
    assert shifts == [True, True, False]  # the last page leads nowhere


async def test_a_whole_answer_begins_where_its_cursor_says(both: tuple[Stage, str]) -> None:
    live, _ = both
    links = (await live.read(limit="3")).json()["links"]
    [following] = [each["href"] for each in links if each["rel"] == "next"]

    rest = await live.read(f="ndjson", fields="no", cursor=httpx.URL(following).params["cursor"])

    assert rest.text == '{"no":"S-2"}\n{"no":"W-1"}\n'


async def test_one_record_is_found_by_its_key_and_its_absence_is_logged(
    both: tuple[Stage, str], world: World
) -> None:
    live, _ = both

    here, none = await live.read("N-2"), await live.read("X-9")

    assert here.json()["record"]["name"] == "緑,丘"
    assert (none.status_code, none.json()["code"]) == (404, "record_not_found")
    assert [each["rows"] for each in await world.log() if "rows" in each] == [1, 0]


MASKS = {
    "no": "pseudonymise", "name": "first(1)", "size": "bin(15)", "opened": "year",
    "checked": "month", "lat": "mesh3", "lon": "round(1)",
}  # fmt: skip


@pytest.mark.parametrize("form", ["json", "geojson", "csv"])
async def test_what_a_purpose_masks_is_masked_alike(
    both: tuple[Stage, str], world: World, form: str
) -> None:
    live, hosted = both
    told = []
    view = {"columns": [*MASKS, "fee"], "masks": MASKS, "rows": "size < 1000"}

    for dataset in (hosted, live.dataset):
        assert (await declare(world, dataset, view)).status_code == 200
        body = await world.token(await world.party("271004-digital"), f"dataset:{dataset}:read")
        answer = await ask(world, path(dataset), body, f=form)
        told.append(answer)

    # Each dataset has stand-ins of its own: of these only the form is compared.
    texts = [re.sub(r"[0-9a-f]{32}", "stand-in", each.text) for each in told]
    if form == "csv":
        assert texts[0] == texts[1]
    else:
        held = [json.loads(text) for text in texts]
        names = ("records", "features", "numberReturned")
        assert [held[0].get(name) for name in names] == [held[1].get(name) for name in names]
        assert held[0]["meta"]["masks"] == held[1]["meta"]["masks"]
    assert texts[1].count("stand-in") >= 3
    assert not [each for each in ("N-1", "青葉", "2020-04", "135.51", "S-1") if each in texts[1]]
