"""Map servers, our own door among them: features by pages, places in CRS84, and half of them refused."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from app.connectors import ogc_features
from app.connectors.errors import SourceBroken, SourceChanged, SourceError
from app.connectors.frame import Means
from app.connectors.gml import Features
from app.connectors.ogc import OgcConnector, OgcSelection, OgcSettings
from app.query import cql
from app.query.fields import Field, FieldType
from app.query.question import Box, Compare, Near, Order, Question
from tests.connectors.contract import Contract, Row, Stage, rows_of
from tests.connectors.maps import EXCEPTION, maps
from tests.connectors.other import Other
from tests.connectors.sources import Asked, means, reply, web
from tests.stock import stocked

ROWS: list[Row] = [
    {"no": "1", "name": "架空第一"}, {"no": "2", "name": "架空、<第二>"}, {"no": "3", "name": "a"},
]  # fmt: skip
_WFS = {"speaks": "wfs"}


def _connector(base: str, its: Means, **settings: Any) -> OgcConnector:
    return OgcConnector(OgcSettings.model_validate({"base": base, **settings}), its)


def _selection(collection: str = "shelters", **more: Any) -> OgcSelection:
    return OgcSelection.model_validate({"collection": collection, **more})


class _OfMaps(Contract):
    """Both dialects keep to the same."""

    by_wfs = False

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(self) -> AsyncIterator[Stage]:
        async with maps(ROWS, by_wfs=self.by_wfs) as (its_maps, server), means() as its:
            auth = {"type": "basic", "user": "u", "password": "hidden-word-8"}
            settings = {"auth": auth, **(_WFS if self.by_wfs else {})}
            connector = _connector(server.base, its, **settings)

            async def add(row: Row) -> None:
                its_maps.rows.append(row)

            async def go_away() -> None:
                gone = {"base": "http://127.0.0.1:9"}
                connector.settings = connector.settings.model_copy(update=gone)

            name = "app:shelters" if self.by_wfs else "shelters"
            yield Stage(
                connector, _selection(name, geometry=None), ROWS, add, go_away,
                lambda: server.open_now, "hidden-word-8", [name],
            )  # fmt: skip


class TestOgcFeatures(_OfMaps):
    """One page, with a tag."""


class TestWfs(_OfMaps):
    """Two features of three at a time, in GML."""

    by_wfs = True


del _OfMaps  # it is no kind by itself


_POINT = '<gml:Point srsName="{}"><gml:pos>{}</gml:pos></gml:Point>'
_PLACES: dict[str, tuple[str, Any]] = {
    "a URN: latitude first": (
        _POINT.format("urn:ogc:def:crs:EPSG::4326", "34.7 135.5"), ("Point", [135.5, 34.7]),
    ),
    "JGD2011 by its address": (
        _POINT.format("http://www.opengis.net/def/crs/EPSG/0/6668", "34.7 135.5 12.0"),
        ("Point", [135.5, 34.7]),
    ),
    "a bare number: longitude first": (_POINT.format("EPSG:6668", "135.5 34.7"), ("Point", [135.5, 34.7])),
    "GML's old address": (
        _POINT.format("http://www.opengis.net/gml/srs/epsg.xml#4326", "135.5 34.7"),
        ("Point", [135.5, 34.7]),
    ),
    "no system": ("<gml:Point><gml:pos>135.5 34.7</gml:pos></gml:Point>", ("Point", [135.5, 34.7])),
    # Zone VI: its origin is 36 N, 136 E; x is north.
    "a plane zone by URN: north first": (
        _POINT.format("urn:ogc:def:crs:EPSG::6674", "0 1000"), ("Point", [136.011, 36.0]),
    ),
    "a plane zone by number: east first": (
        _POINT.format("EPSG:6674", "1000 0"), ("Point", [136.011, 36.0]),
    ),
    "a line with heights": (
        '<gml:LineString srsName="EPSG:4326" srsDimension="3"><gml:posList>135 34 1 136 35 2'
        "</gml:posList></gml:LineString>", ("LineString", [[135, 34], [136, 35]]),
    ),
    "a curve of segments": (
        '<gml:Curve srsName="EPSG:4326"><gml:segments><gml:LineStringSegment><gml:posList>135 34 136 35'
        "</gml:posList></gml:LineStringSegment><gml:LineStringSegment><gml:posList>136 35 137 36"
        "</gml:posList></gml:LineStringSegment></gml:segments></gml:Curve>",
        ("LineString", [[135, 34], [136, 35], [137, 36]]),
    ),
    "a polygon with a hole": (
        '<gml:Polygon srsName="urn:ogc:def:crs:EPSG::6668"><gml:exterior><gml:LinearRing><gml:posList>'
        "34 135 34 136 35 136 34 135</gml:posList></gml:LinearRing></gml:exterior><gml:interior>"
        "<gml:LinearRing><gml:posList>34.1 135.2 34.1 135.3 34.2 135.3 34.1 135.2</gml:posList>"
        "</gml:LinearRing></gml:interior></gml:Polygon>",
        ("Polygon", [[[135, 34], [136, 34], [136, 35], [135, 34]],
                     [[135.2, 34.1], [135.3, 34.1], [135.3, 34.2], [135.2, 34.1]]]),
    ),
    "surfaces of patches": (
        '<gml:MultiSurface srsName="EPSG:4326"><gml:surfaceMember><gml:Surface><gml:patches>'
        "<gml:PolygonPatch><gml:exterior><gml:LinearRing><gml:posList>135 34 136 34 136 35 135 34"
        "</gml:posList></gml:LinearRing></gml:exterior></gml:PolygonPatch></gml:patches></gml:Surface>"
        "</gml:surfaceMember></gml:MultiSurface>",
        ("MultiPolygon", [[[[135, 34], [136, 34], [136, 35], [135, 34]]]]),
    ),
    "the simple shapes of GML 2": (
        '<gml:MultiLineString srsName="EPSG:4326"><gml:lineStringMember><gml:LineString>'
        "<gml:coordinates>135,34 136,35</gml:coordinates></gml:LineString></gml:lineStringMember>"
        "</gml:MultiLineString>", ("MultiLineString", [[[135, 34], [136, 35]]]),
    ),
}  # fmt: skip


def _rounded(part: Any) -> Any:
    return [_rounded(each) for each in part] if isinstance(part, list | tuple) else round(part, 3)


@pytest.mark.parametrize("version", ["2.0.0", "1.1.0"])
async def test_places_of_every_system_and_shape_come_as_longitude_and_latitude(
    version: str,
) -> None:
    rows = [{"no": str(at)} for at in range(len(_PLACES))]
    async with maps(rows, by_wfs=True) as (its_maps, server), means() as its:
        its_maps.places = [gml for gml, _ in _PLACES.values()]
        connector = _connector(server.base, its, **_WFS, version=version)
        async with connector.fetch(_selection("app:shelters", id="fid"), Question((), limit=None)) as got:  # fmt: skip
            assert got is not None
            found = [row async for batch in got.batches for row in batch]

    for name, row in zip(_PLACES, found, strict=True):
        place = row["geometry"]
        assert (name, place["type"], _rounded(place["coordinates"])) == (name, *_PLACES[name][1])
    assert [row["fid"] for row in found] == [f"s.{at}" for at in range(len(rows))]


async def test_the_bounds_of_all_name_the_system_and_a_server_that_turns_its_axes_can_be_put_right() -> (
    None
):
    bare = "<gml:Point><gml:pos>135.5 34.7</gml:pos></gml:Point>"
    async with maps(ROWS[:1], by_wfs=True) as (its_maps, server), means() as its:
        its_maps.places = [bare]
        its_maps.bounds = (
            '<gml:boundedBy><gml:Envelope srsName="urn:ogc:def:crs:EPSG::6668"/></gml:boundedBy>'
        )
        connector = _connector(server.base, its, **_WFS)
        as_told = await rows_of(connector, _selection("app:shelters"))
        as_it_is = await rows_of(connector, _selection("app:shelters", axis="xy"))

    assert as_told is not None and as_it_is is not None
    assert "[34.7,135.5]" in as_told[0]["geometry"]
    assert "[135.5,34.7]" in as_it_is[0]["geometry"]


async def test_geojson_of_a_wfs_is_longitude_first_whatever_the_name_of_its_system() -> None:
    async with maps(ROWS, by_wfs=True) as (its_maps, server), means() as its:
        its_maps.places = [{"type": "Point", "coordinates": [135.5, 34.7]}] * 3
        connector = _connector(server.base, its, **_WFS)
        proposed = (await connector.discover())[0]
        got = await rows_of(connector, OgcSelection.model_validate(proposed.selection))

    assert proposed.selection["json"] == "application/json"
    assert [each["name"] for each in proposed.fields] == ["no", "name", "geom"]
    assert proposed.about["crs"] == "urn:ogc:def:crs:EPSG::6668"
    assert got is not None
    assert [row["no"] for row in got] == ["1", "2", "3"]
    assert "[135.5,34.7]" in got[2]["geometry"]


_MANY: list[Row] = [{"no": str(at)} for at in range(5)]


@pytest.mark.parametrize(
    ("matched", "ignores_start", "outcome"),
    [
        (None, False, "5"), ("unknown", False, "5"), (2, False, "5"),  # it counts the page alone
        (9, False, "moving"), (None, True, "loop"),
    ],
)  # fmt: skip
async def test_what_a_wfs_counts_is_neither_an_end_nor_all_there_is(
    matched: int | str | None, ignores_start: bool, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.connectors.ogc_wfs.PAGE_ROWS", 2)
    async with maps(_MANY, by_wfs=True) as (its_maps, server), means() as its:
        its_maps.matched, its_maps.ignores_start = matched, ignores_start
        try:
            got = await rows_of(_connector(server.base, its, **_WFS), _selection("app:shelters"))
            found = str(len(got or ()))
        except SourceBroken as broken:
            found = broken.at

    assert found == outcome


@pytest.mark.parametrize("version", ["2.0.0", "1.1.0"])
async def test_a_part_of_all_is_the_same_part_by_either_version(version: str) -> None:
    async with maps(_MANY, by_wfs=True) as (_, server), means() as its:
        connector = _connector(server.base, its, **_WFS, version=version)
        question = Question((), limit=3, offset=1)
        async with connector.fetch(_selection("app:shelters"), question) as got:
            assert got is not None
            found = [row["no"] async for batch in got.batches for row in batch]

    assert found == ["1", "2", "3"]


async def test_pages_of_features_are_followed_to_their_end_and_no_further(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.connectors.ogc_features.PAGE_ROWS", 2)
    async with maps(_MANY, by_wfs=False) as (its_maps, server), means() as its:
        connector = _connector(server.base, its)
        whole = await rows_of(connector, _selection(geometry=None))
        async with connector.fetch(
            _selection(geometry=None), Question((), limit=2, offset=2)
        ) as got:
            assert got is not None
            part = [row["no"] async for batch in got.batches for row in batch]
        its_maps.matched = 9
        with pytest.raises(SourceBroken) as short:
            await rows_of(connector, _selection())

    assert whole == _MANY
    assert part == ["2", "3"]
    assert short.value.at == "moving"


@pytest.mark.parametrize("following", ["same", "again", "elsewhere"])
async def test_links_that_go_round_or_elsewhere_end(following: str) -> None:
    calls = iter(range(100))

    def answer(_: Any) -> bytes:
        href = {"same": "/collections/a/items", "again": f"/?page={next(calls)}",
                "elsewhere": "http://127.0.0.1:9/"}[following]  # fmt: skip
        features = [{"type": "Feature", "geometry": None, "properties": {"no": "1"}}]
        links = [{"rel": "next", "href": href}]
        return reply({"type": "FeatureCollection", "features": features, "links": links})

    async with web(answer) as server, means() as its:
        with pytest.raises(SourceBroken) as refused:
            await rows_of(_connector(server.base, its), _selection("a"))

    assert refused.value.at == ("redirect" if following == "elsewhere" else "loop")
    assert len(server.asked) <= 2


@pytest.mark.parametrize(
    ("said", "kind", "at"),
    [
        ([], SourceBroken, "format"),
        ({"type": "Feature"}, SourceBroken, "format"),
        ({"type": "FeatureCollection", "features": [{"properties": [1]}]}, SourceChanged, "shape"),
    ],
)
async def test_what_is_no_collection_of_features_is_told(
    said: Any, kind: type[SourceError], at: str
) -> None:
    async with web(lambda _: reply(said)) as server, means() as its:
        with pytest.raises(kind) as refused:
            await rows_of(_connector(server.base, its), _selection("a"))

    assert refused.value.at == at


_BOMB = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;&x;&x;">]>
<wfs:FeatureCollection xmlns:wfs="http://www.opengis.net/wfs/2.0"><wfs:member>&y;</wfs:member>
</wfs:FeatureCollection>"""
_COLLECTION = b'<wfs:FeatureCollection xmlns:wfs="http://www.opengis.net/wfs/2.0" xmlns:gml="http://www.opengis.net/gml/3.2"><wfs:member><a>%s</a></wfs:member></wfs:FeatureCollection>'
_ARC = b"<g><gml:Curve><gml:segments><gml:Arc><gml:posList>1 2 3 4 5 6</gml:posList></gml:Arc></gml:segments></gml:Curve></g>"
_SYSTEM = b'<g><gml:Point srsName="urn:x:nobodys"><gml:pos>1 2</gml:pos></gml:Point></g>'
_ODD: dict[str, tuple[bytes, type[SourceError], str]] = {
    "nothing of the name": (EXCEPTION % b"InvalidParameterValue", SourceBroken, "missing"),
    "another refusal": (EXCEPTION % b"OptionNotSupported", SourceBroken, "status"),
    "entities": (_BOMB, SourceBroken, "format"),
    "half a document": (_COLLECTION[:150], SourceBroken, "cut_off"),
    "no XML": (b"no,name\n1,a\n", SourceBroken, "format"),
    "another document": (b"<rss/>", SourceBroken, "format"),
    "other bytes than it says": ("<a>架空".encode("cp932"), SourceBroken, "format"),
    "an arc": (_COLLECTION % _ARC, SourceChanged, "shape"),
    "a system that nobody knows": (_COLLECTION % _SYSTEM, SourceChanged, "shape"),
    "positions that are none": (
        _COLLECTION % b"<g><gml:Point><gml:pos>1 x</gml:pos></gml:Point></g>", SourceChanged, "shape",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", _ODD)
async def test_what_is_no_answer_of_a_wfs_is_told_apart_and_never_quoted(fault: str) -> None:
    said, kind, at = _ODD[fault]
    async with web(lambda _: reply(said, kind="text/xml")) as server, means() as its:
        with pytest.raises(SourceError) as refused:
            await rows_of(_connector(server.base, its, **_WFS), _selection("a"))

    assert (type(refused.value), refused.value.at) == (kind, at)
    assert "hidden" not in refused.value.words("en")


@pytest.mark.parametrize(
    ("begin", "member", "end"),
    [
        (b"", b"<wfs:member>%s</wfs:member>", b""),
        (b"<gml:featureMembers>", b"%s", b"</gml:featureMembers>"),
    ],
)
def test_what_has_been_read_of_a_long_answer_is_let_go(
    begin: bytes, member: bytes, end: bytes
) -> None:
    feature = b"<a><no>1</no><member>abc</member></a>"  # a property may be called as a member is
    reading = Features("host", None, None, "auto")
    reading.feed(_COLLECTION.partition(b"<wfs:member>")[0] + begin)

    rows = [row for _ in range(50) for row in reading.feed((member % feature) * 20)]
    rows += reading.feed(end + b"</wfs:FeatureCollection>")

    assert rows == [{"no": "1", "member": "abc"}] * 1_000
    assert len(list(reading._parser.close().iter())) < 10  # what is still there


def _of(name: str, kind: FieldType) -> Field:
    return Field(name, name, name, kind)


_FIELDS = {
    "name": FieldType.TEXT, "size": FieldType.INTEGER, "geometry": FieldType.GEOMETRY,
    "code": FieldType.CODE, "limit": FieldType.INTEGER,
}  # fmt: skip
_TYPES = {"name": "string", "size": "integer", "code": "integer", "limit": "integer"}


@pytest.mark.parametrize(
    ("filters", "asked", "sent"),
    [
        ("cql2", "size > 3 AND name = 'a'", '("size" > 3) AND ("name" = \'a\')'),
        ("cql2", "size > 3 AND name > 'a'", '"size" > 3'),
        ("cql2", "NOT (name LIKE 'a%')", None),
        ("cql2", "NOT (name = 'a')", None),  # an empty text is none of ours
        ("cql2", "name IS NULL OR size IS NULL", None),
        ("cql2", "NOT (size IS NULL)", 'NOT ("size" IS NULL)'),
        ("cql2", "code = '1'", None),
        ("properties", "name = 'a' AND size = 3 AND size > 2", "name=a&size=3"),
        ("properties", "name = 'a,b'", None),
        ("properties", '"limit" = 3', None),
        ("none", "name = 'a'", None),
    ],
)
async def test_only_what_every_server_holds_alike_is_asked_of_it(
    filters: str, asked: str, sent: str | None
) -> None:
    fields = tuple(_of(name, kind) for name, kind in _FIELDS.items())
    where = cql.parse_text(asked, lambda name: _of(name, _FIELDS[name]))
    async with maps(_MANY, by_wfs=False) as (_, server), means() as its:
        connector = _connector(server.base, its)
        selection = _selection(types=_TYPES, filters=filters)
        part = connector.part(selection, Question(fields, where=where))
        async with connector.fetch(selection, part):
            pass

    query = server.asked[-1].query
    if filters == "cql2":
        assert query.get("filter") == sent
    else:
        told = "&".join(f"{name}={query[name]}" for name in ("name", "size") if name in query)
        assert told == (sent or "")
        assert query["limit"] == "1000"


async def test_a_box_is_asked_somewhat_larger_and_only_of_the_place_itself() -> None:
    geometry = _of("geometry", FieldType.GEOMETRY)
    box, near = Box(135.4, 34.6, 135.6, 34.8), Near(34.7, 135.5, 500.0)
    async with maps(_MANY, by_wfs=True) as (_, server), means() as its:
        connector, selection = _connector(server.base, its, **_WFS), _selection("app:shelters")
        found = {
            "box": connector.part(selection, Question((geometry,), box=box)),
            "near": connector.part(selection, Question((geometry,), near=near)),
            "other place": connector.part(
                selection, Question((_of("g", FieldType.GEOMETRY),), box=box)
            ),
            "turned": connector.part(
                _selection("app:shelters", axis="xy"), Question((geometry,), box=box)
            ),
            "order": connector.part(selection, Question((geometry,), order=(Order(geometry),))),
        }
        async with connector.fetch(selection, found["box"]) as got:
            assert got is not None
            async for _batch in got.batches:
                pass

    assert {name: (part.box is not None, part.limit) for name, part in found.items()} == {
        "box": (True, None), "near": (True, None), "other place": (False, None),
        "turned": (False, None), "order": (False, None),
    }  # fmt: skip
    asked = server.asked[-1].query["bbox"]
    assert asked == "34.5999000,135.3999000,34.8001000,135.6001000,urn:ogc:def:crs:EPSG::4326"


async def test_our_own_door_is_harvested_and_asked_as_any_other(other: Other) -> None:
    specs: Any = (("no", "code", {"key": True}), ("name", "text"), ("size", "integer"), ("area", "geometry"))  # fmt: skip
    rows = [
        {"no": str(at), "name": f"施設{at}", "size": at, "area": {"type": "Point", "coordinates": [135.5, 34.5 + at / 100]}}
        for at in range(12)
    ]  # fmt: skip
    dataset = await stocked(other.world, rows, specs)
    async with means() as its:
        connector = _connector(f"{other.base}/ogc", its)
        await connector.check()
        proposed = next(each for each in await connector.discover() if each.name == dataset)
        selection = OgcSelection.model_validate(proposed.selection)
        whole = await rows_of(connector, selection)
        size, place = _of("size", FieldType.INTEGER), _of("geometry", FieldType.GEOMETRY)
        question = Question((size, place), where=Compare(size, ">=", 6), limit=3, offset=1)
        part = connector.part(selection, question)
        async with connector.fetch(selection, part) as got:
            assert got is not None
            found = [row["size"] async for batch in got.batches for row in batch]
        boxed = connector.part(
            selection, Question((size, place), box=Box(135.4, 34.5, 135.6, 34.53))
        )
        async with connector.fetch(selection, boxed) as inside:
            assert inside is not None
            near = [row["size"] async for batch in inside.batches for row in batch]

    assert proposed.selection["filters"] == "cql2"
    assert set(proposed.selection["types"].values()) == {"integer"}  # who knows what texts hold?
    assert whole is not None
    assert [row["no"] for row in whole] == [row["no"] for row in rows]
    assert "[135.5,34.5]" in whole[0]["geometry"]
    assert part == question
    assert found == [7, 8, 9]
    assert near == [0, 1, 2, 3]


async def test_a_list_of_collections_that_never_ends_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ogc_features, "_MOST_LISTS", 20)

    def answer(asked: Asked) -> bytes:
        following = f"/collections?at={len(server.asked)}"
        return reply({"collections": [], "links": [{"rel": "next", "href": following}]})

    async with web(answer) as server, means() as its, asyncio.timeout(10):
        connector = OgcConnector(OgcSettings.model_validate({"base": server.base}), its)
        assert await connector.discover() == []
