"""CKAN as portals run it, and as our own door speaks it: catalogue, files, and tables."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from app.connectors.ckan import CkanConnector, CkanSelection, CkanSettings
from app.connectors.errors import SourceBroken, SourceChanged, SourceError, SourceRefused
from app.connectors.frame import Known, Means
from app.kit.outbound import OutboundRefused
from app.query import cql
from app.query.fields import Field, FieldType
from app.query.question import Compare, Order, Question
from tests.connectors.contract import Contract, Row, Stage, rows_of
from tests.connectors.other import Other
from tests.connectors.portal import KEY, portal
from tests.connectors.sources import means, reply, web
from tests.stock import stocked

ROWS: list[Row] = [{"no": "1", "name": "架空第一"}, {"no": "2", "name": "架空、第二"}]
_MANY: list[Row] = [{"no": str(at), "name": f"施設{at % 3}", "size": at} for at in range(1, 9)]
_TYPES = {"no": "text", "name": "text", "size": "int4"}


def _connector(base: str, its: Means, key: str | None = KEY) -> CkanConnector:
    told = {"base": base, **({"key": key} if key else {})}
    return CkanConnector(CkanSettings.model_validate(told), its)


def _csv(rows: list[Row]) -> bytes:
    lines = [",".join(f'"{cell}"' for cell in each) for each in (rows[0], *(r.values() for r in rows))]  # fmt: skip
    return "\n".join(lines).encode() + b"\n"


class TestCkanFile(Contract):
    """A file that a portal keeps, by package and name, with a key."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(self) -> AsyncIterator[Stage]:
        rows = list(ROWS)
        async with portal() as (its_portal, server), means() as its:
            its_portal.add("shelters", "r1")
            its_portal.files["r1.csv"], its_portal.tables["r1"] = _csv(rows), rows
            connector = _connector(server.base, its)

            async def add(row: Row) -> None:
                rows.append(row)  # a new file under a new id, which is what portals do
                its_portal.packages.clear()
                its_portal.add("shelters", "r2", hash="2")
                its_portal.files["r2.csv"] = _csv(rows)

            async def go_away() -> None:
                gone = {"base": "http://127.0.0.1:9"}
                connector.settings = connector.settings.model_copy(update=gone)

            selection = CkanSelection(package="shelters", resource="r1", name="一覧")
            yield Stage(
                connector, selection, ROWS, add, go_away, lambda: server.open_now, KEY,
                ["shelters/一覧"],
            )  # fmt: skip


class TestCkanDatastore(Contract):
    """A table that a portal gives three rows of at a time."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(self) -> AsyncIterator[Stage]:
        rows = [*ROWS, {"no": "3", "name": "a"}, {"no": "4", "name": "b"}]
        async with portal() as (its_portal, server), means() as its:
            its_portal.add("shelters", "r1", datastore_active=True)
            its_portal.tables["r1"] = list(rows)
            connector = _connector(server.base, its)

            async def add(row: Row) -> None:
                its_portal.tables["r1"].append(row)

            async def go_away() -> None:
                gone = {"base": "http://127.0.0.1:9"}
                connector.settings = connector.settings.model_copy(update=gone)

            told = {"resource": "r1", "via": "datastore", "types": {"no": "text", "name": "text"}}
            yield Stage(
                connector, CkanSelection.model_validate(told), rows, add, go_away,
                lambda: server.open_now, KEY, ["shelters/一覧"],
            )  # fmt: skip


def _of(name: str) -> Field:
    kind = FieldType.INTEGER if name == "size" else FieldType.TEXT
    return Field(name, name, name, kind)


@pytest.mark.parametrize(
    ("asked", "order", "kept", "is_paged"),
    [
        ("name = '施設1' AND size IN (1,4)", None, 2, True),
        ("name = '施設1' AND size > 1", None, 1, False),
        ("name = '施設1' AND name IN ('施設1','施設2')", None, 1, False),
        ("name = '施設1' OR size = 2", None, 0, False),
        ("CASEI(name) = '施設1'", None, 0, False),
        ("TRUE", "no", 0, False),
    ],
)
async def test_equality_is_asked_of_the_table_and_the_rest_is_left_to_us(
    asked: str, order: str | None, kept: int, is_paged: bool
) -> None:
    where = cql.parse_text(asked, _of)
    by = (Order(_of(order)),) if order else ()
    question = Question(tuple(map(_of, _TYPES)), where=where, order=by, limit=2, offset=1)
    async with portal() as (its_portal, server), means() as its:
        its_portal.tables["r1"], its_portal.types["r1"] = list(_MANY), _TYPES
        connector = _connector(server.base, its)
        selection = CkanSelection.model_validate(
            {"resource": "r1", "via": "datastore", "types": _TYPES}
        )
        part = connector.part(selection, question)
        async with connector.fetch(selection, part) as got:
            assert got is not None
            rows = [row async for batch in got.batches for row in batch]

    filters = server.asked[-1].query.get("filters", "{}")
    assert filters.count(":") == kept
    assert (part.limit, part.offset) == ((2, 1) if is_paged else (None, 0))
    wanted = [row for row in _MANY if row["name"] == "施設1"] if kept else list(_MANY)
    if is_paged:
        wanted = [row for row in wanted if row["size"] in (1, 4)][1:3]
    assert rows == wanted


async def test_a_column_of_another_type_than_ours_is_not_compared_at_the_portal() -> None:
    code = Field("size", "size", "size", FieldType.CODE)  # "0012" there is 12
    async with means() as its:
        connector = _connector("http://127.0.0.1:9", its)
        told = {"resource": "r1", "types": {**_TYPES, "no": "numeric"}}
        selection = CkanSelection.model_validate(told)
        for field, value in ((code, "1"), (_of("no"), "1"), (_of("other"), "1")):
            part = connector.part(selection, Question((field,), where=Compare(field, "=", value)))

            assert (part.where, part.limit) == (None, None)


async def test_the_whole_catalogue_is_proposed_however_few_it_gives_at_a_time() -> None:
    async with portal(None) as (its_portal, server), means() as its:
        for at in range(5):
            its_portal.add(f"p{at}", f"r{at}", datastore_active=at in (1, 2))
        its_portal.tables["r1"], its_portal.types["r1"] = list(_MANY), _TYPES  # and none of r2

        found = await _connector(server.base, its, None).discover()

    assert [each.name for each in found] == [f"p{at}/一覧" for at in range(5)]
    assert [len(each.fields) for each in found] == [0, 3, 0, 0, 0]
    assert found[0].about["license"] == "CC-BY-4.0"
    assert found[0].about["update_frequency"] == "annual"
    assert found[1].selection["types"] == {"size": _TYPES["size"]}  # who knows what texts hold?


async def test_the_key_is_not_shown_where_a_resource_only_leads_to() -> None:
    async with portal() as (its_portal, server), web(lambda _: reply(b"a\n1\n")) as far:
        its_portal.add("p", "r1", url=f"{far.base}/a.csv", url_type=None)
        async with means() as its:
            selection = CkanSelection(package="p", format="csv")
            got = await rows_of(_connector(server.base, its), selection)

    assert got == [{"a": "1"}]
    assert "authorization" not in far.asked[0].headers


async def test_an_address_that_is_not_https_is_asked_by_https_where_the_other_is_not_allowed() -> (
    None
):
    async with portal() as (its_portal, server), means("127.0.0.1") as its:
        its_portal.add("p", "r1", url="http://192.0.2.1/a.csv", url_type=None)
        with pytest.raises(OutboundRefused) as refused:
            await rows_of(_connector(server.base, its), CkanSelection(package="p", resource="r1"))

    assert "not public" in refused.value.words("en")  # and not: it is not https


_SAID: dict[str, tuple[bytes, type[SourceError], str]] = {
    "a refusal with a good status": (
        reply({"success": False, "error": {"__type": "Authorization Error"}}),
        SourceRefused, "permission",
    ),
    "nothing of the name, with a good status": (
        reply({"success": False, "error": {"__type": "Not Found Error"}}), SourceBroken, "missing",
    ),
    "a refusal without a kind": (reply({"success": False, "error": "…"}), SourceChanged, "shape"),
    "no CKAN": (reply({"items": []}), SourceBroken, "format"),
    "a result that is none": (reply({"success": True, "result": []}), SourceChanged, "shape"),
    "rows that are none": (
        reply({"success": True, "result": {"records": "a,b"}}), SourceChanged, "shape",
    ),
    "the same rows whatever the offset": (
        reply({"success": True, "result": {"records": [{"no": 1}], "limit": 1, "total": 1}}),
        SourceBroken, "loop",
    ),
    "fewer rows than it counts": (
        reply({"success": True, "result": {"records": [], "total": 5}}), SourceBroken, "moving",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", _SAID)
async def test_what_a_portal_says_is_told_apart_and_never_quoted(fault: str) -> None:
    said, kind, at = _SAID[fault]
    async with web(lambda _: said) as server, means() as its:
        with pytest.raises(SourceError) as refused:
            selection = CkanSelection(resource="r1", via="datastore")
            await rows_of(_connector(server.base, its), selection)

    assert (type(refused.value), refused.value.at) == (kind, at)


async def test_a_table_without_row_numbers_and_one_that_lost_a_column_are_told_apart() -> None:
    async with portal() as (its_portal, server), means() as its:
        its_portal.tables["view"], its_portal.types["view"] = list(_MANY), {**_TYPES, "_id": "no"}
        connector = _connector(server.base, its)
        seen = await rows_of(connector, CkanSelection(resource="view", via="datastore"))
        told: Any = {"resource": "view", "via": "datastore", "types": {"gone": "text"}}
        selection = CkanSelection.model_validate(told)
        part = connector.part(
            selection, Question((_of("gone"),), where=Compare(_of("gone"), "=", "1"))
        )
        with pytest.raises(SourceChanged):
            async with connector.fetch(selection, part) as got:
                assert got is not None
                async for _ in got.batches:
                    pass

    assert seen is not None
    assert len(seen) == len(_MANY)


async def test_our_own_portal_is_harvested_and_asked_as_any_other(other: Other) -> None:
    records = [{"no": str(at), "name": f"施設{at % 3}", "size": at} for at in range(1, 9)]
    dataset = await stocked(other.world, records)
    async with means() as its:
        connector = _connector(other.base, its, None)
        await connector.check()
        found = [each for each in await connector.discover() if each.name.startswith(f"{dataset}/")]
        csv, table = (
            next(each.selection for each in found if each.selection["format"] == "CSV"),
            next(each.selection for each in found if "types" in each.selection),
        )
        as_file = CkanSelection.model_validate(csv)
        got = await rows_of(connector, as_file)
        async with connector.harvest(as_file) as first:
            assert first is not None
            async for _ in first.pieces:
                pass
            known = Known(dict(first.validators or {}))
        again = await rows_of(connector, as_file, known)
        types = {**table["types"], "name": "text"}
        asked = CkanSelection.model_validate({**table, "via": "datastore", "types": types})
        where = Compare(_of("name"), "=", "施設1")
        part = connector.part(asked, Question((_of("no"),), where=where, limit=2))
        async with connector.fetch(asked, part) as answered:
            assert answered is not None
            rows = [row["no"] async for batch in answered.batches for row in batch]

    assert got is not None
    assert [row["no"] for row in got] == [each["no"] for each in records]
    assert again is None
    assert (part.where, part.limit) == (where, 2)
    assert rows == ["1", "4"]
