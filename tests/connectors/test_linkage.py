"""Two platforms over real HTTP: what one has, the other harvests, follows and asks for."""

import json
from collections.abc import AsyncIterator, Sequence
from datetime import date
from operator import itemgetter
from typing import Any

import pytest
import pytest_asyncio

from app.connectors.errors import CannotAnswer, SourceRefused
from app.connectors.frame import Known
from app.connectors.linkage import LinkageConnector
from app.connectors.linkage_shapes import LinkageSelection, LinkageSettings
from app.kit import passage
from app.query import cql
from app.query.fields import Field, FieldType
from app.query.matches import matches
from app.query.question import Both, Compare, Near, Order, Question, Words
from tests.connectors.contract import Contract, Row, Stage, rows_of
from tests.connectors.other import Other
from tests.connectors.sources import Asked, means, reply, web
from tests.stock import PURPOSE, agreed, put, stocked
from tests.world import KENKO

ROWS: list[Row] = [{"no": "1", "name": "架空第一"}, {"no": "2", "name": "架空、第二"}]
_SPECS: Any = (("no", "code", {"key": True}), ("name", "text"))
_TYPES = {"no": "code", "name": "text"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def restricted(other: Other) -> tuple[LinkageSelection, dict[str, Any]]:
    """Restricted data with an agreement, and the client that has it."""
    dataset = await stocked(other.world, ROWS, _SPECS, data_class="restricted")
    party, auth = await other.client_of()
    agreement, _ = await agreed(other.world, dataset, party)
    told = {"dataset": dataset, "purpose": PURPOSE, "agreement": agreement, "types": _TYPES}
    return LinkageSelection.model_validate(told), auth


class TestLinkage(Contract):
    """Restricted data of another platform: an agreement, a key, and tokens bound to another."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(
        self, other: Other, restricted: tuple[LinkageSelection, dict[str, Any]]
    ) -> AsyncIterator[Stage]:
        selection, auth = restricted
        added: list[str] = []
        async with means() as its:
            connector = other.connector(its, auth)

            async def add(row: Row) -> None:
                added.append(row["no"])
                await put(other.world, selection.dataset, [row])

            async def go_away() -> None:
                gone = {"base": "http://127.0.0.1:9"}
                connector.settings = connector.settings.model_copy(update=gone)

            yield Stage(
                connector, selection, ROWS, add, go_away, lambda: other.door.open_now,
                json.loads(auth["key"])["d"], [selection.dataset],
            )  # fmt: skip
        for key in added:
            await other.remove(selection.dataset, key)


_PLACED: Any = (
    ("no", "code", {"key": True}), ("name", "text"), ("size", "integer"), ("on", "date"),
    ("lat", "latitude"), ("lon", "longitude"), ("area", "geometry"),
)  # fmt: skip
_AREA = {"type": "Point", "coordinates": [135.5, 34.7]}
_MANY = [
    {
        "no": str(at), "name": f"施設{at % 7}'\\ %", "size": at % 5 or None,
        "on": f"2026-04-{at % 28 + 1:02}", "lat": 34.5 + at / 100, "lon": 135.5,
        "area": _AREA if at % 2 else None,
    }
    for at in range(40)
]  # fmt: skip


def _of(name: str) -> Field:
    spec = next(each for each in _PLACED if each[0] == name)
    return Field(name, name, name, FieldType(spec[1]))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def many(other: Other) -> str:
    """A public dataset of the other platform, with a place."""
    return await stocked(other.world, _MANY, _PLACED)


def _selection(dataset: str, **more: Any) -> LinkageSelection:
    types = {spec[0]: spec[1] for spec in _PLACED}
    return LinkageSelection.model_validate({"dataset": dataset, "types": types, **more})


async def _answered(
    connector: LinkageConnector, selection: LinkageSelection, question: Question
) -> Sequence[Row]:
    async with connector.fetch(selection, connector.part(selection, question)) as got:
        assert got is not None
        return [dict(row) async for batch in got.batches for row in batch]


async def test_a_position_that_nobody_can_follow_any_more_begins_anew(
    other: Other, many: str
) -> None:
    async with means() as its:
        connector = other.connector(its)
        for position in ("bm9uc2Vuc2U", "架空"):
            got = await rows_of(connector, _selection(many), Known({"next": position}))

            assert got is not None
            assert len(got) == len(_MANY)


@pytest.mark.parametrize("status", ["410 Gone", "400 Bad Request", "409 Conflict"])
async def test_where_a_feed_ends_all_records_are_read_instead(status: str) -> None:
    def answer(asked: Asked) -> bytes:
        if asked.path.endswith("/changes"):
            return reply({}, status)
        page = {"numberReturned": 1, "numberMatched": 1, "records": [{"no": "1"}], "links": []}
        return reply(page, ETag='"7"')

    async with web(answer) as server, means() as its:
        connector = LinkageConnector(LinkageSettings(base=server.base), its)
        known = Known({"next": "x"})
        async with connector.harvest(LinkageSelection(dataset="a"), known) as got:
            assert got is not None
            rows = b"".join([piece async for piece in got.pieces])

    assert (rows, got.delta, got.validators) == (b'{"no":"1"}\n', False, {"etag": '"7"'})


async def test_a_client_with_a_secret_reads_what_is_not_above_internal(other: Other) -> None:
    dataset = await stocked(other.world, ROWS, _SPECS, data_class="internal")
    party = await other.world.party(KENKO, by_secret=True)
    auth = {"type": "client_secret", "client_id": party.id, "client_secret": party.secret}
    async with means() as its:
        selection = LinkageSelection(dataset=dataset, purpose="own-duty")
        got = await rows_of(other.connector(its, auth), selection)

    assert got == ROWS


async def test_a_token_that_was_revoked_before_its_time_is_asked_for_anew_once(
    other: Other,
) -> None:
    _, auth = await other.client_of()
    given = iter(range(1, 9))
    page = {"numberReturned": 0, "records": [], "links": []}

    def answer(asked: Asked) -> bytes:
        base = f"http://{asked.headers['host']}"
        if asked.path.startswith("/.well-known/"):
            return reply({"issuer": base, "token_endpoint": f"{base}/token"})
        if asked.path == "/token":
            told = {"access_token": f"t{next(given)}", "token_type": "DPoP", "expires_in": 900}
            return reply(told)
        is_good = asked.headers["authorization"] in ("DPoP t1", "DPoP t3", "DPoP t5")
        return reply(page) if is_good else reply({}, "401 Unauthorized")

    async with web(answer) as server, means() as its:
        settings = LinkageSettings.model_validate({"base": server.base, "auth": auth})
        connector = LinkageConnector(settings, its)
        selection = LinkageSelection(dataset="a")
        await connector.check(selection)
        await connector.check(selection)
        assert [asked.path for asked in server.asked].count("/token") == 1
        connector._web(selection).forget()
        await connector.check(selection)
        connector._web(selection).forget()
        async with connector.relay(selection, Question((), limit=1)) as relayed:
            assert relayed.count == 0

    assert [asked.path for asked in server.asked].count("/token") == 5  # t2 and t4 were refused


# What is asked, in CQL2; the order; and how many of how many are sent at most.
_QUESTIONS = [
    ("size >= 3 AND \"on\" < DATE('2026-04-20')", "", 0, None),
    ("name LIKE '施設3%' OR size IS NULL", "-size,name", 3, 5),
    ("no IN ('7','8') OR NOT (lat BETWEEN 34.6 AND 34.8)", "name", 0, 9),
    ("S_INTERSECTS(area, POLYGON((135.4 34.6,135.6 34.6,135.6 34.8,135.4 34.6)))", "no", 0, 3),
    ("TRUE", "", 7, 4),
]


@pytest.mark.parametrize(("asked", "sort", "offset", "limit"), _QUESTIONS)
async def test_a_question_is_sent_on_whole_and_answered_as_our_own_table_would(
    other: Other, many: str, asked: str, sort: str, offset: int, limit: int | None
) -> None:
    where = cql.parse_text(asked, _of, lambda name: (_of(name),))
    order = tuple(
        Order(_of(name.lstrip("-")), name.startswith("-")) for name in filter(None, sort.split(","))
    )
    fields = tuple(_of(spec[0]) for spec in _PLACED)
    question = Question(fields, where=where, order=order, limit=limit, offset=offset)
    rows = [each for each in _MANY if matches(where, _values(each)) is True]
    for by in reversed(order):  # null is last both ways
        name = by.field.name
        valued = [row for row in rows if row[name] is not None]
        empty = [row for row in rows if row[name] is None]
        rows = sorted(valued, key=itemgetter(name), reverse=by.descending) + empty
    async with means() as its:
        connector = other.connector(its)

        got = await _answered(connector, _selection(many), question)

    assert connector.part(_selection(many), question) == question  # nothing is left to us
    assert [row["no"] for row in got] == [
        row["no"] for row in rows[offset : None if limit is None else offset + limit]
    ]


async def test_what_the_other_may_read_otherwise_is_left_to_us(other: Other, many: str) -> None:
    ours = Field("size", "size", "size", FieldType.TEXT)  # which is a number there
    words = Words((_of("name"),), (("施設",),))
    known = Compare(_of("no"), "=", "3")
    async with means() as its:
        connector, selection = other.connector(its), _selection(many)
        parts = {
            "another type": Question((ours,), where=Compare(ours, "=", "3")),
            "an order of another type": Question((ours,), order=(Order(ours),)),
            "words": Question((ours,), where=Both((words, known))),
            "a page that begins behind a row": Question((ours,), after=("3", 3)),
            "near": Question((ours,), near=Near(34.7, 135.5, 500.0)),
        }
        found = {name: connector.part(selection, asked) for name, asked in parts.items()}
        near = await _answered(connector, selection, parts["near"])
        with pytest.raises(CannotAnswer):
            async with connector.fetch(selection, parts["another type"]):
                pass

    assert {name: (each.where, each.order, each.limit) for name, each in found.items()} == {
        "another type": (None, (), None),
        "an order of another type": (None, (), None),
        "words": (known, (), None),
        "a page that begins behind a row": (None, (), None),
        "near": (None, (), None),
    }
    assert 0 < len(near) < len(_MANY)


async def test_platforms_that_would_ask_each_other_for_ever_end_at_the_first_asked_twice(
    other: Other, many: str
) -> None:
    ours = "http://ours.test"
    vias = {"us alone": "", "them by another name": "http://theirs.test", "them": other.base,
            "too many": "http://a.test, http://b.test, http://c.test"}  # fmt: skip
    found = {}
    async with means() as its:
        for name, via in vias.items():
            before = len(other.door.heads)
            with passage.taken_up([(b"linkage-via", via.encode())], (ours,)):
                try:
                    await other.connector(its).check(_selection(many))
                    found[name] = "answered"
                except passage.FederationLoop as loop:
                    found[name] = loop.code
                told = [dict(each) for each in other.door.heads[before:]]
            assert all(each["linkage-via"].endswith(ours) for each in told)
            assert bool(told) is (name != "them")  # who is known to be on the way is not asked
    refused = await other.world.client.get("/v1/datasets", headers={"Linkage-Via": other.base})

    assert found == {
        "us alone": "answered", "them by another name": "answered", "them": "federation_loop",
        "too many": "federation_loop",
    }  # fmt: skip
    assert (refused.status_code, refused.json()["code"]) == (508, "federation_loop")
    assert passage.platforms() == ()


async def test_whoever_may_not_is_refused_and_told_which_of_the_two_it_was(other: Other) -> None:
    dataset = await stocked(other.world, ROWS, _SPECS, data_class="restricted")
    party, auth = await other.client_of()
    _, stranger = await other.client_of()
    async with means() as its:
        found = {}
        for name, client in {
            "no client": None,
            "no agreement": auth,
            "another's key": {**stranger, "client_id": party.id},
        }.items():
            with pytest.raises(SourceRefused) as refused:
                await other.connector(its, client).check(LinkageSelection(dataset=dataset))
            found[name] = refused.value.at

    assert found == {
        "no client": "credentials", "no agreement": "permission", "another's key": "credentials",
    }  # fmt: skip


async def test_what_the_catalogue_tells_of_a_dataset_is_proposed_and_what_it_hides_is_not(
    other: Other, many: str
) -> None:
    hidden = await other.world.dataset(hidden=True)
    async with means() as its:
        found = {each.name: each for each in await other.connector(its).discover()}

    assert hidden not in found
    assert found[many].about["license"] == "CC-BY-4.0"
    assert found[many].about["update_frequency"] == "irregular"
    assert {each["name"]: each["type"] for each in found[many].fields}["on"] == "date"
    assert LinkageSelection.model_validate(found[many].selection) == _selection(many)


def _values(row: Row) -> dict[str, Any]:
    area = row["area"] and json.dumps(row["area"])
    return {**row, "on": date.fromisoformat(row["on"]), "area": area}
