"""Takes the archive of an owner export into a platform: all of it, or nothing.

It believes nothing that is not proven, writes nothing over, and gives nobody a right. Rows are
filled into tables that are nobody's until the one transaction in which everything else comes in.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import asyncpg
import orjson
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from joserfc.jws import extract_compact
from sqlalchemy.exc import NoResultFound
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log as audit
from app.audit.events import Event
from app.catalogue import indexing
from app.catalogue.entries import load_entry
from app.conformance import signed
from app.conformance.refusals import CertificateInvalid
from app.jobs import queue
from app.kit.db import Database
from app.kit.errors import AppError
from app.models.datasets import DataClass, Dataset, DatasetState
from app.moving.opened import MOST_BYTES, CheckSigner, Opened, opened, refused
from app.moving.refusals import ImportUnderWay, SignerUnknown
from app.moving.taking_in import Line, TakingIn
from app.query.fields import Field
from app.systems.description import Description
from app.tables import load, moved
from app.tasks.owner_export import TYPE

_TRY_LOCK: Final = "SELECT pg_try_advisory_lock(hashtext('urbanos.import'))"
_UNLOCK: Final = "SELECT pg_advisory_unlock(hashtext('urbanos.import'))"
_DIFFERENCES: Final = re.compile(r"data/(datasets/[^/]+/differences/\d+\.csv)")
_UNSTORABLE = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    moved.KeyTwice,
)
_MOST_KEPT: Final = 1_000_000  # versions, or days
# What reading a row says that no door of ours could have written.
_UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, AppError, NoResultFound)


class _OnlyTried(Exception):
    """Everything could be written; nothing is."""


@dataclass(frozen=True, slots=True)
class Report:
    """What an import did, or would do, line by line."""

    organization_id: str
    export_id: str
    issuer: str
    signer: str
    sha256: str
    left_out: list[dict[str, str]]
    lines: list[Line] = field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        """Whether the platform holds all that the archive announces."""
        return all(line.is_equal for line in self.lines)


def trusting(kids: frozenset[str]) -> CheckSigner:
    """A check of the signature that takes keys with these RFC 7638 thumbprints and no others."""

    def check(manifest: bytes, signature: str, keys: bytes) -> str:
        try:
            key_set = orjson.loads(keys)
            claims = signed.opened(TYPE, signature, key_set)
            kid = _thumbprint(signature, key_set)
        except (
            CertificateInvalid,
            JoseError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
        ) as exc:
            raise refused("export.jws", "its signature is wrong", "署名が正しくありません") from exc
        if claims.get("manifest_sha256") != hashlib.sha256(manifest).hexdigest():
            raise refused("export.json", "it is not what was signed", "署名された内容と違います")
        if kid not in kids:
            raise SignerUnknown(kid=kid, issuer=str(claims.get("iss"))[:200])
        return kid

    return check


def _thumbprint(signature: str, key_set: Mapping[str, Any]) -> str:
    """Of the key that signed, computed anew: the name beside a key proves nothing."""
    kid = extract_compact(signature.encode("ascii")).headers()["kid"]
    key = next(each for each in key_set["keys"] if each.get("kid") == kid)
    return ECKey.import_key({name: key[name] for name in ("kty", "crv", "x", "y")}).thumbprint()


async def import_archive(
    database: Database, path: Path, kids: frozenset[str], *, by: str, dry_run: bool = False,
    most_bytes: int = MOST_BYTES,
) -> Report:  # fmt: skip
    """Prove the archive, try it, then take it in. Raises `ArchiveRefused`, `SignerUnknown`,
    `ImportConflict`, `ImportUnderWay`, `IndividualNumberRefused`; then nothing was written."""
    opening = opened(path, trusting(kids), most_bytes)
    archive = await asyncio.to_thread(opening.__enter__)
    try:
        await asyncio.to_thread(_check_versions, archive)
        await asyncio.to_thread(_check_systems, archive)
        report = await _try_it(database, archive)
        if dry_run:
            return report
        async with _alone(database):
            return await _take_in(database, archive, report, by)
    finally:
        opening.__exit__(None, None, None)


@asynccontextmanager
async def _alone(database: Database) -> AsyncIterator[None]:
    """No other import runs; what a killed one left is gone. Raises `ImportUnderWay`."""
    async with database.pool.acquire() as connection:
        if not await connection.fetchval(_TRY_LOCK):
            raise ImportUnderWay
        try:
            await moved.sweep(connection)
            yield
        finally:
            await connection.execute(_UNLOCK)


async def _try_it(database: Database, archive: Opened) -> Report:
    """What would be made; a conflict is found before any row is copied."""
    told, found = archive.told, list[Line]()
    try:
        async with database.writing() as session:
            found = await TakingIn(archive, {}).everything(session)
            raise _OnlyTried
    except _OnlyTried:
        pass
    return Report(
        str(told["organization"]["id"]), str(told["export"]), str(told["platform"]["issuer"]),
        archive.signer, archive.sha256, list(told["left_out"]), found,
    )  # fmt: skip


async def _take_in(database: Database, archive: Opened, report: Report, by: str) -> Report:
    tables: dict[str, str] = {}
    try:
        filled = await _fill_all(database, archive, tables)
        async with database.writing() as session:
            work = TakingIn(archive, tables)
            lines = await work.read_back(session, await work.everything(session))
            lines += filled
            for dataset_id in sorted(work.known["datasets"]):
                await _open_to_readers(session, dataset_id)
            await audit.append(
                session, Event.ARCHIVE_IMPORTED, organization=report.organization_id,
                export=report.export_id, issuer=report.issuer, kid=report.signer,
                sha256=report.sha256, datasets=len(work.known["datasets"]), by=by,
            )  # fmt: skip
    except BaseException:
        await _drop(database, tables)
        raise
    report.lines[:] = lines
    return report


async def _drop(database: Database, tables: Mapping[str, str]) -> None:
    """What was filled is nobody's: it goes again."""
    async with database.pool.acquire() as connection:
        for name in tables.values():
            await load.drop(connection, name)


async def _open_to_readers(session: AsyncSession, dataset_id: str) -> None:
    """Have the dataset found, and its files made."""
    dataset = await session.get_one(Dataset, dataset_id)
    try:
        await load_entry(session, dataset_id)
        is_sound = moved.are_columns_ours(_fields({"fields": dataset.fields or []}))
        kept = filter(None, (dataset.retention or {}).values())
        is_sound &= all(type(each) is int and 0 < each < _MOST_KEPT for each in kept)
    except _UNREADABLE:
        is_sound = False
    if not is_sound:  # and with it no list that it stands in
        raise refused(
            "datasets.ndjson", f"{dataset_id} could not be shown", f"{dataset_id} を表示できません"
        )
    await indexing.keep(session, dataset)
    await session.flush()
    if dataset.current_version is not None and dataset.state == DatasetState.ACTIVE:
        driver = await Database.driver_of(session)
        await queue.enqueue(
            driver, queue.FILES, dataset=dataset_id, version=dataset.current_version
        )
    session.expunge_all()


def _check_versions(archive: Opened) -> None:
    """Every version's rows are there, in columns that are named as ours are. Data with individual
    numbers has none anywhere."""
    described = {
        str(line.get("id"))
        for _, line in archive.lines("datasets.ndjson")
        if line.get("data_class") == DataClass.SPECIFIC_PERSONAL
    }
    for _, line in archive.lines("versions.ndjson"):
        name = _path_of(line)
        try:
            is_ours = moved.are_columns_ours(_fields(line))
        except _UNREADABLE as exc:
            raise refused(name, "its fields are malformed", "項目の定義が壊れています") from exc
        if str(line.get("dataset_id")) in described:
            raise refused(name, "of such data no records are held", "レコードを持てない区分です")
        if not is_ours:
            raise refused(name, "its columns are not named as ours are", "列の定義が違います")
        if line.get("state") != "dropped" and not archive.has(name):
            raise refused(name, "a version is without its rows", "版のレコードがありません")


def _check_systems(archive: Opened) -> None:
    """What is said of a system can be read: duplicates and boards look at all of them."""
    for name in ("systems.ndjson", "system_revisions.ndjson"):
        for _, line in archive.lines(name):
            try:
                Description.model_validate(line.get("description"))
            except ValueError as exc:
                raise refused(name, "a description is malformed", "記載の形式が違います") from exc


def _path_of(version: Mapping[str, Any]) -> str:
    return f"datasets/{version.get('dataset_id')}/versions/{version.get('number')}.csv"


def _fields(version: Mapping[str, Any]) -> list[Field]:
    return [Field.from_json(each) for each in version["fields"]]


async def _fill_all(database: Database, archive: Opened, tables: dict[str, str]) -> list[Line]:
    """A table of a new name for every version and for what every publication changed."""
    found = []
    for _, line in archive.lines("versions.ndjson"):
        path = _path_of(line)
        if archive.has(path):
            tables[path] = f"v_{uuid4().hex}"
            found.append(await _fill(database, archive, path, tables[path], line))
    for path in _differences(archive):
        tables[path] = f"d_{uuid4().hex}"
        async with database.pool.acquire() as connection:
            with _refusing(path):
                await moved.copy_in_differences(connection, tables[path], _pieces(archive, path))
    return found


def _differences(archive: Opened) -> Iterator[str]:
    for name in archive.members:
        if found := _DIFFERENCES.fullmatch(name):
            yield found[1]


async def _fill(
    database: Database, archive: Opened, path: str, name: str, version: Mapping[str, Any]
) -> Line:
    """Fill one version's table and read it back: it must give the very bytes that came."""
    digest, fields = hashlib.sha256(), _fields(version)

    async def look(piece: bytes) -> None:
        digest.update(piece)

    async with database.pool.acquire() as connection, connection.transaction():
        with _refusing(path):
            await moved.copy_in(connection, name, fields, _pieces(archive, path))
        await moved.copy_out(connection, name, fields, look)
        there = await moved.count_at(connection, name, fields, int(version["revision"]))
    if digest.hexdigest() != archive.members[f"data/{path}"].sha256:
        raise refused(
            path, "its rows do not come out as they went in", "格納した内容が一致しません"
        )
    if there != version["row_count"]:
        raise refused(path, "it has other than the rows of its version", "版の件数と一致しません")
    return Line(path, there, there, sha256=digest.hexdigest())


@contextmanager
def _refusing(path: str) -> Iterator[None]:
    """What PostgreSQL says of rows that are none, as a refusal that names the member."""
    try:
        yield
    except _UNSTORABLE as exc:
        why = type(exc).__name__
        raise refused(
            path, f"its rows cannot be stored ({why})", f"レコードを格納できません（{why}）"
        ) from exc


async def _pieces(archive: Opened, path: str) -> AsyncIterator[bytes]:
    """A member's bytes, read beside the loop."""
    found = archive.pieces(path)
    while (piece := await asyncio.to_thread(next, found, None)) is not None:
        yield piece
