"""GBFS 2 and 3 as flat records: stations with what stands at each. Reads documents, asks nobody."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from app.connectors.errors import SourceBroken, SourceChanged

COLUMNS: Final = (
    "station_id", "name", "short_name", "latitude", "longitude", "address", "region_id",
    "capacity", "num_vehicles_available", "num_docks_available", "is_installed", "is_renting",
    "is_returning", "last_reported",
)  # fmt: skip
FEEDS: Final = ("station_information", "station_status")
_LONGEST_TTL: Final = 86_400
_RENAMED: Final = {"num_vehicles_available": "num_bikes_available"}  # of 3.0, and before


def read(host: str, body: bytes) -> dict[str, Any]:
    """The document of one file of GBFS. Raises `SourceBroken` and `SourceChanged`."""
    try:
        body.decode()
    except UnicodeDecodeError as exc:
        raise SourceBroken(source=host, at="charset", detail="UTF-8") from exc
    try:
        found = orjson.loads(body)
    except ValueError as exc:
        at = "html" if body.lstrip()[:1] == b"<" else "format"
        raise SourceBroken(source=host, at=at, detail="JSON") from exc
    if not isinstance(found, dict) or not isinstance(found.get("data"), dict):
        raise SourceChanged(source=host, at="shape", detail="data")
    return found


def addresses(host: str, document: Mapping[str, Any], language: str) -> dict[str, str]:
    """Where the files of stations are: 3 names them once, 2 once a language."""
    data = document["data"]
    if "feeds" not in data:
        data = data.get(language) or next(iter(data.values()), None)
    feeds = data.get("feeds") if isinstance(data, dict) else None
    named = {
        each["name"]: each["url"]
        for each in (feeds if isinstance(feeds, list) else ())
        if isinstance(each, dict)
        and isinstance(each.get("name"), str)
        and isinstance(each.get("url"), str)
    }
    for name in FEEDS:
        if name not in named:
            raise SourceChanged(source=host, at="shape", detail=name)
    return {name: named[name] for name in FEEDS}


def told_at(document: Mapping[str, Any]) -> datetime | None:
    """When a file was so."""
    return _moment(document.get("last_updated"))


def lasts(document: Mapping[str, Any]) -> int:
    """For how many seconds nothing new is to be asked for (`ttl`)."""
    told = document.get("ttl")
    return min(max(told, 0), _LONGEST_TTL) if isinstance(told, int) else 0


def records(
    host: str, information: Mapping[str, Any], status: Mapping[str, Any], language: str
) -> list[dict[str, Any]]:
    """Each station of either file, once, in the order of the first."""
    here, there = _stations(host, information), _stations(host, status)
    return [
        _record(name, here.get(name, {}), there.get(name, {}), language)
        for name in dict.fromkeys([*here, *there])
    ]


def _stations(host: str, document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found = document["data"].get("stations")
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise SourceChanged(source=host, at="shape", detail="stations")
    if any("station_id" not in each for each in found):
        raise SourceChanged(source=host, at="shape", detail="station_id")
    return {str(each["station_id"]): each for each in found}


def _record(
    station_id: str, here: Mapping[str, Any], there: Mapping[str, Any], language: str
) -> dict[str, Any]:
    told = {name: there.get(name, there.get(_RENAMED.get(name, name))) for name in COLUMNS[8:10]}
    moment = _moment(there.get("last_reported"))
    return {
        "station_id": station_id,
        "name": _said(here.get("name"), language),
        "short_name": _said(here.get("short_name"), language),
        "latitude": _degrees(here.get("lat"), 90),
        "longitude": _degrees(here.get("lon"), 180),
        "address": _plain(here.get("address")),
        "region_id": _plain(here.get("region_id")),
        "capacity": _plain(here.get("capacity")),
        **{name: _plain(value) for name, value in told.items()},
        **{name: _truth(there.get(name)) for name in COLUMNS[10:13]},
        "last_reported": moment.isoformat().replace("+00:00", "Z") if moment else None,
    }


def _said(value: Any, language: str) -> Any:
    """A text, or (3.0) the one of several that is of a language, or the first."""
    if not isinstance(value, list):
        return _plain(value)
    texts = [each for each in value if isinstance(each, dict) and "text" in each]
    ours = [each for each in texts if each.get("language") == language]
    return _plain([*ours, *texts][0]["text"]) if texts else None


def _plain(value: Any) -> str | int | float | None:
    return value if isinstance(value, str | int | float) else None


def _truth(value: Any) -> bool | None:
    return bool(value) if value in (0, 1) else None  # 1.x wrote numbers; True equals 1


def _degrees(value: Any, most: int) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and abs(value) <= most else None


def _moment(value: Any) -> datetime | None:
    """POSIX seconds (2) or RFC 3339 (3)."""
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except (ValueError, OverflowError, OSError):
        return None
    return found.astimezone(UTC) if found is not None and found.tzinfo is not None else None
