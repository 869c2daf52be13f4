"""The kind `gtfs_rt`: feeds that are made here, and one that a city ran."""

import csv
import io
import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from google.transit import gtfs_realtime_pb2 as rt
from pydantic import ValidationError

from app.connectors.errors import SourceBroken, SourceChanged, SourceError
from app.connectors.frame import Known
from app.connectors.gtfs_rt import GtfsRtConnector, GtfsRtSelection, GtfsRtSettings
from app.kit import clock
from app.query.question import Question
from tests.connectors.contract import Contract, Row, Stage
from tests.connectors.sources import Asked, means, reply, web

DATA = Path(os.environ.get("URBANOS_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
ROWS: list[Row] = [
    {"id": "v1", "vehicle_label": "架空1号車"},
    {"id": "v2", "vehicle_label": "架空2号車"},
]
_VEHICLES = {"feed": "vehicle_positions"}


def feed(*entities: rt.FeedEntity, seconds_ago: float = 5, **header: Any) -> bytes:
    """A feed of a moment ago."""
    made = rt.FeedMessage()
    made.header.gtfs_realtime_version = "2.0"
    made.header.timestamp = int(datetime.now(UTC).timestamp() - seconds_ago)
    for name, value in header.items():
        setattr(made.header, name, value)
    made.entity.extend(entities)
    return bytes(made.SerializeToString())


def vehicle(entity_id: str, label: str = "") -> rt.FeedEntity:
    """A vehicle that says no more than what it is called."""
    made = rt.FeedEntity(id=entity_id)
    made.vehicle.vehicle.label = label
    return made


async def table(connector: GtfsRtConnector, selection: dict[str, Any]) -> list[dict[str, str]]:
    """All that a harvest gives."""
    async with connector.harvest(GtfsRtSelection.model_validate(selection)) as got:
        assert got is not None
        body = b"".join([piece async for piece in got.pieces])
    return list(csv.DictReader(io.StringIO(body.decode())))


def _made(base: str, its: Any) -> GtfsRtConnector:
    return GtfsRtConnector(GtfsRtSettings.model_validate({"base": base}), its)


class TestGtfsRt(Contract):
    """Vehicles, behind a key."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(self) -> AsyncIterator[Stage]:
        rows, made_at = list(ROWS), datetime.now(UTC).timestamp()

        def answer(asked: Asked) -> bytes:
            assert asked.headers["x-api-key"] == "hidden-key-rt"
            ago = datetime.now(UTC).timestamp() - made_at
            vehicles = [vehicle(row["id"], row["vehicle_label"]) for row in rows]
            return reply(feed(*vehicles, seconds_ago=ago), kind="application/x-protobuf")

        async with web(answer) as server, means() as its:
            told = {"base": server.base, "auth": {"type": "api_key", "key": "hidden-key-rt"}}
            connector = GtfsRtConnector(GtfsRtSettings.model_validate(told), its)
            selection = GtfsRtSelection.model_validate({**_VEHICLES, "columns": list(ROWS[0])})

            async def add(row: Row) -> None:
                rows.append(row)

            async def go_away() -> None:
                gone = {"base": "http://127.0.0.1:9/"}
                connector.settings = connector.settings.model_copy(update=gone)

            yield Stage(
                connector, selection, ROWS, add, go_away, lambda: server.open_now, "hidden-key-rt"
            )


class Bicycles:
    """A GBFS system of version 2 or 3."""

    def __init__(self, rows: list[Row], version: int = 3, ttl: int = 0) -> None:
        self.rows, self.version, self.ttl = rows, version, ttl
        self.base = ""

    def answer(self, asked: Asked) -> bytes:
        """One of its three files."""
        now = datetime.now(UTC)
        told = now.isoformat() if self.version == 3 else int(now.timestamp())
        head = {"last_updated": told, "ttl": self.ttl}
        names = ("station_information", "station_status")
        feeds = {"feeds": [{"name": n, "url": f"{self.base}/{n}.json"} for n in names]}
        if asked.path == "/gbfs.json":
            return reply({**head, "data": feeds if self.version == 3 else {"ja": feeds}})
        if asked.path == "/station_information.json":
            stations = [
                {"station_id": r["station_id"], **self._named(r["name"])} for r in self.rows
            ]
        else:
            count = "num_vehicles_available" if self.version == 3 else "num_bikes_available"
            stations = [
                {"station_id": r["station_id"], count: int(r["num_vehicles_available"]),
                 "is_renting": 1 if self.version == 2 else True}
                for r in self.rows
            ]  # fmt: skip
        return reply({**head, "data": {"stations": stations}})

    def _named(self, name: str) -> dict[str, Any]:
        other = {"text": "somewhere", "language": "en"}
        is_new = self.version == 3
        return {"name": [other, {"text": name, "language": "ja"}] if is_new else name}


_STATIONS: list[Row] = [
    {"station_id": "s1", "name": "架空駅前", "num_vehicles_available": "3"},
    {"station_id": "s2", "name": "架空公園", "num_vehicles_available": "0"},
]


class TestGbfs(Contract):
    """Stations of version 3."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(self) -> AsyncIterator[Stage]:
        rows = list(_STATIONS)
        system = Bicycles(rows)
        async with web(system.answer) as server, means() as its:
            system.base = server.base
            connector = _made(f"{server.base}/gbfs.json", its)
            selection = GtfsRtSelection(feed="gbfs_stations", columns=list(rows[0]))

            async def add(row: Row) -> None:
                rows.append(row)

            async def go_away() -> None:
                gone = {"base": "http://127.0.0.1:9/gbfs.json"}
                connector.settings = connector.settings.model_copy(update=gone)

            yield Stage(
                connector, selection, _STATIONS, add, go_away, lambda: server.open_now,
                tables=["gbfs_stations"],
            )  # fmt: skip


@pytest.mark.skipif(
    not DATA.exists(), reason=f"left out: the real files are not at {DATA} (URBANOS_REAL_DATA)"
)
async def test_a_real_feed_of_buses_is_read_in_full_and_is_old_unless_that_is_allowed() -> None:
    body = {name: (DATA / "gtfs_rt" / f"aomori_{name}.pb").read_bytes()
            for name in ("VehiclePosition", "TripUpdate")}  # fmt: skip
    async with web(lambda asked: reply(body[asked.path[1:]])) as server, means() as its:
        made = _made(server.base, its)
        old = {"stale_after_seconds": None}
        vehicles = await table(made, {**_VEHICLES, **old, "path": "VehiclePosition"})
        stops = await table(made, {"feed": "trip_updates", **old, "path": "TripUpdate"})
        with pytest.raises(SourceBroken) as refused:
            await table(made, {**_VEHICLES, "path": "VehiclePosition"})

    assert (len(vehicles), refused.value.at) == (37, "stale")
    assert vehicles[5]["license_plate"] == "1341 今ポタージュ"  # which the city wrote in CP932
    shown = {name: value for name, value in vehicles[0].items() if value}
    assert shown == {
        "id": "VP-1", "trip_id": "土日祝_12時49分_系統1052", "vehicle_id": "0883",
        "vehicle_label": "IchigoBUS", "license_plate": "0883", "latitude": "40.82704",
        "longitude": "140.77844", "stop_sequence": "12", "status": "IN_TRANSIT_TO",
        "updated_at": "2022-10-22T04:09:14Z",
    }  # fmt: skip
    assert [(each["id"], each["departure_delay"]) for each in stops[:2]] == [
        ("TU0/11", "74"), ("TU1/6", "22")
    ]  # fmt: skip


async def test_alerts_and_stops_are_flat_and_in_the_language_that_is_asked_for() -> None:
    alert = rt.FeedEntity(id="a1")
    alert.alert.active_period.add(start=1_790_000_000, end=1_790_003_600)
    alert.alert.informed_entity.add(route_id="r1", stop_id="s1")
    alert.alert.informed_entity.add(route_id="r2", stop_id="s1")
    alert.alert.effect = rt.Alert.DETOUR
    for language, text in (("en", "Detour"), ("ja", "迂回運行")):
        alert.alert.header_text.translation.add(text=text, language=language)
    update = rt.FeedEntity(id="t1")
    update.trip_update.trip.trip_id = "平日_1"
    stop = update.trip_update.stop_time_update.add(stop_sequence=3, stop_id="s9")
    stop.arrival.delay, stop.arrival.time = -30, 1_790_000_000_000  # in milliseconds, by mistake
    ring = rt.FeedEntity(id="t2")
    ring.trip_update.trip.trip_id = "環状"
    for _ in range(2):
        ring.trip_update.stop_time_update.add(stop_id="s1")
    body = feed(alert, update, ring)
    async with web(lambda _: reply(body)) as server, means() as its:
        alerts = await table(_made(server.base, its), {"feed": "alerts"})
        stops = await table(_made(server.base, its), {"feed": "trip_updates"})

    assert {name: value for name, value in alerts[0].items() if value} == {
        "id": "a1", "active_from": "2026-09-21T14:13:20Z", "active_until": "2026-09-21T15:13:20Z",
        "effect": "DETOUR", "route_ids": "r1 r2", "stop_ids": "s1", "header": "迂回運行",
    }  # fmt: skip
    assert [each["id"] for each in stops] == ["t1/3", "t2/s1", "t2/s1#2"]
    assert {name: value for name, value in stops[0].items() if value} == {
        "id": "t1/3", "entity_id": "t1", "trip_id": "平日_1", "stop_sequence": "3",
        "stop_id": "s9", "arrival_delay": "-30",
    }  # fmt: skip


async def test_half_a_place_is_none() -> None:
    places = [(0.0, 0.0), (91.0, 135.0), (float("nan"), 135.0), (34.7, 135.5)]
    entities = []
    for number, (latitude, longitude) in enumerate(places):
        entities.append(vehicle(str(number)))
        position = entities[-1].vehicle.position
        position.latitude, position.longitude = latitude, longitude
    body = feed(*entities)
    async with web(lambda _: reply(body)) as server, means() as its:
        rows = await table(_made(server.base, its), _VEHICLES)

    found = [(row["latitude"], row["longitude"]) for row in rows]
    assert found == [("", ""), ("", ""), ("", ""), ("34.7", "135.5")]


async def test_a_feed_that_becomes_empty_is_empty_and_not_another() -> None:
    said = [feed(vehicle("v1")), feed(), feed(rt.FeedEntity(id="a", alert=rt.Alert()))]
    question = Question((), limit=None)
    async with web(lambda _: reply(said.pop(0))) as server, means() as its:
        made, selection = _made(server.base, its), GtfsRtSelection.model_validate(_VEHICLES)
        found = []
        for _ in range(2):
            async with made.fetch(selection, question) as got:
                assert got is not None
                found.append([row["id"] async for batch in got.batches for row in batch])
        with pytest.raises(SourceChanged):
            await table(made, _VEHICLES)

    assert found == [["v1"], []]


def _endless(body: bytes) -> bytes:
    """An answer that says nowhere where it ends."""
    head, _, told = reply(body).partition(b"\r\n\r\n")
    lines = [each for each in head.split(b"\r\n") if not each.startswith(b"Content-Length")]
    return b"\r\n".join(lines) + b"\r\n\r\n" + told


def _no_stations(asked: Asked) -> bytes:
    names = ("station_information", "station_status")
    feeds = [{"name": each, "url": f"{each}.json"} for each in names]
    data: dict[str, Any] = {"feeds": feeds} if asked.path == "/" else {"stations": []}
    return reply({"last_updated": clock.now().isoformat(), "ttl": 0, "data": data})


_ALERTS = {"feed": "alerts"}


@pytest.mark.parametrize(
    ("selection", "answer", "is_said"),
    [
        (_ALERTS, lambda _: reply(feed()), True),
        ({**_ALERTS, "empty_is_an_answer": False}, lambda _: reply(feed()), False),
        (_VEHICLES, lambda _: reply(feed()), False),
        (_ALERTS, lambda _: reply(feed(seconds_ago=70)), False),  # what we have is later
        (_ALERTS, lambda _: reply(feed(timestamp=0)), False),
        (_ALERTS, lambda _: _endless(feed()), False),
        ({"feed": "gbfs_stations"}, _no_stations, False),
        ({"feed": "gbfs_stations", "empty_is_an_answer": True}, _no_stations, True),
    ],
)  # fmt: skip
async def test_that_there_is_nothing_is_said_by_a_whole_and_later_word_of_a_feed_that_may_say_it(
    selection: dict[str, Any], answer: Callable[[Asked], bytes], *, is_said: bool
) -> None:
    before = clock.now().replace(microsecond=0) - timedelta(seconds=60)
    known = Known({"as_of": before.isoformat(), "sha256": "of what was"})
    async with web(answer) as server, means() as its:
        made = _made(server.base, its)
        async with made.harvest(GtfsRtSelection.model_validate(selection), known) as got:
            assert got is not None
            body = b"".join([piece async for piece in got.pieces])

    assert (got.is_empty, body.count(b"\r\n")) == (is_said, 1)


def _old_vehicle() -> rt.FeedEntity:
    made = vehicle("v1")
    made.vehicle.timestamp = int(datetime.now(UTC).timestamp() - 3_600)
    return made


def _long_trip() -> rt.FeedEntity:
    """A trip of more stops than anybody runs, two bytes each."""
    made = rt.FeedEntity(id="t1")
    made.trip_update.trip.trip_id = "t"
    made.trip_update.MergeFromString(b"\x12\x00" * 200_001)
    return made


_UNREADABLE: dict[str, tuple[Callable[[], bytes], str]] = {
    "old": (lambda: feed(seconds_ago=3_600), "stale"),
    "old, in milliseconds": (
        lambda: feed(timestamp=int(datetime.now(UTC).timestamp() - 3_600) * 1_000), "stale",
    ),
    "old, and its header says nothing": (lambda: feed(_old_vehicle(), timestamp=0), "stale"),
    "of names without end": (lambda: feed(vehicle("v" * 1_001)), "format"),
    "of stops without end": (lambda: feed(vehicle("v1"), _long_trip()), "too_many"),
    "of a time to come": (lambda: feed(seconds_ago=-3_600), "ahead"),
    "of changes": (
        lambda: feed(vehicle("v1"), incrementality=rt.FeedHeader.DIFFERENTIAL), "format",
    ),
    "half": (lambda: feed(vehicle("v1"))[:-3], "format"),
    "neither UTF-8 nor CP932": (
        lambda: feed(vehicle("ascii")).replace(b"ascii", b"\x81 \x81 \x81"), "charset",
    ),
    "without a byte": (lambda: b"", "format"),
    "of zeros": (lambda: b"\x00" * 40, "format"),
}  # fmt: skip


@pytest.mark.parametrize("name", _UNREADABLE)
async def test_a_feed_that_cannot_be_what_is_so_now_is_refused(name: str) -> None:
    make, at = _UNREADABLE[name]
    async with web(lambda _: reply(make())) as server, means() as its:
        with pytest.raises(SourceError) as refused:
            await table(_made(server.base, its), _VEHICLES)

    assert refused.value.at == at


async def test_a_feed_that_stands_still_behind_a_304_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def answer(asked: Asked) -> bytes:
        is_known = "if-none-match" in asked.headers
        return reply(b"", "304 Not Modified") if is_known else reply(feed(), ETag='"1"')

    async with web(answer) as server, means() as its:
        made, selection = _made(server.base, its), GtfsRtSelection.model_validate(_VEHICLES)
        async with made.harvest(selection) as got:
            assert got is not None
            known = Known(got.validators or {})
        async with made.harvest(selection, known) as again:
            assert again is None
        later = datetime.now(UTC) + timedelta(hours=1)
        monkeypatch.setattr(clock, "now", lambda: later)
        with pytest.raises(SourceBroken) as refused:
            async with made.harvest(selection, known):
                pass

    assert refused.value.at == "stale"


async def test_bicycles_of_version_2_are_as_those_of_3_and_are_not_asked_before_their_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    system = Bicycles(_STATIONS, version=2, ttl=60)
    async with web(system.answer) as server, means() as its:
        system.base = server.base
        made = _made(f"{server.base}/gbfs.json", its)
        selection = GtfsRtSelection(feed="gbfs_stations")
        async with made.harvest(selection) as got:
            assert got is not None
            body = b"".join([piece async for piece in got.pieces]).decode()
            known = Known(got.validators or {})
        asked = len(server.asked)
        async with made.harvest(selection, known) as again:
            assert again is None
        at_once = len(server.asked)
        later = datetime.now(UTC) + timedelta(seconds=61)
        monkeypatch.setattr(clock, "now", lambda: later)
        async with made.harvest(selection, known):
            pass
        in_time = len(server.asked)
        soon = datetime.now(UTC) + timedelta(seconds=40)
        monkeypatch.setattr(clock, "now", lambda: soon)
        strict = selection.model_copy(update={"stale_after_seconds": 30})
        with pytest.raises(SourceBroken):  # what it gives is as old, but it was asked
            async with made.harvest(strict, known):
                pass

    assert (asked, at_once, in_time, len(server.asked)) == (3, 3, 6, 9)
    row = next(csv.DictReader(io.StringIO(body)))
    found = (row["name"], row["num_vehicles_available"], row["is_renting"], row["is_returning"])
    assert found == ("架空駅前", "3", "true", "")


def test_a_column_that_a_feed_has_not_is_refused_with_those_that_it_has() -> None:
    with pytest.raises(ValidationError, match="station_id, name"):
        GtfsRtSelection(feed="gbfs_stations", columns=["trip_id"])


async def test_what_proves_us_is_not_sent_to_where_a_system_leads() -> None:
    system = Bicycles(_STATIONS)
    async with web(system.answer) as other, means() as its:
        system.base = other.base
        async with web(system.answer) as server:
            told = {
                "base": f"{server.base}/gbfs.json",
                "auth": {"type": "api_key", "key": "hidden"},
            }
            made = GtfsRtConnector(GtfsRtSettings.model_validate(told), its)
            await made.check(GtfsRtSelection(feed="gbfs_stations"))

    assert [asked.headers.get("x-api-key") for asked in server.asked] == ["hidden"]
    assert [asked.headers.get("x-api-key") for asked in other.asked] == [None, None]
