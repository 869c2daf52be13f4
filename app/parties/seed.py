"""The organisations that Osaka begins with. Adds what is missing and changes nothing."""

import csv
import io
from collections.abc import Iterator
from datetime import date
from importlib import resources
from typing import Any, Final

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log as audit
from app.audit.events import Event
from app.kit import clock
from app.models.parties import FormerName, Organization, OrganizationKind

PREFECTURE: Final = "270008"
CITY: Final = "271004"
OPERATOR: Final = "270008-smartcity"
_KINDS: Final = {
    "都道府県": OrganizationKind.PREFECTURE,
    "指定都市": OrganizationKind.DESIGNATED_CITY,
    "市": OrganizationKind.CITY,
    "町": OrganizationKind.TOWN,
    "村": OrganizationKind.VILLAGE,
}
_FORMER_NAMES: Final = (
    FormerName(
        organization_id=f"{CITY}-digital",
        until=date(2022, 4, 1),
        name_ja="ICT戦略室",
        name_en="ICT Strategy Office",
    ),
)


async def seed(session: AsyncSession) -> int:
    """Add the local governments, wards and units that are not there yet; how many were added."""
    added = 0
    for row in [*_local_governments(), *_wards(), *_units()]:
        full = {"second_parent_id": None, "name_kana": None, "created_at": clock.now(), **row}
        statement = insert(Organization).values(full).on_conflict_do_nothing()
        made = await session.execute(statement.returning(Organization.id))
        added += len(made.all())
    for former in _FORMER_NAMES:
        values = {
            "organization_id": former.organization_id,
            "until": former.until,
            "name_ja": former.name_ja,
            "name_en": former.name_en,
        }
        await session.execute(insert(FormerName).values(values).on_conflict_do_nothing())
    if added:
        await audit.append(session, Event.ORGANIZATION_ADDED, count=added, by="seed")
    return added


def _read(name: str) -> Iterator[dict[str, str]]:
    text = resources.files("app.parties").joinpath("data", name).read_text("utf-8-sig")
    yield from csv.DictReader(io.StringIO(text))


def _local_governments() -> Iterator[dict[str, Any]]:
    for row in _read("local_governments.csv"):
        yield {
            "id": row["local_government_code"],
            "local_government_code": row["local_government_code"],
            "kind": _KINDS[row["type"]].value,
            "name_ja": row["name"],
            "name_kana": row["kana"],
            "name_en": row["name_en"],
        }


def _wards() -> Iterator[dict[str, Any]]:
    """A ward has a code and belongs to its city; two of them are units of the city as well."""
    english = {row["organization_id"]: row["name_en"] for row in _read("osaka_city_units.csv")}
    for row in _read("wards.csv"):
        yield {
            "id": row["ward_code"],
            "local_government_code": row["ward_code"],
            "kind": OrganizationKind.WARD.value,
            "name_ja": row["name"],
            "name_en": english.get(row["ward_code"]),
            "parent_id": row["parent_code"],
        }


def _units() -> Iterator[dict[str, Any]]:
    for row in _read("osaka_city_units.csv"):
        joint = row["joint_with_prefecture"] == "true"
        yield {
            "id": row["organization_id"],
            "kind": OrganizationKind.UNIT.value,
            "name_ja": row["name"],
            "name_en": row["name_en"],
            "parent_id": CITY,
            "second_parent_id": PREFECTURE if joint else None,
        }
    yield {
        "id": OPERATOR,
        "kind": OrganizationKind.UNIT.value,
        "name_ja": "スマートシティ戦略部",
        "name_en": "Department of Smart City Strategy",
        "parent_id": PREFECTURE,
    }
