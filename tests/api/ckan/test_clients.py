"""CKAN's own clients against a listening server: ckanapi as it is, and a harvester's calls."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import ckanapi
import httpx
import pytest
import requests
from fastapi import FastAPI

from tests.api.ckan.shelves import ROWS, changed, opened
from tests.serving import served
from tests.world import KENKO, SAKAI, World

BIN = Path(sys.executable).parent


@dataclass(frozen=True, slots=True)
class Site:
    """A server with open data in it, and one dataset that was let go."""

    url: str
    datasets: tuple[str, ...]
    withdrawn: str


@pytest.fixture(scope="module")
async def site(app: FastAPI, platform: Any, client: httpx.AsyncClient) -> AsyncIterator[Site]:
    world = World(platform, client)
    await world.start()
    made = [await opened(world, ROWS, title_ja=f"公園{at}", themes=["公園"]) for at in range(3)]
    gone = await opened(world, ROWS)
    await changed(world, gone, "state = 'withdrawn', withdrawn_reason = '統合'")
    async with served(app) as port:
        # Links lead to the server that listens, as a harvester follows them.
        before, platform.issuer = platform.issuer, f"http://127.0.0.1:{port}"
        yield Site(platform.issuer, tuple(sorted(made)), gone)
        platform.issuer = before


@pytest.mark.parametrize("get_only", [False, True])
async def test_ckanapi_reads_the_catalogue_and_the_datastore(site: Site, *, get_only: bool) -> None:
    def asked() -> None:
        with ckanapi.RemoteCKAN(site.url, get_only=get_only, apikey="a-key-of-elsewhere") as remote:
            act = remote.action
            assert act.site_read() is True
            assert tuple(act.package_list()) == site.datasets
            package = act.package_show(id=site.datasets[0])
            found = act.package_search(q="公園", rows=2, sort="metadata_modified desc")
            assert (found["count"], len(found["results"])) == (3, 2)
            assert act.organization_list() == [KENKO]
            assert act.organization_show(id=package["owner_org"])["package_count"] == 3
            assert act.group_list(all_fields=True)[0]["title"] == "公園"
            assert act.tag_list() == ["公園"]
            records = act.datastore_search(resource_id=package["resources"][0]["id"], limit=1)
            assert (records["total"], len(records["records"])) == (2, 1)
            assert records["records"][0]["name"] == "架空"

    await asyncio.to_thread(asked)


async def test_ckanapi_raises_its_own_errors_with_our_reasons(site: Site) -> None:
    def asked() -> None:
        with ckanapi.RemoteCKAN(site.url) as remote:
            with pytest.raises(ckanapi.NotFound, match="公開を終了") as gone:
                remote.action.package_show(id=site.withdrawn)
            assert "統合" in str(gone.value)
            assert site.withdrawn in str(gone.value)
            with pytest.raises(ckanapi.ValidationError) as refused:
                remote.action.datastore_search_sql(sql="SELECT 1")
            assert "CQL2" in refused.value.error_dict["sql"][0]
            with pytest.raises(ckanapi.NotAuthorized):
                remote.action.package_create(name="x")
            with pytest.raises(ckanapi.CKANAPIError, match="package_show"):
                remote.action.package_shw()

    await asyncio.to_thread(asked)


async def run(*words: str) -> bytes:
    """The command's output."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"  # it starts its workers by name
    command = await asyncio.create_subprocess_exec(
        str(BIN / "ckanapi"), *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PATH": path},
    )  # fmt: skip
    out, err = await asyncio.wait_for(command.communicate(), 60)
    assert command.returncode == 0, err.decode()
    return out


async def test_ckanapis_command_dumps_every_dataset_with_its_data(
    site: Site, tmp_path: Path
) -> None:
    packages = tmp_path / "packages"
    lines = tmp_path / "datasets.jsonl"

    await asyncio.gather(
        run("dump", "datasets", "--all", "--datastore-fields", "-r", site.url, "-O", str(lines)),
        run("dump", "datasets", "--all", f"--datapackages={packages}", "-r", site.url),
    )
    bodies = await run("dump", "organizations", "--all", "-r", site.url)

    dumped = [json.loads(line) for line in lines.read_text("utf-8").splitlines()]
    assert tuple(each["name"] for each in dumped) == site.datasets
    commas = dumped[0]["resources"][0]
    assert [each["id"] for each in commas["datastore_fields"]] == [
        "_id",
        "no",
        "name",
        "lat",
        "lon",
    ]
    assert json.loads(bodies)["name"] == KENKO
    for name in site.datasets:
        told = json.loads((packages / name / "datapackage.json").read_text("utf-8"))
        assert [each["format"] for each in told["resources"]] == ["CSV", "JSON", "GeoJSON"]
        # ckanapi 4.11 takes the address of the last resource for each of them.
        places = json.loads((packages / name / told["resources"][2]["path"]).read_text("utf-8"))
        assert len(places["features"]) == len(ROWS)


# --- what ckanext-harvest's CKANHarvester asks -----------------------------------------------------
# The class cannot be imported without CKAN itself, so its calls are made here one by one, as version
# 1.6.3 makes them in its stages: gather (package_search by pages of 100 in the order of ids until one
# is empty, no two alike) and import (group_show and organization_show by id; the package as it came).


def harvest(url: str, *terms: str) -> list[dict[str, Any]]:
    """The packages that a harvester gathers."""
    asked = {"rows": "100", "start": "0", "sort": "id asc"}
    if terms:
        asked["fq"] = " ".join(terms)
    found: list[dict[str, Any]] = []
    before = None
    while True:
        text = requests.get(
            f"{url}/api/3/action/package_search?{urlencode(asked)}", timeout=10
        ).text
        assert text != before, "the paging does not work"
        before = text
        page = json.loads(text).get("result", {}).get("results", [])
        seen = {each["id"] for each in found}
        page = [each for each in page if each["id"] not in seen]
        found += page
        if not page:
            return found
        asked["start"] = str(int(asked["start"]) + int(asked["rows"]))


def since(moment: datetime) -> str:
    """What was changed since the last harvest, as it is asked for."""
    return f"metadata_modified:[{moment.replace(tzinfo=None).isoformat()}Z TO *]"


async def test_a_harvester_gathers_everything_and_then_what_has_changed(
    site: Site, world: World
) -> None:
    every = await asyncio.to_thread(harvest, site.url)
    began = datetime.now(UTC)
    recent = await asyncio.to_thread(harvest, site.url, since(began - timedelta(hours=1)))
    await changed(world, site.datasets[1], "modified_at = now() + interval '1 second'")
    newer = await asyncio.to_thread(harvest, site.url, since(began))

    assert tuple(sorted(each["name"] for each in every)) == site.datasets
    assert len(recent) == 3
    assert [each["name"] for each in newer] == [site.datasets[1]]
    old = next(each for each in every if each["name"] == site.datasets[1])
    assert newer[0]["metadata_modified"] > old["metadata_modified"]  # as it compares them


async def test_a_harvester_may_choose_bodies_and_themes(site: Site) -> None:
    after = since(datetime.now(UTC) - timedelta(days=1))

    def gathered(*terms: str) -> int:
        return len(harvest(site.url, *terms))

    either = f"organization:{KENKO} OR organization:{SAKAI}"
    assert await asyncio.to_thread(gathered, either, after) == 3
    assert await asyncio.to_thread(gathered, either, since(datetime(2999, 1, 1, tzinfo=UTC))) == 0
    assert await asyncio.to_thread(gathered, f"-organization:{KENKO}") == 0
    assert await asyncio.to_thread(gathered, "groups:公園", after) == 3
    assert await asyncio.to_thread(gathered, "-groups:公園") == 0


async def test_a_harvester_can_make_the_body_and_the_themes_of_what_it_imports(site: Site) -> None:
    package = (await asyncio.to_thread(harvest, site.url))[0]
    ask = f"{site.url}/api/3/action"

    def shown(action: str, asked: str) -> dict[str, Any]:
        return dict(requests.get(f"{ask}/{action}?id={asked}", timeout=10).json()["result"])

    body = await asyncio.to_thread(shown, "organization_show", package["owner_org"])
    group = await asyncio.to_thread(shown, "group_show", package["groups"][0]["id"])

    assert package["type"] == "dataset"
    assert body["id"] == package["owner_org"]
    assert (group["id"], group["name"]) == (
        package["groups"][0]["id"], package["groups"][0]["name"]
    )  # fmt: skip
    for made in (body, group):
        kept = set(made) - set(
            ["packages", "created", "users", "groups", "tags", "extras", "display_name", "type"]
        )
        assert all(not isinstance(made[key], list | dict) for key in kept)
    # CKAN refuses what is nested under a key that it does not know.
    nested = {key for key, value in package.items() if isinstance(value, list | dict)}
    assert nested <= {
        "extras", "groups", "organization", "relationships_as_object",
        "relationships_as_subject", "resources", "tags",
    }  # fmt: skip
