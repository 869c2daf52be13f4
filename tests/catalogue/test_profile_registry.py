"""The registry's rows: seeded once, kept through migrations, and used by datasets that load files."""

import asyncio
import secrets

import asyncpg
import httpx
from alembic import command
from alembic.config import Config

from app.catalogue import profiles
from app.catalogue.profile_seed import seed
from app.formats.profiles.municipal import built_in
from app.models.parties import Role
from tests.database import REPO, DatabaseServer, dsn_of
from tests.world import KENKO, World

AED_V1 = (
    "都道府県コード又は市区町村コード,NO.,名　称,名称＿カナ,住所,緯度,経度,設置位置,点検日\n"
    "271004,0001,架空第一,カクウ,大阪府大阪市北区架空1,34.70,135.50,玄関,毎月\n"
)


async def test_seeding_again_adds_and_changes_nothing(world: World) -> None:
    async with world.platform.database.writing() as session:
        again = await seed(session)
        known = await profiles.layouts(session)

    assert again == 0
    stored = {(each.name, each.version): each for each in known}
    for each in built_in():
        layout = stored[each.layout.name, each.layout.version]
        assert (layout.fields, layout.rules) == (each.layout.fields, each.layout.rules)


async def test_a_file_of_the_older_edition_loads_into_a_dataset_of_the_newer(
    client: httpx.AsyncClient, world: World, worker: None
) -> None:
    party = await world.party(KENKO, Role.STEWARD)
    dataset = f"d-{secrets.token_hex(5)}"
    headers = await world.token(party, "catalogue:write")
    entry = {
        "id": dataset,
        "title_ja": "AED",
        "steward": {"name": "試験"},
        "data_class": "public",
        "license": "CC-BY-4.0",
        "update_frequency": "annual",
        "profile": {"name": "aed", "version": 2},
    }
    assert (await client.post("/v1/datasets", json=entry, headers=headers)).status_code == 201

    run = await world.load(headers, dataset, AED_V1.encode())
    await world.publish(headers, run)

    assert (run["rows_accepted"], run["rows_rejected"]) == (1, 0)
    answer = await client.get(f"/v1/datasets/{dataset}/records")
    record = answer.json()["records"][0]
    assert (record["id"], record["address"]) == ("0001", "大阪府大阪市北区架空1")
    assert record["local_government_code"] == "271004"


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("path_separator", "os")
    config.set_main_option("script_location", str(REPO / "migrations"))
    config.attributes["url"] = url
    return config


async def test_profiles_of_the_release_before_stay_and_get_their_owner(
    embedded: DatabaseServer,
) -> None:
    url = await embedded.make_database("profiles_before")
    config = _config(url)
    await asyncio.to_thread(command.upgrade, config, "0002")
    connection = await asyncpg.connect(dsn_of(url))
    await connection.execute(
        "INSERT INTO profile (name, version, title_ja, fields, created_at, created_by)"
        " VALUES ('old', 1, '旧', '[]', now(), 'cli:someone')"
    )

    await asyncio.to_thread(command.upgrade, config, "0003")
    row = await connection.fetchrow("SELECT * FROM profile")
    await asyncio.to_thread(command.downgrade, config, "0002")
    left = await connection.fetch("SELECT name, version, title_ja FROM profile")
    await connection.close()
    await embedded.drop_database("profiles_before")

    assert row is not None
    assert (row["published_at"], row["owner_id"], row["rules"]) == (row["created_at"], None, "[]")
    assert [tuple(each) for each in left] == [("old", 1, "旧")]
