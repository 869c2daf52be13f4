"""A department with all that it owns, and the clean platform that it moves to."""

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.api.state import Platform
from app.models.parties import Role
from app.moving.requests import Made
from app.tasks.owner_export import Mover, new_export
from tests.stock import Spec, agreed, declared, put, stocked
from tests.systems.inventory import acting, keep
from tests.world import KENKO, SAKAI, World

SPECS: tuple[Spec, ...] = (
    ("no", "code", {"key": True}),
    ("name", "text"),
    ("size", "decimal"),
    ("open", "boolean"),
    ("at", "datetime"),
    ("shape", "geometry"),
    ("note", "text", {"visibility": "internal"}),
)
_FIRST = '''no,name,size,open,at,shape,note
P-01,髙石①公園～東,1.50,true,2026-04-01T09:00:00.123456+09:00,"{""type"":""Point"",""coordinates"":[135.5012345678,34.68]}",内部
P-02,"改行
と ""引用""",,,,,
P-03,空の注記,0.10,false,,,x
'''
_SECOND = _FIRST.replace("髙石①公園～東", "髙石第一公園").replace(
    "P-03,空の注記,0.10,false,,,x\n", "P-04,新規,12345678901234567.25,true,,,\n"
)
_CHANGED: list[dict[str, Any]] = [
    {"no": "P-04", "name": "", "size": 2},
    {"no": "P-05", "name": "追加", "size": None},
]


@dataclass(frozen=True, slots=True)
class Home:
    """What stands on the former platform."""

    public: str
    hidden: str
    restricted: str
    system: str
    agreement: str


async def furnished(world: World) -> Home:
    """Datasets of each sort, an agreement, a system (the module uses the `worker` fixture)."""
    public = await world.dataset(data_class="public", fields=declared(SPECS))
    await world.platform.database.pool.execute(
        "UPDATE dataset SET license = 'CC-BY-4.0' WHERE id = $1", public
    )
    world.platform.live.changed("dataset", public)
    steward = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
    for file in (_FIRST, _SECOND):
        run = await world.load(steward, public, file.encode())
        assert run["state"] == "ok", run
        await world.publish(steward, run)
    await put(world, public, _CHANGED)
    writer = await world.token(await world.party(KENKO), f"dataset:{public}:write")
    gone = await world.client.delete(f"/v1/datasets/{public}/records/P-02", headers=writer)
    assert gone.status_code == 204, gone.text
    draft = await world.load(steward, public, _FIRST.replace("P-01", "P-09").encode())
    assert draft["state"] == "ok", draft
    hidden = await stocked(world, [{"no": "1", "name": "庁内"}], data_class="internal", hidden=True)
    restricted = await stocked(world, [{"no": "1", "name": "業務"}], data_class="restricted")
    agreement, _ = await agreed(world, restricted, await world.party(SAKAI, Role.DEVELOPER))
    keeping = await acting(world, KENKO, Role.STEWARD)
    system = await keep(world, keeping, KENKO, name="公園管理", function="f-parks")
    return Home(public, hidden, restricted, system["id"], agreement)


def mover(platform: Platform) -> Mover:
    """What makes archives there."""
    return Mover(platform.database, lambda: platform.sealer, platform.issuer)


async def exported(platform: Platform, path: Path, up_to: str = "internal") -> Made:
    """The archive of the department, as the platform has it now."""

    async def silent(_members: int) -> None:
        """Nobody listens."""

    return await mover(platform).write(new_export(KENKO, up_to), path, silent)


def manifest_of(path: Path) -> dict[str, Any]:
    """What an archive says of itself."""
    with zipfile.ZipFile(path) as archive:
        top = archive.namelist()[0].partition("/")[0]
        told: dict[str, Any] = json.loads(archive.read(f"{top}/export.json"))
    return told


def hashes_of(path: Path) -> dict[str, str]:
    """The members and what they hash to, found anew; of the log each platform has its own."""
    with zipfile.ZipFile(path) as archive:
        return {
            name.partition("/")[2]: hashlib.sha256(archive.read(name)).hexdigest()
            for name in archive.namelist()
            if "/data/" in name and not name.endswith("log/extract.ndjson")
        }
