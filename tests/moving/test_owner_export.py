"""All that a department owns leaves one platform and stands on a clean one as it stood (R16)."""

import asyncio
import hashlib
import json
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import LargeBinary

from app.api.state import Platform
from app.audit.events import Event
from app.cli import moving as shell
from app.formats.number_refusal import IndividualNumberRefused
from app.kit.db import Database
from app.kit.errors import AppError
from app.kit.settings import Settings
from app.moving.owned import PARTS, Part
from app.moving.refusals import ArchiveRefused, ImportConflict, SignerUnknown
from app.moving.taking_in import TakingIn
from app.tasks import owner_import
from app.tasks.owner_import import import_archive
from tests.conftest import TEMPLATE
from tests.connectors.other import Other, other_platform
from tests.database import REPO, DatabaseServer
from tests.moving.forging import FORGER, forged, members_of
from tests.moving.home import exported, furnished, hashes_of, manifest_of
from tests.moving.hostile import CHANGED, NUMBER, SIGNED, Move, added, row
from tests.stock import many, reader
from tests.stock import path as records
from tests.world import KENKO, SAKAI, World

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("worker")]
_NOTHING = (
    "SELECT (SELECT count(*) FROM dataset) + (SELECT count(*) FROM carried_record)"
    " + (SELECT count(*) FROM pg_tables WHERE schemaname = 'hosted')"
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def clean(
    template: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Other]:
    async with other_platform(template, TEMPLATE, tmp_path_factory.mktemp("clean")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def empty(template: DatabaseServer) -> AsyncIterator[Database]:
    """A database that nothing may come into."""
    url = await template.make_database("m_moving_empty", template=TEMPLATE)
    database = await Database.open(url, connections=2)
    yield database
    await database.close()
    await template.drop_database("m_moving_empty")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def move(
    platform: Platform, client: httpx.AsyncClient, worker: None, clean: Other,
    tmp_path_factory: pytest.TempPathFactory,
) -> Move:  # fmt: skip
    world = World(platform, client)
    await world.start()
    home = await furnished(world)
    folder = tmp_path_factory.mktemp("archives")
    archive, again = folder / "first.zip", folder / "second.zip"
    made = await exported(platform, archive)
    there = clean.world.platform
    report = await import_archive(there.database, archive, frozenset({made.kid}), by="test")
    await exported(there, again)
    return Move(home, world, clean.world, archive, again, made.kid, report)


async def test_a_clean_platform_has_equal_counts_and_hashes_and_exports_the_same_again(
    move: Move,
) -> None:
    first, second = manifest_of(move.archive), manifest_of(move.again)

    logged = await move.there.log(Event.ARCHIVE_IMPORTED)

    assert move.report.is_equal
    assert (first["counts"]["versions"], first["counts"]["rows"]) == (3, 4)
    assert second["counts"] == first["counts"]
    assert hashes_of(move.again) == hashes_of(move.archive)
    assert [line.name for line in move.report.lines if line.sha256 is None] == []
    assert {name for name, count in first["counts"].items() if not count} == {
        "former_names",
        "profiles",
        "repair_decisions",
        "duplicate_decisions",
        "exclusions",
        "consents",
    }
    assert [(each["issuer"], each["kid"]) for each in logged] == [("http://urbanos.test", move.kid)]


@pytest.mark.parametrize("query", [{}, {"version": "1"}, {"f": "geojson"}, {"f": "ndjson"}])
async def test_readers_of_the_new_home_get_the_same_bytes(
    move: Move, query: dict[str, str]
) -> None:
    asked = {"f": "csv", **query}

    old = await move.here.client.get(records(move.home.public), params=asked)
    new = await move.there.client.get(records(move.home.public), params=asked)

    assert (old.status_code, new.status_code) == (200, 200)
    assert "髙石" in old.text
    base = move.there.platform.issuer  # links lead to where one is
    assert new.content.replace(base.encode(), move.here.platform.issuer.encode()) == old.content


async def test_whoever_follows_the_changes_sees_the_same_course(move: Move) -> None:
    path = f"/v1/datasets/{move.home.public}/changes"

    old, new = [(await at.client.get(path)).json()["changes"] for at in (move.here, move.there)]
    moments = [
        (await at.client.get(records(move.home.public), params={"as_of": _first_seen(move)})).json()
        for at in (move.here, move.there)
    ]

    assert [{**each, "cursor": ""} for each in new] == [{**each, "cursor": ""} for each in old]
    assert moments[0]["records"] == moments[1]["records"] != []


def _first_seen(move: Move) -> str:
    editions = members_of(move.archive)["data/editions.ndjson"].splitlines()
    mine = [json.loads(line) for line in editions]
    return next(str(e["began_at"]) for e in mine if e["dataset_id"] == move.home.public)


async def test_what_was_hidden_stays_hidden_and_what_was_too_high_stays_behind(move: Move) -> None:
    asking = await reader(move.there, move.home.public, SAKAI)

    hidden = await move.there.client.get(f"/v1/datasets/{move.home.hidden}", headers=asking)
    shown = await move.there.client.get(records(move.home.public))
    files = members_of(move.archive)
    whole = b"".join(files.values())

    assert hidden.status_code == 404
    assert "note" not in shown.json()["records"][0]
    assert manifest_of(move.archive)["left_out"] == [
        {"id": move.home.restricted, "reason": "class"}
    ]
    assert "業務".encode() not in b"".join(d for n, d in files.items() if "datasets/" in n)
    assert b"P-09" not in whole  # of a version that nobody published
    assert b'"table_name"' not in whole
    assert b"geheim" not in whole
    assert "下書きの根拠".encode() not in whole  # never submitted to anybody


async def test_nothing_that_is_sealed_or_proves_anybody_is_among_what_goes() -> None:
    going = {name: each.type for part in PARTS for name, each in _columns(part).items()}

    proofs = [name for name, kind in going.items() if isinstance(kind, LargeBinary)]

    assert "settings" in going
    assert proofs == []
    assert {"lent", "table_name", "person_id"} & going.keys() == set()


def _columns(part: Part) -> dict[str, Any]:
    return {each: part.model.__table__.c[each] for each in part.columns}


async def test_an_agreement_comes_as_a_document_and_gives_no_right(move: Move) -> None:
    pool = move.there.platform.database.pool

    given = await pool.fetchval("SELECT count(*) FROM agreement")
    kept = await pool.fetchval("SELECT body FROM carried_record WHERE kind = 'agreements'")

    told = json.loads(kept)
    assert (given, told["id"]) == (0, move.home.agreement)
    assert hashlib.sha256(told["terms"].encode()).hexdigest() == told["terms_sha256"]


async def test_the_extract_of_the_log_is_verified_without_us_and_shows_no_others(
    move: Move, tmp_path: Path
) -> None:
    lines = members_of(move.archive)["data/log/extract.ndjson"].splitlines(keepends=True)
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(b"".join(lines))
    bad.write_bytes(b"".join([*lines[:2], lines[2].replace(b"20", b"21", 1), *lines[3:]]))
    script = [sys.executable, str(REPO / "deploy" / "verify_log.py")]

    said = [
        subprocess.run([*script, str(each)], check=False, capture_output=True, text=True)
        for each in (good, bad)
    ]

    facts = [json.loads(json.loads(line)["body"]) for line in lines[1:]]
    mine = {move.home.public, move.home.hidden, "271004-kenko"}
    strange = [each for each in facts if not mine & {str(value) for value in each.values()}]
    assert [each.returncode for each in said] == [0, 1]
    assert "the key is the file's own" in said[0].stdout
    assert len(facts) > 5
    assert strange == []


async def test_an_operator_exports_and_tries_an_import_at_the_shell(
    move: Move, empty: Database, database_url: str, settings: Settings, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    target = tmp_path / "kenko.zip"
    monkeypatch.setenv("URBANOS_HOME", str(settings.home))

    left = tmp_path / "kenko.zip.part"
    left.touch(mode=0o644)  # of one that was killed, or planted

    monkeypatch.setenv("URBANOS_DATABASE_URL", database_url)
    await asyncio.to_thread(shell.export, KENKO, target, "internal", as_json=True)
    told = json.loads(capsys.readouterr().out)
    with pytest.raises(shell.OnlyByTwo):
        shell.export(KENKO, target, "personal")
    monkeypatch.setenv("URBANOS_DATABASE_URL", empty.url)
    trust = [told["kid"]]
    await asyncio.to_thread(shell.import_, target, trust, dry_run=True, most_gb=1, as_json=True)
    tried = json.loads(capsys.readouterr().out)

    assert told["counts"]["rows"] == 4
    assert tried["is_equal"]
    assert [each.name for each in tmp_path.iterdir()] == ["kenko.zip"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert await empty.pool.fetchval(_NOTHING) == 0


# --- what is refused -----------------------------------------------------------------------------


async def _refused(database: Database, archive: Path, *kids: str) -> AppError:
    """The refusal of an import that leaves nothing behind."""
    before = await database.pool.fetchval(_NOTHING)
    with pytest.raises(AppError) as refusal:
        await import_archive(database, archive, frozenset(kids), by="test")
    assert await database.pool.fetchval(_NOTHING) == before
    return refusal.value


async def test_a_dry_run_says_what_would_be_made_and_makes_nothing(
    move: Move, empty: Database
) -> None:
    report = await import_archive(
        empty, move.archive, frozenset({move.kid}), by="test", dry_run=True
    )

    assert {line.name: line.made for line in report.lines}["datasets"] == 2
    assert await empty.pool.fetchval(_NOTHING) == 0


async def test_an_id_that_is_taken_is_named_and_nothing_is_written_over(move: Move) -> None:
    refusal = await _refused(move.there.platform.database, move.archive, move.kid)

    assert isinstance(refusal, ImportConflict)
    assert refusal.named["key"] in (move.home.public, move.home.hidden)


async def test_a_signer_whom_nobody_named_is_named_and_refused(move: Move, empty: Database) -> None:
    refusal = await _refused(empty, move.archive, "another")

    assert isinstance(refusal, SignerUnknown)
    assert move.kid in refusal.words("en")


@pytest.mark.parametrize("why", CHANGED)
async def test_an_archive_that_was_tampered_with_is_refused_before_anything_is_written(
    move: Move, empty: Database, tmp_path: Path, why: str
) -> None:
    archive = CHANGED[why](move, tmp_path / "archive.zip")

    refusal = await _refused(empty, archive, move.kid)

    assert isinstance(refusal, ArchiveRefused)
    assert why in refusal.words("en") or "no sound zip" in refusal.words("en")


@pytest.mark.parametrize("why", SIGNED)
async def test_a_signer_who_is_trusted_is_still_not_believed(
    move: Move, empty: Database, tmp_path: Path, why: str
) -> None:
    changed, told = SIGNED[why](move)
    archive = forged(move.archive, tmp_path / "archive.zip", changed, **told)

    refusal = await _refused(empty, archive, FORGER.thumbprint())

    assert isinstance(refusal, ArchiveRefused)
    assert why in refusal.words("en")


async def test_what_a_killed_import_left_goes_with_the_next_one(
    move: Move, empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """No block of ours runs after it."""

    async def killed(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(TakingIn, "read_back", killed)
    with monkeypatch.context() as patched:
        patched.setattr(owner_import, "_drop", killed)
        with pytest.raises(Killed):
            await import_archive(empty, move.archive, frozenset({move.kid}), by="test")
    left = await empty.pool.fetchval(_NOTHING)
    with pytest.raises(Killed):
        await import_archive(empty, move.archive, frozenset({move.kid}), by="test")

    assert left == 4  # three versions, one publication's differences
    assert await empty.pool.fetchval(_NOTHING) == 0


async def test_a_name_of_anothers_layouts_is_not_taken(move: Move, tmp_path: Path) -> None:
    there = move.there.platform.database
    await there.pool.execute(
        "INSERT INTO profile (name, version, title_ja, fields, created_at, created_by)"
        " VALUES ('taken', 1, '標準', '[]', now(), 'test')"
    )
    changed = added("profiles", name="taken", version=2, owner_id=KENKO)
    archive = forged(move.archive, tmp_path / "archive.zip", changed)

    refusal = await _refused(there, archive, FORGER.thumbprint())

    assert isinstance(refusal, ImportConflict)
    assert refusal.named["key"] == "taken"


async def test_a_system_claims_no_dataset_of_anothers(
    move: Move, empty: Database, tmp_path: Path
) -> None:
    systems = members_of(move.archive)["data/systems.ndjson"]
    said = {**json.loads(systems)["description"], "datasets": ["of-sakai"]}
    archive = forged(move.archive, tmp_path / "archive.zip", row(move, "systems", description=said))
    await many(empty.pool, ["of-sakai"])
    await empty.pool.execute("UPDATE dataset SET publisher_id = $1", SAKAI)

    refusal = await _refused(empty, archive, FORGER.thumbprint())

    await empty.pool.execute("DELETE FROM dataset")
    assert isinstance(refusal, ImportConflict)
    assert refusal.named["key"] == "of-sakai"


@pytest.mark.parametrize("where", NUMBER)
async def test_an_individual_number_comes_in_with_no_archive(
    move: Move, empty: Database, tmp_path: Path, where: str
) -> None:
    changed = NUMBER[where](move)
    archive = forged(move.archive, tmp_path / "archive.zip", changed)

    refusal = await _refused(empty, archive, FORGER.thumbprint())

    assert isinstance(refusal, IndividualNumberRefused)
    assert "9018" not in refusal.words("en")
