"""A bureau's list moves from a mainframe's CP932 file to an interface, and from there to a database.

Rows R01, R05, R09, R18. Each source writes the same facts in its own way; readers read all the
while, and followers of the change feed hear of what has truly changed. All data is synthetic.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from app.api.state import Platform
from app.kit.settings import Settings
from app.models.parties import Role
from app.tasks.harvest import Harvester
from tests.conftest import ISSUER
from tests.connectors.databases import Foreign, foreign_database
from tests.connectors.farm import Farm
from tests.connectors.sources import reply, web
from tests.database import DatabaseServer
from tests.world import KENKO, World

FIELDS: Final[list[dict[str, Any]]] = [
    {"name": "no", "label": "番号", "type": "code", "key": True},
    {"name": "name", "label": "名称", "type": "text", "required": True},
    {"name": "beds", "label": "病床数", "type": "integer", "unit": "床"},
    {"name": "area", "label": "面積", "type": "decimal"},
    {"name": "opened", "label": "開設日", "type": "date"},
    {"name": "checked", "label": "確認日時", "type": "datetime"},
    {"name": "ramp", "label": "スロープ", "type": "boolean"},
    {"name": "latitude", "label": "緯度", "type": "latitude"},
    {"name": "longitude", "label": "経度", "type": "longitude"},
    {"name": "postal", "label": "郵便番号", "type": "postal_code"},
    {"name": "state", "label": "状態", "type": "code",
     "code_list": {"open": "開設", "shut": "休止"}},
    {"name": "memo", "label": "備考", "type": "text"},
]  # fmt: skip
CSV: Final = (
    "番号,名称,病床数,面積,開設日,確認日時,スロープ,緯度,経度,郵便番号,状態,備考\r\n"
    '１,架空第一医院　,"1,200床",12.50,令和4年4月1日,2026/4/1 9:00,有,34.7025,135.4959,〒5300001,開設,"東口\r\n徒歩3分"\r\n'
    "2,架空髙橋②医院 ,８,0.5,R5.12.1,2026年4月1日 10時30分,無,34.7,135.5,530-0002,休止,\r\n"
)
JSON: Final[list[dict[str, Any]]] = [
    {"memo": None, "state": "shut", "zip": "5300002", "lon": 135.50, "lat": 34.70, "ramp": False,
     "checked": "2026-04-01T01:30:00Z", "opened": "2023-12-01", "area": 0.50, "beds": 8,
     "facility": " 架空髙橋②医院", "id": 2},
    {"id": 1, "facility": "架空第一医院", "beds": 1200.0, "area": 12.5, "opened": "2022-04-01",
     "checked": "2026-04-01T09:00:00+09:00", "ramp": True, "lat": 34.7025, "lon": 135.4959,
     "zip": "530-0001", "state": "open", "memo": "東口\n徒歩3分"},
]  # fmt: skip
NAMES: Final = {
    "no": "id", "name": "facility", "latitude": "lat", "longitude": "lon", "postal": "zip",
}  # fmt: skip
MAPPING: Final = [{"to": to, "from": [name]} for to, name in NAMES.items()]
TABLE: Final = """
CREATE TABLE clinic (id int, facility char(40), beds bigint, area numeric(8, 3), opened date,
    checked timestamptz, ramp boolean, lat numeric(9, 6), lon double precision, zip varchar(10),
    state text, memo text)
"""
ROWS: Final = """
INSERT INTO clinic VALUES
    (1, '架空第一医院', 1200, 12.5, '2022-04-01', '2026-04-01 09:00+09', true, 34.7025, 135.4959,
     '5300001', 'open', E'東口\\n徒歩3分'),
    (2, '架空髙橋②医院', 8, 0.5, '2023-12-01', '2026-04-01 10:30+09', false, 34.7, 135.5,
     '530-0002', 'shut', '')
"""
FACTS: Final = [
    {"no": "1", "name": "架空第一医院", "beds": 1200, "area": 12.5, "opened": "2022-04-01",
     "checked": "2026-04-01T09:00:00+09:00", "ramp": True, "latitude": 34.7025,
     "longitude": 135.4959, "postal": "530-0001", "state": "open", "memo": "東口\n徒歩3分"},
    {"no": "2", "name": "架空髙橋②医院", "beds": 8, "area": 0.5, "opened": "2023-12-01",
     "checked": "2026-04-01T10:30:00+09:00", "ramp": False, "latitude": 34.7, "longitude": 135.5,
     "postal": "530-0002", "state": "shut", "memo": None},
]  # fmt: skip
LATER: Final = [{**FACTS[0], "beds": 1180}, {**FACTS[1], "no": "3"}]


@pytest.fixture(scope="module")
def drop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("drop")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, drop: Path) -> Settings:
    home: Path = tmp_path_factory.mktemp("home")
    return Settings(
        home=home, public_url=ISSUER, outbound_allow="127.0.0.0/8", file_roots=f"{KENKO}={drop}"
    )


@pytest_asyncio.fixture(loop_scope="session")
async def farm(world: World, platform: Platform) -> Farm:
    made = Harvester(
        platform.database, lambda: platform.sealer, platform.kinds, platform.outbound,
        platform.lent_folders, 64 << 20,
    )  # fmt: skip
    return await Farm.of(world, made)


@pytest_asyncio.fixture(loop_scope="session")
async def source(embedded: DatabaseServer) -> AsyncIterator[Foreign]:
    async with foreign_database(embedded) as made:
        await made.owner.execute(TABLE + ";" + ROWS)
        await made.owner.execute(f"GRANT SELECT ON clinic TO {made.user}")
        yield made


class Reader:
    """A client that reads the list, its change feed, and each record by its key."""

    def __init__(self, farm: Farm, dataset: str, headers: dict[str, str]) -> None:
        self.client, self.headers = farm.world.client, headers
        self.base = f"/v1/datasets/{dataset}"
        self.seen: list[list[dict[str, Any]]] = []
        self.failed: list[str] = []

    async def read(self, path: str) -> dict[str, Any]:
        got = await self.client.get(f"{self.base}/{path}", headers=self.headers)
        if got.status_code != 200:
            self.failed.append(got.text)
            return {}
        told: dict[str, Any] = got.json()
        return told

    async def records(self) -> list[dict[str, Any]]:
        found = (await self.read("records?purpose=own-duty"))["records"]
        return sorted(found, key=lambda each: str(each["no"]))

    async def changes(self, since: str | None) -> tuple[list[Any], str]:
        told = await self.read(
            "changes?purpose=own-duty" + (f"&since={since}" if since is not None else "")
        )
        return [(each["op"], each["key"]) for each in told["changes"]], told["next"]

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Reads all the while."""

        async def go_on() -> None:
            while True:
                self.seen.append(await self.records())
                await asyncio.sleep(0.05)

        going = asyncio.create_task(go_on())
        try:
            yield
        finally:
            going.cancel()
            await asyncio.wait({going})


async def test_a_source_moves_from_a_cp932_file_to_json_to_sql_and_readers_only_see_true_changes(
    farm: Farm, drop: Path, source: Foreign
) -> None:
    fields = [{**each, "column": each["name"]} for each in FIELDS]
    dataset = await farm.dataset(fields=fields)
    reading = {"reading": {"encoding": "cp932"}}  # of the file, and no word on what follows it
    told = await farm.world.client.patch(
        f"/v1/datasets/{dataset}", json=reading, headers=farm.headers
    )
    assert told.status_code == 200, told.text
    party = await farm.world.party(KENKO, Role.STEWARD)
    headers = await farm.world.token(party, f"dataset:{dataset}:read")
    reader = Reader(farm, dataset, headers)
    (drop / "clinics.csv").write_bytes(CSV.encode("cp932"))
    feed = {"dataset": dataset, "publish": True}

    async def moved(old: str, kind: str, told: dict[str, Any], **more: Any) -> Any:
        """The new source is looked at while the old one feeds, and takes its place."""
        new = await farm.add(kind, told)
        tried = {**more, "dataset": dataset, "selection": more.get("selection", {})}
        looks.append((await farm.ask("POST", f"/{new}/preview", tried)).json())
        await farm.ask("PATCH", f"/{old}", {"feeds": []})
        await farm.ask("PATCH", f"/{new}", {"feeds": [{**feed, **more}]})
        return new, await farm.run(new)

    looks: list[dict[str, Any]] = []
    async with web(lambda _: reply({"items": JSON})) as server:
        old = await farm.add(
            "file", {"base": str(drop)}, {**feed, "selection": {"path": "clinics.csv"}}
        )
        from_file = await farm.run(old)
        begun, since = await reader.changes(None)
        async with reader.reading():
            old, from_json = await moved(
                old, "http_json", {"base": server.base}, selection={"rows": "/items"},
                mapping=MAPPING,
            )  # fmt: skip
            after_json, since = await reader.changes(since)
            new, from_sql = await moved(
                old, "sql", source.settings(), selection={"table": "clinic"}, mapping=MAPPING
            )
            after_sql, since = await reader.changes(since)
            await source.owner.execute("UPDATE clinic SET beds = 1180 WHERE id = 1")
            await source.owner.execute("UPDATE clinic SET id = 3 WHERE id = 2")
            true_change = await farm.run(new)
        news, _ = await reader.changes(since)

    assert [sorted(row["no"] for row in each["after"]) for each in looks] == [["1", "2"]] * 2
    for each in (from_file, from_json, from_sql, true_change):
        assert (each["state"], each["rows"], each["published"]) == ("ok", 2, True), each["error_en"]
    assert begun == [("upsert", "1"), ("upsert", "2")]
    assert (after_json, after_sql) == ([], [])
    assert sorted(news) == [("delete", "2"), ("upsert", "1"), ("upsert", "3")]
    assert reader.failed == []
    assert len(reader.seen) > 5
    assert all(each in (FACTS, LATER) for each in reader.seen)
    assert await reader.records() == LATER
