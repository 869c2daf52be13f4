"""GTFS Realtime as flat records: vehicles, stops of trips, alerts. Reads bytes, and asks nobody.

Entities are as the reference of GTFS Realtime 2.0 has them; what is no number, place or moment there
can be stays empty, and never becomes another one.
"""

import struct
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from app.connectors.errors import SourceBroken, SourceChanged

if TYPE_CHECKING:
    from google.transit import gtfs_realtime_pb2 as rt

_MOST: Final = 200_000  # entities, and stops: each takes a few bytes, and its record a thousand
_LONGEST_NAME: Final = 1_000  # stands again in the record of each stop
_LAST_SECOND: Final = 4_102_444_800  # 2100: what is later was written in other units
_TRIP: Final = ("trip_id", "route_id", "direction_id", "start_date", "start_time")
_VEHICLE: Final = ("vehicle_id", "vehicle_label", "license_plate")
COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "vehicle_positions": (
        "id", *_TRIP, *_VEHICLE, "latitude", "longitude", "bearing", "speed", "stop_id",
        "stop_sequence", "status", "congestion", "occupancy", "updated_at",
    ),
    "trip_updates": (
        "id", "entity_id", *_TRIP, "trip_relationship", *_VEHICLE, "delay", "stop_sequence",
        "stop_id", "stop_relationship", "arrival_delay", "arrival_at", "departure_delay",
        "departure_at", "updated_at",
    ),
    "alerts": (
        "id", "active_from", "active_until", "cause", "effect", "severity", "agency_ids",
        "route_ids", "stop_ids", "trip_ids", "header", "description", "url",
    ),
}  # fmt: skip
_MEMBERS: Final = {"vehicle_positions": "vehicle", "trip_updates": "trip_update", "alerts": "alert"}


class _TooLong(Exception):
    """A name that is none."""


def read(host: str, body: bytes) -> "rt.FeedMessage":
    """A whole feed. Raises `SourceBroken` for what is none, and for one of changes alone."""
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - slow, and needed by few
    from google.transit import gtfs_realtime_pb2 as rt  # noqa: PLC0415

    message = rt.FeedMessage()
    try:
        message.ParseFromString(body)
    except DecodeError as exc:
        raise SourceBroken(source=host, at="format", detail="GTFS Realtime") from exc
    if not message.HasField("header"):  # an empty body is a message, too
        raise SourceBroken(source=host, at="format", detail="GTFS Realtime")
    if message.header.incrementality != rt.FeedHeader.FULL_DATASET:
        raise SourceBroken(source=host, at="format", detail="GTFS Realtime FULL_DATASET")
    return message


def told_at(message: "rt.FeedMessage") -> datetime | None:
    """When the feed was so, be it in milliseconds; without a word in its header, as the newest of
    its vehicles and trips has it."""
    told = message.header.timestamp or max(
        (each.vehicle.timestamp or each.trip_update.timestamp for each in message.entity),
        default=0,
    )
    return _moment(told) or _moment(told // 1_000)


def records(host: str, message: "rt.FeedMessage", feed: str, language: str) -> list[dict[str, Any]]:
    """The records of one sort of entity. Raises `SourceChanged` where all are of another, and
    `SourceBroken` for more than anybody runs."""
    member = _MEMBERS[feed]
    if len(message.entity) > _MOST or sum(map(_stop_count, message.entity)) > _MOST:
        raise SourceBroken(source=host, at="too_many", detail=_MOST)
    entities = [each for each in message.entity if not each.is_deleted]
    its = [each for each in entities if each.HasField(member)]
    if entities and not its:
        raise SourceChanged(source=host, at="shape", detail=feed)
    try:
        return _of(feed, its, language)
    except _TooLong as exc:
        raise SourceBroken(source=host, at="format", detail="GTFS Realtime") from exc
    except UnicodeDecodeError as exc:
        raise SourceBroken(source=host, at="charset", detail="UTF-8") from exc


def _stop_count(entity: "rt.FeedEntity") -> int:
    return len(entity.trip_update.stop_time_update)


def _of(feed: str, its: list["rt.FeedEntity"], language: str) -> list[dict[str, Any]]:
    match feed:
        case "vehicle_positions":
            return [_position(each) for each in its]
        case "trip_updates":
            return [stop for each in its for stop in _stops(each)]
    return [_alert(each, language) for each in its]


def _position(entity: "rt.FeedEntity") -> dict[str, Any]:
    vehicle = entity.vehicle
    place = vehicle.position if vehicle.HasField("position") else None
    return {
        "id": _told(entity, "id"), **_trip(vehicle.trip), **_vehicle(vehicle.vehicle), **_place(place),
        "bearing": _number(place, "bearing"), "speed": _number(place, "speed"),
        "stop_id": _told(vehicle, "stop_id"),
        "stop_sequence": _told(vehicle, "current_stop_sequence"),
        "status": _word(vehicle, "current_status"),
        "congestion": _word(vehicle, "congestion_level"),
        "occupancy": _word(vehicle, "occupancy_status"),
        "updated_at": _text(_moment(vehicle.timestamp)),
    }  # fmt: skip


def _stops(entity: "rt.FeedEntity") -> Iterator[dict[str, Any]]:
    """A record for each stop that is told of; one for a trip of which none is."""
    update, entity_id = entity.trip_update, _told(entity, "id")
    its = {
        "entity_id": entity_id, **_trip(update.trip),
        "trip_relationship": _word(update.trip, "schedule_relationship"),
        **_vehicle(update.vehicle), "delay": _told(update, "delay"),
        "updated_at": _text(_moment(update.timestamp)),
    }  # fmt: skip
    if not update.stop_time_update:
        yield {"id": entity_id, **its}
    visits = Counter[Any]()  # a line that is a ring comes by again, and few number its stops
    for stop in update.stop_time_update:
        sequence, stop_id = _told(stop, "stop_sequence"), _told(stop, "stop_id")
        name = stop_id if sequence is None else sequence
        visits[name] += 1
        yield {
            "id": f"{entity_id}/{name}" + (f"#{visits[name]}" if visits[name] > 1 else ""), **its,
            "stop_sequence": sequence, "stop_id": stop_id,
            "stop_relationship": _word(stop, "schedule_relationship"),
            **_event(stop, "arrival"), **_event(stop, "departure"),
        }  # fmt: skip


def _event(stop: Any, which: str) -> dict[str, Any]:
    event = getattr(stop, which)
    return {f"{which}_delay": _told(event, "delay"), f"{which}_at": _text(_moment(event.time))}


def _alert(entity: "rt.FeedEntity", language: str) -> dict[str, Any]:
    alert = entity.alert
    starts = [_moment(each.start) for each in alert.active_period]
    ends = [_moment(each.end) for each in alert.active_period]
    informed = alert.informed_entity
    return {
        "id": _told(entity, "id"),
        # A period without a start or an end is open there, and so are all of them together.
        "active_from": _text(min((each for each in starts if each), default=None))
        if all(starts) else None,
        "active_until": _text(max((each for each in ends if each), default=None))
        if all(ends) else None,
        "cause": _word(alert, "cause"), "effect": _word(alert, "effect"),
        "severity": _word(alert, "severity_level"),
        "agency_ids": _all(each.agency_id for each in informed),
        "route_ids": _all(each.route_id or each.trip.route_id for each in informed),
        "stop_ids": _all(each.stop_id for each in informed),
        "trip_ids": _all(each.trip.trip_id for each in informed),
        "header": _said(alert.header_text, language),
        "description": _said(alert.description_text, language),
        "url": _said(alert.url, language),
    }  # fmt: skip


def _said(text: "rt.TranslatedString", language: str) -> str | None:
    """In the language that is wanted; else where none is named; else the first."""
    said = {_plain(each.language).lower(): _plain(each.text) for each in reversed(text.translation)}
    wanted = language.lower()
    near = next((name for name in said if name.partition("-")[0] == wanted), "")
    first = next(reversed(said.values()), None)
    return said.get(wanted, said.get(near, first))


def _trip(trip: "rt.TripDescriptor") -> dict[str, Any]:
    return {name: _told(trip, name) for name in _TRIP}


def _vehicle(vehicle: "rt.VehicleDescriptor") -> dict[str, Any]:
    names = zip(_VEHICLE, ("id", "label", "license_plate"), strict=True)
    return {column: _told(vehicle, name) for column, name in names}


def _place(position: "rt.Position | None") -> dict[str, float | None]:
    """A pair of degrees, or none: half a place is none, and 0, 0 says that a device knows nothing."""
    latitude, longitude = _number(position, "latitude"), _number(position, "longitude")
    is_one = (
        latitude is not None and longitude is not None and (latitude, longitude) != (0, 0)
        and abs(latitude) <= 90 and abs(longitude) <= 180
    )  # fmt: skip
    return {
        "latitude": latitude if is_one else None,
        "longitude": longitude if is_one else None,
    }


def _number(message: Any, name: str) -> float | None:
    """A float of 32 bits with the fewest digits that mean it, as whoever wrote it had it."""
    found = None if message is None else _told(message, name)
    if found is None or not abs(found) < 1e9:
        return None
    shorter = (float(f"{found:.{digits}g}") for digits in range(6, 9))
    return next((each for each in shorter if _single(each) == found), float(f"{found:.9g}"))


def _single(number: float) -> float:
    return float(struct.unpack("f", struct.pack("f", number))[0])


def _told(message: Any, name: str) -> Any:
    found = getattr(message, name) if message.HasField(name) else None
    if not isinstance(found, str | bytes):
        return found
    if len(found) > _LONGEST_NAME:
        raise _TooLong
    return _plain(found)


def _plain(text: str | bytes) -> str:
    """A text; some writers of Japan put CP932 where UTF-8 belongs, and the library hands out bytes."""
    return text.decode("cp932") if isinstance(text, bytes) else text


def _word(message: Any, name: str) -> str | None:
    """A value of a closed list by its name; None where it is not said, or of a later edition."""
    if not message.HasField(name):
        return None
    values = message.DESCRIPTOR.fields_by_name[name].enum_type.values_by_number
    found = values.get(getattr(message, name))
    return None if found is None else str(found.name)


def _moment(seconds: int) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < _LAST_SECOND else None


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def _all(names: Iterator[str]) -> str | None:
    """Names as one text; no name in any timetable that we know has a blank."""
    return " ".join(dict.fromkeys(_plain(each) for each in names if each)) or None
