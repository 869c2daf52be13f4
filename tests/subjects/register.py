"""A register of people with two consumers in other organisations, for tests of whose names leave."""

import csv
import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx
import openpyxl
import polars as pl

from app.models.parties import Role
from tests.oauth.senders import Sender, sender, under
from tests.stock import PURPOSE, Spec, agreed, path, stocked
from tests.world import KENKO, SAKAI, Party, World

IKEDA: Final = "272043"
SPECS: Final[tuple[Spec, ...]] = (
    ("no", "code", {"key": True}),
    ("person", "code"),
    ("note", "text"),
    ("lat", "latitude"),
    ("lon", "longitude"),
)
# The same with the name in the key.
BY_NAME: Final[tuple[Spec, ...]] = (
    ("person", "code", {"key": True}),
    ("year", "integer", {"key": True}),
    ("note", "text"),
    ("lat", "latitude"),
    ("lon", "longitude"),
)


@dataclass(slots=True)
class Reader:
    """A party that gets a new token when its last is no longer fresh: they live a minute."""

    world: World
    party: Party
    scope: str
    details: dict[str, str]
    token: Sender | None = None
    since: float = 0

    async def headers(self, where: str, method: str = "GET") -> dict[str, str]:
        """What a request is sent with."""
        if self.token is None or time.monotonic() - self.since > 30:
            self.token = await sender(self.world, self.party, self.scope, **self.details)
            self.since = time.monotonic()
        return self.token.headers(where, method)


@dataclass(slots=True)
class Register:
    """The dataset, the publisher's names in it, and who may read it."""

    dataset: str
    names: list[str]
    own: Reader
    sakai: Reader
    ikeda: Reader
    agreements: dict[str, str]
    steward: dict[str, str]


async def register(
    world: World,
    people: int = 3,
    *,
    specs: Sequence[Spec] = SPECS,
    rows: Sequence[Mapping[str, Any]] | None = None,
    **terms: Any,
) -> Register:
    """Records about so many people, and an agreement with each of the two consumers."""
    names = await world.platform.linker.new_people(KENKO, people)
    if rows is None:
        rows = [record(at, name, specs) for at, name in enumerate(names, start=1)]
    dataset = await stocked(world, [], specs, data_class="personal")
    await declare(world, dataset, "person")
    scope = f"dataset:{dataset}:read dataset:{dataset}:write"
    own = Reader(world, await world.party(KENKO), scope, {})
    if rows:
        sent = await send(world, own, dataset, rows)
        assert (sent.status_code, sent.json()["rejected"]) == (200, 0), sent.text
    bounds = {"actions": ["read", "write"], **terms}
    agreements, consumers = {}, {}
    for organization in (SAKAI, IKEDA):
        party = await world.party(organization, Role.DEVELOPER)
        agreement, steward = await agreed(world, dataset, party, **bounds)
        agreements[organization] = agreement
        details = {"authorization_details": under(agreement, "read", "write")}
        consumers[organization] = Reader(world, party, scope, details)
    return Register(dataset, names, own, consumers[SAKAI], consumers[IKEDA], agreements, steward)


async def declare(world: World, dataset: str, subject: str | None) -> None:
    """Say which field names the person."""
    pool = world.platform.database.pool
    await pool.execute("UPDATE dataset SET subject = $2 WHERE id = $1", dataset, subject)
    world.platform.live.changed("dataset", dataset)


def record(at: int, name: str | None, specs: Sequence[Spec] = SPECS) -> dict[str, Any]:
    """A record about somebody."""
    place = {"lat": 34.5 + at % 100 / 1_000, "lon": 135.5}
    if specs is BY_NAME:
        return {"person": name, "year": 2026, "note": f"n{at}", **place}
    return {"no": f"N-{at}", "person": name, "note": f"n{at}", **place}


async def send(
    world: World, who: Reader, dataset: str, rows: Sequence[Mapping[str, Any]]
) -> httpx.Response:
    """Write records."""
    where = path(dataset)
    headers = await who.headers(where, "POST")
    return await world.client.post(where, json=list(rows), headers=headers)


async def pour(world: World, dataset: str, names: Sequence[str], rows: int) -> None:
    """So many more records of the first revision, about each in turn, past the rules."""
    pool = world.platform.database.pool
    table = await pool.fetchval("SELECT table_name FROM version WHERE dataset_id = $1", dataset)
    await pool.execute(
        f"""INSERT INTO hosted.{table} (_row, _since, c001, c002, c003, c004, c005)
        SELECT 1000 + n, 1, 'P-' || n, ($1::text[])[n % $2 + 1], 'n', 34.5, 135.5
        FROM generate_series(0, $3 - 1) n""",
        list(names), len(names), rows,
    )  # fmt: skip


async def ask(world: World, who: Reader, where: str, **query: str) -> httpx.Response:
    """Asked for the purpose that was agreed."""
    return await world.client.get(
        where, params={"purpose": PURPOSE, **query}, headers=await who.headers(where)
    )


async def follow(world: World, who: Reader, link: str) -> httpx.Response:
    """The answer behind a link."""
    url = httpx.URL(link)
    return await world.client.get(link, headers=await who.headers(url.path))


def rows_of(answer: httpx.Response) -> list[dict[str, Any]]:
    """The rows of any representation; a feature's id is one of its values."""
    assert answer.status_code == 200, answer.text
    media_type = answer.headers["content-type"]
    if "parquet" in media_type:
        return pl.read_parquet(io.BytesIO(answer.content)).to_dicts()
    if "spreadsheet" in media_type:
        book = openpyxl.load_workbook(io.BytesIO(answer.content), read_only=True)
        names, *cells = book.worksheets[0].iter_rows(values_only=True)
        return [dict(zip(map(str, names), each, strict=True)) for each in cells]
    if "csv" in media_type:
        text = answer.content.decode("cp932" if "Shift" in media_type else "utf-8-sig")
        return list(csv.DictReader(io.StringIO(text)))
    if "ndjson" in media_type:
        return [json.loads(line) for line in answer.text.splitlines()]
    found = answer.json()
    if "features" in found:
        return [{"id": each.get("id"), **each["properties"]} for each in found["features"]]
    rows: list[dict[str, Any]] = found["records"]
    return rows
