"""The shelf from outside: forms by Accept, the feed, sitemaps, data.json, and what was withdrawn."""

from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import feedparser
import httpx
import pytest
import rdflib

from app.audit.events import Event
from app.formats.licences import LICENCES
from app.models.parties import Role
from tests.stock import KEYED, Spec, put, stocked
from tests.world import KENKO, SAKAI, World

# What rdflib says of its own insides.
pytestmark = pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated")
ISSUER = "http://urbanos.test"
ROWS = [{"no": "1", "name": "架空", "size": 3}]
HIDDEN: tuple[Spec, ...] = (*KEYED, ("phone", "text", {"visibility": "internal"}))
HOSTILE = "</title><script>alert(1)</script>&\ufffe\uffff𠮷\r\n"
ENDINGS = ("", ".jsonld", ".ttl", ".rdf", "/croissant.json", "/schema-org.jsonld")


async def steward(world: World, scope: str = "catalogue:write") -> dict[str, str]:
    return await world.token(await world.party(KENKO, Role.STEWARD), scope)


async def withdraw(world: World, dataset: str, reason: str = "統合により終了") -> None:
    ended = await world.client.post(
        f"/v1/datasets/{dataset}/withdraw", json={"reason": reason}, headers=await steward(world)
    )
    assert ended.status_code == 200, ended.text


async def feed(client: httpx.AsyncClient, **asked: Any) -> list[ElementTree.Element]:
    """Entries and tombstones of all pages, as they come."""
    found: list[ElementTree.Element] = []
    path: str | None = str(httpx.URL("/opendata/feed.atom", params=asked))
    while path:
        root = ElementTree.fromstring((await client.get(path)).content)
        path = None
        for each in root:
            if each.tag.endswith(("}entry", "}deleted-entry")):
                found.append(each)
            elif each.get("rel") == "next":
                path = each.get("href")
    return found


def name_of(element: ElementTree.Element) -> str:
    """The dataset that an entry or a tombstone is of."""
    told = element.get("ref") or element.findtext("{http://www.w3.org/2005/Atom}id") or ""
    return told.rpartition("/")[2]


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        ("text/turtle", "text/turtle"),
        ("application/rdf+xml;q=0.9, text/turtle;q=0.1", "application/rdf+xml"),
        ("application/json", "application/ld+json"),
        ("*/*", "application/ld+json"),
        ("application/ld+json;q=0, */*;q=0.1", "text/turtle"),
        ("image/png", None),
        ("text/turtle;q=zero", None),
    ],
)
async def test_one_address_gives_the_form_that_is_accepted(
    client: httpx.AsyncClient, world: World, accept: str, media_type: str | None
) -> None:
    dataset = await stocked(world, ROWS)

    for path in ("/opendata/catalog", f"/opendata/datasets/{dataset}"):
        answer = await client.get(path, headers={"Accept": accept})
        head = await client.head(path, headers={"Accept": accept})

        if media_type is None:
            assert (answer.status_code, answer.json()["code"]) == (406, "form_not_offered")
            continue
        assert answer.headers["content-type"].partition(";")[0] == media_type
        assert "Accept" in answer.headers["vary"]
        assert (head.status_code, head.headers["etag"]) == (200, answer.headers["etag"])


async def test_the_catalogue_is_the_same_in_every_syntax_and_leads_on_in_its_own(
    client: httpx.AsyncClient, world: World
) -> None:
    made = {await stocked(world, ROWS) for _ in range(3)}

    for ending, syntax in (("jsonld", "json-ld"), ("ttl", "turtle"), ("rdf", "xml")):
        found: set[str] = set()
        path: str | None = f"/opendata/catalog.{ending}?limit=2"
        while path:
            answer = await client.get(path)
            graph = rdflib.Graph().parse(data=answer.content, format=syntax)
            found |= {str(each) for each in graph.objects(None, rdflib.DCTERMS.identifier)}
            following = list(
                graph.objects(None, rdflib.URIRef("http://www.w3.org/ns/hydra/core#next"))
            )
            path = str(following[0]) if following else None
            assert path is None or path.startswith(f"{ISSUER}/opendata/catalog.{ending}?limit=2&")
        assert made <= found


async def test_a_column_that_not_everybody_sees_is_named_nowhere_on_the_shelf(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [{**ROWS[0], "phone": "0"}], HIDDEN)

    for ending in ENDINGS:
        answer = await client.get(
            f"/opendata/datasets/{dataset}{ending}", headers={"Accept": "text/html, */*"}
        )
        assert answer.status_code == 200
        assert "phone" not in answer.text, ending
    assert "name" in answer.text


async def test_every_version_that_readers_got_is_told_with_a_download_that_works(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS)

    told = (await client.get(f"/opendata/datasets/{dataset}.jsonld")).json()["dcat:hasVersion"]

    assert [each["dcat:version"] for each in told] == ["1"]
    assert told[0]["dcat:isVersionOf"] == {"@id": f"{ISSUER}/opendata/datasets/{dataset}"}
    download = await client.get(told[0]["dcat:distribution"]["dcat:downloadURL"]["@id"])
    assert download.text.splitlines()[1] == "1,架空,3"


async def test_hostile_titles_break_no_form(client: httpx.AsyncClient, world: World) -> None:
    dataset = await stocked(world, ROWS)
    changed = await client.patch(
        f"/v1/datasets/{dataset}",
        json={"title_ja": f"題{HOSTILE}名", "themes": [HOSTILE], "steward": {"name": HOSTILE}},
        headers=await steward(world),
    )
    assert changed.status_code == 200, changed.text

    page = await client.get(
        f"/opendata/datasets/{dataset}", headers={"Accept": "text/html", "Host": "evil.example"}
    )
    rdf = await client.get(f"/opendata/datasets/{dataset}.rdf", headers={"Host": "evil.example"})
    atom = await client.get("/opendata/feed.atom", headers={"Host": "evil.example"})
    sitemap = await client.get("/sitemap.xml", headers={"Host": "evil.example"})

    assert page.text.count("<script") == 1
    assert "script-src" not in page.headers["content-security-policy"]
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    for document in (rdf, atom, sitemap):
        assert ElementTree.fromstring(document.content) is not None
        assert "evil.example" not in document.text
    assert "evil.example" not in page.text
    assert not feedparser.parse(atom.content).bozo


async def test_the_feed_tells_the_newest_first_and_each_dataset_once(
    client: httpx.AsyncClient, world: World
) -> None:
    first, second, third = [await stocked(world, ROWS) for _ in range(3)]
    await withdraw(world, first)

    told = await feed(client, limit=1, publisher=KENKO)

    names = [name_of(each) for each in told]
    assert names[:3] == [first, third, second]
    assert len(names) == len(set(names))
    assert (
        told[0].findtext("{http://purl.org/atompub/tombstones/1.0}comment")
        == "試験: 統合により終了"
    )
    assert await feed(client, publisher=SAKAI) == []
    wrong = await client.get("/opendata/feed.atom", params={"cursor": "MjAyNg"})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_cursor")


async def test_writing_records_is_no_news_and_a_new_licence_is(
    client: httpx.AsyncClient, world: World
) -> None:
    quiet, loud = await stocked(world, ROWS), await stocked(world, ROWS)

    await put(world, quiet, [{"no": "2", "name": "架空"}])
    after_writing = [name_of(each) for each in await feed(client)]
    licensed = await client.patch(
        f"/v1/datasets/{quiet}", json={"license": "CC0-1.0"}, headers=await steward(world)
    )
    after_licence = [name_of(each) for each in await feed(client)]

    assert licensed.status_code == 200
    assert after_writing[:2] == [loud, quiet]
    assert after_licence[:2] == [quiet, loud]


@pytest.mark.parametrize(
    "path",
    ["/opendata/feed.atom", "/opendata/data.json", "/sitemap.xml", "/v1/licenses", "/robots.txt"],
)
async def test_a_harvester_that_has_it_gets_nothing_again_until_something_changes(
    client: httpx.AsyncClient, world: World, path: str
) -> None:
    await stocked(world, ROWS)
    first = await client.get(path)

    again = await client.get(path, headers={"If-None-Match": first.headers["etag"]})
    head = await client.head(path)
    await stocked(world, ROWS)
    changed = await client.get(path, headers={"If-None-Match": first.headers["etag"]})

    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    assert (head.status_code, head.headers["etag"], head.content) == (
        200,
        first.headers["etag"],
        b"",
    )
    is_constant = path in ("/v1/licenses", "/robots.txt")
    assert changed.status_code == (304 if is_constant else 200)


async def test_the_feed_answers_by_date_to_readers_that_know_no_tags(
    client: httpx.AsyncClient, world: World, platform: Any
) -> None:
    await stocked(world, ROWS)
    unsettled = await client.get("/opendata/feed.atom")
    await platform.database.pool.execute(
        "UPDATE dataset SET announced_at = announced_at - interval '1 minute'"
    )
    first = await client.get("/opendata/feed.atom")
    long_ago = (datetime.now(UTC) - timedelta(days=9)).strftime("%a, %d %b %Y %H:%M:%S GMT")

    since = {
        name: await client.get("/opendata/feed.atom", headers={"If-Modified-Since": when})
        for name, when in (
            ("same", first.headers["last-modified"]),
            ("old", long_ago),
            ("nonsense", "yesterday"),
        )
    }

    assert {name: each.status_code for name, each in since.items()} == {
        "same": 304, "old": 200, "nonsense": 200,
    }  # fmt: skip
    assert "last-modified" not in unsettled.headers  # the second may not be over


async def test_data_json_holds_every_open_dataset_once(
    client: httpx.AsyncClient, world: World
) -> None:
    made = [await stocked(world, ROWS) for _ in range(2)]
    closed = await stocked(world, ROWS, data_class="internal")

    told = (await client.get("/opendata/data.json")).json()

    names = [each["identifier"].rpartition("/")[2] for each in told["dataset"]]
    assert set(made) <= set(names)
    assert closed not in names
    assert len(names) == len(set(names))
    assert told["conformsTo"] == "https://project-open-data.cio.gov/v1.1/schema"


async def test_search_engines_find_the_pages(client: httpx.AsyncClient, world: World) -> None:
    dataset = await stocked(world, ROWS)

    robots = (await client.get("/robots.txt")).text
    sitemap = await client.get(robots.rpartition("Sitemap: ")[2].strip())
    beyond = await client.get("/sitemaps/2.xml")

    assert f"<loc>{ISSUER}/opendata/datasets/{dataset}</loc><lastmod>" in sitemap.text
    assert sitemap.text == (await client.get("/sitemaps/1.xml")).text
    assert (beyond.status_code, beyond.json()["code"]) == (404, "sitemap_not_found")


async def test_what_is_withdrawn_is_gone_everywhere_with_the_reason(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS)

    await withdraw(world, dataset, "<b>統合</b>")

    for ending in ENDINGS:
        answer = await client.get(f"/opendata/datasets/{dataset}{ending}")
        assert (answer.status_code, answer.json()["code"]) == (410, "dataset_withdrawn"), ending
        assert "統合" in answer.json()["detail"]
    page = await client.get(f"/opendata/datasets/{dataset}", headers={"Accept": "text/html"})
    assert page.status_code == 410
    assert "&lt;b&gt;統合" in page.text
    records = await client.get(f"/v1/datasets/{dataset}/records")
    assert records.status_code == 410
    for listing in ("/opendata/catalog.jsonld?limit=1000", "/opendata/data.json", "/sitemap.xml"):
        assert dataset not in (await client.get(listing)).text, listing


async def test_the_id_of_a_withdrawn_dataset_is_given_to_no_other(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS)
    await withdraw(world, dataset)

    again = await client.post(
        "/v1/datasets",
        json={
            "id": dataset,
            "title_ja": "別",
            "steward": {"name": "別"},
            "update_frequency": "once",
        },
        headers=await steward(world),
    )

    assert (again.status_code, again.json()["code"]) == (409, "dataset_exists")


@pytest.mark.parametrize("change", ["hidden = true", "data_class = 'internal'", "license = NULL"])
async def test_what_is_withdrawn_and_not_open_was_never_on_the_shelf(
    client: httpx.AsyncClient, world: World, platform: Any, change: str
) -> None:
    dataset = await stocked(world, ROWS)
    await withdraw(world, dataset)
    await platform.database.pool.execute(f"UPDATE dataset SET {change} WHERE id = $1", dataset)

    for ending in ENDINGS:
        answer = await client.get(f"/opendata/datasets/{dataset}{ending}")
        assert answer.status_code == 404
        assert "統合" not in answer.text
    assert dataset not in [name_of(each) for each in await feed(client)]


async def test_a_withdrawal_can_be_taken_back_and_the_addresses_work_again(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS)
    headers = await steward(world)
    path = f"/v1/datasets/{dataset}"
    early = await client.post(f"{path}/reinstate", json={"reason": "誤り"}, headers=headers)
    await withdraw(world, dataset)
    meanwhile = await client.post(f"{path}/versions/1/publish", headers=headers)

    back = await client.post(f"{path}/reinstate", json={"reason": "誤り"}, headers=headers)

    assert (early.status_code, early.json()["code"]) == (409, "dataset_not_withdrawn")
    assert (meanwhile.status_code, meanwhile.json()["code"]) == (410, "dataset_withdrawn")
    assert (back.status_code, back.json()["state"]) == (200, "active")
    assert (await client.get(f"/opendata/datasets/{dataset}.ttl")).status_code == 200
    assert (await client.get(f"{path}/records")).status_code == 200
    assert name_of((await feed(client))[0]) == dataset
    assert [each["reason"] for each in await world.log(Event.DATASET_REINSTATED)] == ["誤り"]


async def test_the_licences_are_listed_and_the_first_act_of_publishing_names_its_own(
    client: httpx.AsyncClient, world: World
) -> None:
    told = (await client.get("/v1/licenses")).json()
    await stocked(world, ROWS)

    assert [each["id"] for each in told] == [each.id for each in LICENCES]
    assert {each["id"] for each in told if each["is_open"]} >= {"CC-BY-4.0", "PDL-1.0", "GSTL-2.0"}
    assert [each["license"] for each in await world.log(Event.VERSION_PUBLISHED)] == ["CC-BY-4.0"]
