"""A department with all that it owns, and the clean platform that it moves to."""

import hashlib
import json
import zipfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from app.api.state import Platform
from app.findings.findings import Sighting, report
from app.kit import clock
from app.models.conformance import ConformanceCertificate, ConformanceRun, ConformanceService
from app.models.findings import Severity
from app.models.parties import Role
from app.models.systems import Diagnosis
from app.models.views import PurposeView
from app.moving.requests import Made
from app.tasks.owner_export import Mover, new_export
from tests.stock import PURPOSE, Spec, agreed, declared, put, stocked
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
    await _given_up(world, restricted)
    keeping = await acting(world, KENKO, Role.STEWARD)
    system = await keep(world, keeping, KENKO, name="公園管理", function="f-parks")
    await _with_the_rest(world, steward, hidden, UUID(system["id"]))
    return Home(public, hidden, restricted, system["id"], agreement)


async def _given_up(world: World, dataset: str) -> None:
    """A request that another body worded, and never submitted."""
    asking = await world.token(await world.party(SAKAI, Role.DEVELOPER), "agreements:write")
    terms = {"dataset": dataset, "purpose": PURPOSE, "legal_basis": "下書きの根拠", "draft": True}
    drafted = await world.client.post("/v1/access-requests", json=terms, headers=asking)
    path = f"/v1/access-requests/{drafted.json()['id']}/withdraw"
    gone = await world.client.post(path, json={}, headers=asking)
    assert gone.status_code == 200, gone.text


async def _with_the_rest(world: World, steward: dict[str, str], dataset: str, system: UUID) -> None:
    """A connector with a secret, a view, a diagnosis, a finding with its course, a certificate."""
    feed = {"dataset": dataset, "mode": "harvest", "selection": {"type": "Park"}}
    auth = {"type": "basic", "user": "parks", "password": "geheim"}
    settings = {"base": "https://orion.example.jp/", "auth": auth}
    body = {"kind": "ngsi", "name": "試験", "settings": settings, "feeds": [feed]}
    added = await world.client.post("/v1/connectors", json=body, headers=steward)
    assert added.status_code == 201, added.text
    seen = Sighting(
        rule="bulk_read", subject_kind="dataset", subject_id=dataset, severity=Severity.LOW,
        ja="試験", en="A test", due_in=timedelta(days=3), owner_id=KENKO, dataset_id=dataset,
    )  # fmt: skip
    now, service, run = clock.now(), uuid4(), uuid4()
    by = {"created_at": now, "created_by": "test"}
    async with world.platform.database.writing() as session:
        await report(session, seen)
        session.add_all([
            PurposeView(dataset_id=dataset, purpose=PURPOSE, columns=["no"], consent=False,
                        set_at=now, set_by="test"),
            Diagnosis(system_id=system, revision=1, signs={"重さ": 1.5}, at=now, by="test"),
            ConformanceService(
                id=service, organization_id=KENKO, name="予約", sandbox_url="https://s.example.jp",
                classes=["core"], municipalities=[], changed_at=now, changed_by="test", **by),
        ])  # fmt: skip
        await session.flush()
        session.add(ConformanceRun(
            id=run, service_id=service, kind="full", state="passed", ended_at=now, classes=["core"],
            sandbox_url="https://s.example.jp", broken=[], **by,
        ))  # fmt: skip
        await session.flush()
        session.add(ConformanceCertificate(
            id=uuid4(), service_id=service, run_id=run, claims={"iss": "here", "classes": ["core"]},
            issued_at=now, issued_by="test", expires_at=now + timedelta(days=1),
        ))  # fmt: skip


def mover(platform: Platform) -> Mover:
    """What makes archives there."""
    return Mover(platform.database, lambda: platform.sealer, platform.issuer)


async def silent(_members: int) -> None:
    """Nobody listens."""


async def exported(platform: Platform, path: Path, up_to: str = "internal") -> Made:
    """The archive of the department, as the platform has it now."""
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
