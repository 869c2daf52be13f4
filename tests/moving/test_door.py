"""Who may have all that a body owns, and what becomes of an export that is killed, cancelled or old."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pyrage
import pytest
import pytest_asyncio

from app.api.state import Platform
from app.audit.events import Event
from app.kit import clock
from app.models.connectors import ConnectorEntry
from app.models.parties import Role
from app.tables import moved
from app.tasks.opening import in_the_clear
from app.tasks.owner_export import What, keep_exports, make_export
from app.tasks.worker import Crew, work
from tests.moving.forging import members_of
from tests.moving.home import exported, hashes_of, mover, silent
from tests.oauth.people import acting, somebody
from tests.stock import path as records
from tests.stock import put, reader, stocked
from tests.world import KENKO, SAKAI, World

pytestmark = pytest.mark.asyncio(loop_scope="session")
_EXPORTS = f"/v1/organizations/{KENKO}/exports"
_SCOPE = "organization:write"
_OPENER = pyrage.x25519.Identity.generate()
_ALL = {"classes_up_to": "personal", "purpose": "移行", "recipient": str(_OPENER.to_public())}


@pytest_asyncio.fixture(loop_scope="session")
async def officer(world: World) -> dict[str, str]:
    """An officer of the department, with a token that is bound to a key."""
    return await world.bound(await world.party(KENKO, Role.STEWARD), _SCOPE)


@pytest_asyncio.fixture(loop_scope="session")
async def exporting(platform: Platform) -> AsyncIterator[None]:
    """A worker that makes exports."""
    stop = asyncio.Event()
    working = asyncio.create_task(
        work(platform.database, stop, Crew(store=platform.store, mover=mover(platform)))
    )
    yield
    stop.set()
    await working


async def _asked(world: World, officer: dict[str, str], **told: Any) -> dict[str, Any]:
    answer = await world.client.post(_EXPORTS, json=told, headers=officer)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def _seen(world: World, officer: dict[str, str], export_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (
        await world.client.get(f"{_EXPORTS}/{export_id}", headers=officer)
    ).json()
    return found


async def _ended(world: World, officer: dict[str, str], export_id: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            found = await _seen(world, officer, export_id)
            if found["ended_at"] is not None:
                return found
            await asyncio.sleep(0.02)


@pytest.mark.usefixtures("exporting")
async def test_an_export_is_made_and_taken_in_parts_and_stands_in_the_log(
    world: World, officer: dict[str, str], tmp_path: Path
) -> None:
    dataset = await stocked(world, [{"no": "1", "name": "公園"}])
    asked = await _asked(world, officer)

    made = await _ended(world, officer, asked["id"])
    path = f"{_EXPORTS}/{asked['id']}/archive"
    half = made["size"] // 2
    first = await world.client.get(path, headers={**officer, "Range": f"bytes=0-{half - 1}"})
    rest = await world.client.get(path, headers={**officer, "Range": f"bytes={half}-"})
    again = await world.client.post(_EXPORTS, json={}, headers=officer)

    whole = first.content + rest.content
    (tmp_path / "a.zip").write_bytes(whole)
    logged = await world.log(Event.EXPORT_ASKED, Event.EXPORT_MADE, Event.EXPORT_TAKEN)
    assert made["state"] == "ready"
    assert (first.status_code, rest.status_code) == (206, 206)
    assert hashlib.sha256(whole).hexdigest() == made["sha256"]
    assert f"data/datasets/{dataset}/records.csv" in hashes_of(tmp_path / "a.zip")
    assert [each["event"] for each in logged[:4]] == [
        "export.asked",
        "export.made",
        *["export.taken"] * 2,
    ]
    assert again.status_code == 202  # the next one may be asked for
    await world.client.delete(f"{_EXPORTS}/{again.json()['id']}", headers=officer)


@pytest.mark.usefixtures("exporting")
async def test_personal_data_leaves_sealed_for_one_key_by_the_word_of_two_people(
    world: World, officer: dict[str, str], tmp_path: Path
) -> None:
    dataset = await stocked(world, [{"no": "1", "name": "架空 花子"}], data_class="personal")
    other = await world.bound(await world.party(KENKO, Role.COORDINATOR), _SCOPE)
    unsealed = [
        await world.client.post(_EXPORTS, json={**_ALL, name: None}, headers=officer)
        for name in ("purpose", "recipient")
    ]
    asked = await _asked(world, officer, **_ALL)
    path = f"{_EXPORTS}/{asked['id']}"

    early = await world.client.get(f"{path}/archive", headers=officer)
    own = await world.client.post(f"{path}/approve", headers=officer)
    approved = await world.client.post(f"{path}/approve", headers=other)
    made = await _ended(world, officer, asked["id"])
    taken = await world.client.get(f"{path}/archive", headers=officer)

    sealed, key = tmp_path / "a.zip.age", tmp_path / "key.txt"
    sealed.write_bytes(taken.content)
    key.write_text(f"# the mayor's\n{_OPENER}\n")
    with in_the_clear(sealed, key) as plain:
        inside = hashes_of(plain)
    assert [each.json()["code"] for each in unsealed] == ["export_not_sealed"] * 2
    assert asked["state"] == "waiting"
    assert (early.json()["code"], own.json()["code"]) == ("export_state", "export_needs_another")
    assert (approved.status_code, made["state"]) == (200, "ready")
    assert taken.content.startswith(b"age-encryption.org/v1\n")
    assert f"data/datasets/{dataset}/records.csv" in inside


async def test_nobody_else_gets_at_it(world: World, officer: dict[str, str]) -> None:
    strange = await world.bound(await world.party(SAKAI, Role.STEWARD), _SCOPE)
    plain = await world.bearer(await world.party(KENKO, Role.STEWARD), _SCOPE)
    app = await world.party(KENKO, Role.STEWARD)
    person = await somebody(world, KENKO, Role.STEWARD)
    lazy = await acting(world, app, person, _SCOPE)
    known = await _asked(world, officer, **_ALL)
    path = f"{_EXPORTS}/{known['id']}"

    answers = [
        await world.client.post(_EXPORTS, json={}, headers=strange),
        await world.client.get(path, headers=strange),
        await world.client.post(_EXPORTS, json=_ALL, headers=plain),
        await world.client.post(f"{path}/approve", headers=plain),
        await world.client.post(_EXPORTS, json={}, headers=lazy.headers(_EXPORTS, "POST")),
        await world.client.get(f"/v1/organizations/{SAKAI}/exports/{known['id']}", headers=strange),
    ]
    await world.client.delete(path, headers=officer)

    assert [(each.status_code, each.json()["code"]) for each in answers] == [
        (403, "not_the_owner"), (403, "not_the_owner"),
        (403, "export_out_of_reach"), (403, "export_out_of_reach"),
        (401, "insufficient_user_authentication"), (404, "export_not_found"),
    ]  # fmt: skip


async def test_a_worker_that_is_killed_leaves_no_archive_and_the_next_one_makes_it_whole(
    world: World, officer: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = world.platform
    await stocked(world, [{"no": "1", "name": "公園"}])
    asked = await _asked(world, officer)
    export_id = UUID(asked["id"])
    at = platform.store.path_of(f"exports/{export_id}.zip")
    assert at is not None
    stopped = asyncio.Event()

    async def hang(*_: object) -> None:
        stopped.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(moved, "copy_out", hang)
        dying = asyncio.create_task(make_export(mover(platform), platform.store, export_id))
        await stopped.wait()
        dying.cancel()
        await asyncio.wait({dying})
    between = await _seen(world, officer, asked["id"])
    refused = await world.client.get(f"{_EXPORTS}/{asked['id']}/archive", headers=officer)
    was_there = at.exists()
    await make_export(mover(platform), platform.store, export_id)
    made = await _seen(world, officer, asked["id"])

    assert (between["state"], refused.status_code, was_there) == ("running", 409, False)
    assert (made["state"], at.stat().st_size) == ("ready", made["size"])


async def test_what_is_written_meanwhile_is_in_no_part_of_it(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = await stocked(world, [{"no": "1", "name": "公園"}])
    copy_out, written = moved.copy_out, asyncio.Event()

    async def write_first(*told: Any) -> None:
        if not written.is_set():
            written.set()
            await put(world, dataset, [{"no": "2", "name": "後から"}])
        await copy_out(*told)

    monkeypatch.setattr(moved, "copy_out", write_first)
    await exported(world.platform, tmp_path / "a.zip")

    files = members_of(tmp_path / "a.zip")
    versions = [json.loads(line) for line in files["data/versions.ndjson"].splitlines()]
    folder = f"data/datasets/{dataset}"
    assert written.is_set()
    assert [each["row_count"] for each in versions if each["dataset_id"] == dataset] == [1]
    assert files[f"{folder}/records.csv"].count(b"\n") == 2
    assert "後から".encode() not in b"".join(files.values())


async def test_what_is_of_another_segment_leaves_by_its_own_alone(
    world: World, tmp_path: Path
) -> None:
    inside = await stocked(world, [], data_class="internal", zone="lgwan")
    by, now = await world.party(KENKO, Role.STEWARD), clock.now()
    async with world.platform.database.writing() as session:
        session.add_all([
            ConnectorEntry(
                id=uuid4(), organization_id=KENKO, kind="http", name="試験", zone=zone, paused=False,
                settings={"url": f"https://{zone}.example.jp/"}, created_at=now, created_by=by.id,
                changed_at=now, set_by=by.id)
            for zone in ("internet", "lgwan")
        ])  # fmt: skip

    files = {}
    for zone in ("internet", "lgwan"):
        what = What(uuid4(), KENKO, "internal", zone)
        await mover(world.platform).write(what, tmp_path / zone, silent)
        files[zone] = members_of(tmp_path / zone)

    addresses = {zone: told["data/connectors.ndjson"] for zone, told in files.items()}
    left = json.loads(files["internet"]["export.json"])["left_out"]
    assert {"id": inside, "reason": "zone"} in left
    assert inside.encode() in files["lgwan"]["data/datasets.ndjson"]
    assert [b"lgwan.example.jp" in told for told in addresses.values()] == [False, True]
    assert b"internet.example.jp" in addresses["internet"]


async def test_a_full_disk_is_what_an_export_fails_by(world: World) -> None:
    await stocked(world, [{"no": "1", "name": "公園"}])

    with pytest.raises(OSError, match="No space left") as failure:
        await exported(world.platform, Path("/dev/full"))

    assert failure.value.__context__ is None


async def test_the_log_tells_nobody_of_what_they_were_told_is_not_there(
    world: World, tmp_path: Path
) -> None:
    hidden = await world.dataset(SAKAI, data_class="internal", hidden=True)
    asking = await reader(world, await stocked(world, []), KENKO)
    asked = await world.client.get(records(hidden), headers=asking)

    await exported(world.platform, tmp_path / "a.zip")

    logged = await world.log(Event.RECORDS_REFUSED)
    extract = members_of(tmp_path / "a.zip")["data/log/extract.ndjson"]
    assert asked.status_code == 404
    assert (logged[-1]["dataset"], logged[-1]["consumer"]) == (hidden, KENKO)
    assert hidden.encode() not in extract


async def test_what_is_cancelled_or_taken_over_at_the_last_moment_ends_well(
    world: World, officer: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    platform, store = world.platform, world.platform.store
    put = store.put
    first = await _asked(world, officer)

    async def cancel_first(*told: Any, **more: Any) -> None:
        await world.client.delete(f"{_EXPORTS}/{first['id']}", headers=officer)
        await put(*told, **more)

    with monkeypatch.context() as patched:
        patched.setattr(store, "put", cancel_first)
        await make_export(mover(platform), store, UUID(first["id"]))
    second = await _asked(world, officer)

    async def be_overtaken(*told: Any, **more: Any) -> None:
        patched.undo()
        await put(*told, **more)
        await make_export(mover(platform), store, UUID(second["id"]))

    with monkeypatch.context() as patched:
        patched.setattr(store, "put", be_overtaken)
        await make_export(mover(platform), store, UUID(second["id"]))

    seen = [await _seen(world, officer, each["id"]) for each in (first, second)]
    paths = [store.path_of(f"exports/{each['id']}.zip") for each in (first, second)]
    taken = await world.client.get(f"{_EXPORTS}/{second['id']}/archive", headers=officer)
    assert [each["state"] for each in seen] == ["cancelled", "ready"]
    assert [each is not None and each.exists() for each in paths] == [False, True]
    assert hashlib.sha256(taken.content).hexdigest() == seen[1]["sha256"]


async def test_what_is_cancelled_stops_and_what_is_old_goes(
    world: World, officer: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = world.platform
    first = await _asked(world, officer)
    gone: list[int] = []
    copied: list[str] = []

    async def cancel_meanwhile(_driver: object, name: str, *_: object) -> None:
        copied.append(name)
        if not gone:
            url = f"{_EXPORTS}/{first['id']}"
            gone.append((await world.client.delete(url, headers=officer)).status_code)

    with monkeypatch.context() as patched:
        patched.setattr(moved, "copy_out", cancel_meanwhile)
        await make_export(mover(platform), platform.store, UUID(first["id"]))
    second = await _asked(world, officer)
    await make_export(mover(platform), platform.store, UUID(second["id"]))
    at = platform.store.path_of(f"exports/{second['id']}.zip")
    assert at is not None and at.exists()
    await platform.database.pool.execute(
        "UPDATE owner_export SET expires_at = now() - $2::interval WHERE id = $1",
        UUID(second["id"]), timedelta(seconds=1),
    )  # fmt: skip

    late = await world.client.get(f"{_EXPORTS}/{second['id']}/archive", headers=officer)
    await keep_exports(platform.database, platform.store)
    seen = [(await _seen(world, officer, each["id"]))["state"] for each in (first, second)]

    assert (gone[0], len(copied)) == (204, 1)
    assert late.json()["code"] == "export_state"
    assert seen == ["cancelled", "expired"]
    assert not at.exists()
