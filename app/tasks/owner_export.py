"""Makes the archive of all that an organisation owns, from one snapshot, streamed to a file.

It never keeps a dataset in memory, and nothing is called an archive before it is whole.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID, uuid4

import orjson
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import extract
from app.audit.checkpoints import LogKeeper, origin_of
from app.broker.ask import Representation
from app.broker.shape import stream_body
from app.catalogue.entries import VersionEntry
from app.conformance import certificates, signed
from app.formats.writers.geojson import write_geojson
from app.kit import clock
from app.kit.crypto import Sealer
from app.kit.db import Database, Driver
from app.kit.folders import held_folder
from app.kit.store import Store
from app.models.conformance import ConformanceCertificate, ConformanceService
from app.models.datasets import Dataset, Version, VersionState
from app.models.editions import Edition
from app.models.moving import OwnerExport
from app.models.parties import Organization
from app.moving import bag, requests, words
from app.moving.bag import Bag, Writing
from app.moving.owned import CARRIED, PARTS, Owner, carried, lines
from app.moving.requests import Made, NotMine
from app.oauth.keys import lasting_keys, read_keys
from app.parties.organizations import list_tree
from app.query.fields import Field
from app.tables import moved
from app.tables.read import TableReader
from app.tables.sql import Reading
from app.tasks.files import Task

TYPE: Final = "owner-export+jwt"  # no token and no certificate is taken for one
MEDIA_TYPE: Final = "application/zip"
_SNAPSHOT: Final = text("SELECT pg_export_snapshot()")
# It holds the snapshot while others copy by it, for as long as that takes.
_WAITS: Final = text("SET LOCAL idle_in_transaction_session_timeout = 0")
Told = Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class What:
    """What is to be in the archive."""

    export_id: UUID
    organization_id: str
    classes_up_to: str
    zone: str | None = None  # None: datasets of every segment, for who stands at the machine


@dataclass(frozen=True, slots=True)
class Mover:
    """What archives are made with. One a process."""

    database: Database
    sealer: Callable[[], Sealer]
    issuer: str

    async def write(self, what: What, path: Path, told: Told) -> Made:
        """Write the archive; `told` hears how many members there are, and may end it by raising."""
        made_at = clock.now()
        async with self.database.reading() as session:
            at = {"isolation_level": "REPEATABLE READ"}
            await session.connection(execution_options=at)
            await session.execute(_WAITS)
            snapshot = await session.scalar(_SNAPSHOT)
            archive = Bag(path, f"owner-export-{what.organization_id}-{what.export_id}")
            try:
                writer = _Writer(self, session, archive, str(snapshot), what, told)
                manifest = await writer.all(made_at)
                kid = await self._finish(session, archive, manifest, made_at)
            except BaseException:
                archive.abandon()
                raise
        size, sha256 = await asyncio.to_thread(measure, path)
        return Made(size, sha256, kid, manifest["counts"])

    async def _finish(
        self, session: AsyncSession, archive: Bag, manifest: dict[str, Any], made_at: datetime
    ) -> str:
        """The manifest, its signature and the words about it."""
        keys = await read_keys(self.database.pool, self.sealer())
        data = bag.manifest_bytes(manifest)
        claims = {
            "iss": self.issuer, "iat": int(made_at.timestamp()), "jti": manifest["export"],
            "sub": manifest["organization"]["id"], "manifest_sha256": hashlib.sha256(data).hexdigest(),
        }  # fmt: skip
        named = {
            "organization": manifest["organization"]["id"], "name": manifest["organization"]["name_ja"],
            "export": manifest["export"], "issuer": self.issuer, "kid": keys.current_kid,
            "made_at": made_at.astimezone(clock.TOKYO).isoformat(timespec="seconds"),
            "day": made_at.astimezone(clock.TOKYO).date().isoformat(), "version": installed("urbanos"),
            "size": sum(each.size for each in archive.members), "count": len(archive.members),
        }  # fmt: skip
        tags = {
            bag.ABOUT: words.ABOUT.format(**named).encode(),
            bag.MANIFEST: data,
            bag.SIGNATURE: signed.sign(TYPE, claims, keys.current_kid, keys.current).encode(),
            bag.KEYS: orjson.dumps(await lasting_keys(session, certificates.LIFETIME)),
            bag.READMES[0]: words.JA.format(**named).encode(),
            bag.READMES[1]: words.EN.format(**named).encode(),
        }
        await asyncio.to_thread(archive.finish, tags)
        return keys.current_kid


@dataclass(slots=True)
class _Writer:
    """One archive on its way."""

    mover: Mover
    session: AsyncSession
    archive: Bag
    snapshot: str
    what: What
    told: Told

    async def all(self, made_at: datetime) -> dict[str, Any]:
        """Every member; the manifest of them."""
        top = await self.session.get_one(Organization, self.what.organization_id)
        tree = [each.id for each in await list_tree(self.session, top.id)]
        chosen, left_out = await self._choose(tree)
        owner = Owner(tree, [dataset.id for dataset in chosen], self.what.zone)
        await self._documents(owner)
        rows = sum([await self._dataset(dataset) for dataset in chosen])
        await self._log(owner)
        counts = {Path(each.path).stem: each.lines for each in self.archive.members if each.lines is not None
                  and each.path.count("/") == 1}  # fmt: skip
        return {
            "format": bag.FORMAT, "export": str(self.what.export_id), "made_at": made_at,
            "platform": {"issuer": self.mover.issuer, "version": installed("urbanos")},
            "organization": {"id": top.id, "name_ja": top.name_ja, "name_en": top.name_en},
            "organizations": tree, "classes_up_to": self.what.classes_up_to, "left_out": left_out,
            "counts": {**counts, "rows": rows},
            "members": [each.as_json() for each in self.archive.members],
        }  # fmt: skip

    async def _choose(self, tree: list[str]) -> tuple[list[Dataset], list[dict[str, str]]]:
        """The datasets that go, and those that stay behind, and why."""
        its = select(Dataset).where(Dataset.publisher_id.in_(tree)).order_by(Dataset.id)
        chosen, left_out = [], []
        for dataset in (await self.session.scalars(its)).all():
            seen = await self.session.scalars(
                select(Version.fields).where(Version.dataset_id == dataset.id)
            )
            by_field = {each.get("visibility") for fields in seen for each in fields}
            classes = dataset.classes | frozenset(filter(None, by_field))
            if not requests.goes(classes, self.what.classes_up_to):
                left_out.append({"id": dataset.id, "reason": "class"})
            elif not requests.keeps_zone(dataset, self.what.zone):
                left_out.append({"id": dataset.id, "reason": "zone"})
            else:
                chosen.append(dataset)
        return chosen, left_out

    async def _documents(self, owner: Owner) -> None:
        for part in PARTS:
            await self._lines(part.name, lines(self.session, part, owner))
        for kind in CARRIED:
            await self._lines(kind, self._of_kind(kind, owner))

    async def _of_kind(self, kind: str, owner: Owner) -> AsyncIterator[bytes]:
        if kind == "certificates":
            async for line in self._certificates(owner):
                yield line
        async for line in carried(self.session, kind, owner):
            yield line

    async def _certificates(self, owner: Owner) -> AsyncIterator[bytes]:
        """Each as it is signed on the day of the export: good for whoever keeps our keys."""
        keys = await read_keys(self.mover.database.pool, self.mover.sealer())
        its = (
            select(ConformanceCertificate)
            .join(ConformanceService)
            .where(ConformanceService.organization_id.in_(owner.organizations))
            .order_by(ConformanceCertificate.id)
        )
        for each in (await self.session.scalars(its)).all():
            jws = signed.sign(signed.CERTIFICATE, each.claims, keys.current_kid, keys.current)
            told = {"id": str(each.id), "service": str(each.service_id), "jws": jws,
                    "revoked_at": each.revoked_at, "revoked_reason": each.revoked_reason}  # fmt: skip
            yield orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)

    async def _lines(self, name: str, found: AsyncIterator[bytes]) -> None:
        async with self._member(f"{name}.ndjson") as file:
            async for line in found:
                await file.write(line)

    @asynccontextmanager
    async def _member(self, path: str) -> AsyncIterator[Writing]:
        async with self.archive.member(path) as file:
            yield file
        await self.told(len(self.archive.members))

    # --- one dataset ---

    async def _dataset(self, dataset: Dataset) -> int:
        """Its rows in every form; how many readers get."""
        its = select(Version).where(
            Version.dataset_id == dataset.id, Version.published_at.is_not(None),
            Version.state != VersionState.DROPPED,
        )  # fmt: skip
        versions = (await self.session.scalars(its.order_by(Version.number))).all()
        kept = select(Edition.number, Edition.differences).where(
            Edition.dataset_id == dataset.id, Edition.differences.is_not(None)
        )
        differences = (await self.session.execute(kept.order_by(Edition.number))).all()
        folder = f"datasets/{dataset.id}"
        async with self._at_snapshot() as driver:
            for version in versions:
                fields = [Field.from_json(each) for each in version.fields]
                async with self._member(f"{folder}/versions/{version.number}.csv") as file:
                    await moved.copy_out(driver, version.table_name, fields, file.write)
            for number, name in differences:
                assert name is not None  # noqa: S101 - as it was asked for
                async with self._member(f"{folder}/differences/{number}.csv") as file:
                    await moved.copy_differences(driver, name, file.write)
        current = [each for each in versions if each.number == dataset.current_version]
        for version in current:
            await self._readable(dataset, version)
        return sum(version.row_count for version in current)

    @asynccontextmanager
    async def _at_snapshot(self) -> AsyncIterator[Driver]:
        """A connection that sees what the session sees; few locks are held, for one dataset only."""
        async with (
            self.mover.database.pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await connection.execute(f"SET TRANSACTION SNAPSHOT '{self.snapshot}'")
            yield connection

    async def _readable(self, dataset: Dataset, version: Version) -> None:
        """The records as readers have them, for whoever has no platform. All fields: they are the
        owner's."""
        entry = VersionEntry.of(version)
        task = Task(dataset.id, dataset.title_ja, entry, frozenset(entry.fields), ())
        folder = f"datasets/{dataset.id}"
        for form in (Representation.CSV, Representation.NDJSON):
            async with self._member(f"{folder}/records.{form.value}") as file:
                async for piece in self._records(task, form):
                    await file.write(piece)
        if task.has_place:
            with held_folder() as beside:
                with (beside / "features").open("wb") as features:
                    async for piece in self._records(task, Representation.GEOJSON):
                        features.write(piece)
                await asyncio.to_thread(_collect, beside)
                async with self._member(f"{folder}/records.geojson") as file:
                    await _put(beside / "geojson", file)

    async def _records(self, task: Task, form: Representation) -> AsyncIterator[bytes]:
        plan = task.plan(form)
        reading = Reading(plan.question, plan.revision, (), clock.now())
        reader = TableReader(self.mover.database.pool)
        rows = reader.stream(plan.version.source, (), reading, plan.wording)
        is_text = form is not Representation.GEOJSON
        async with aclosing(rows), aclosing(stream_body(plan, rows) if is_text else rows) as pieces:
            async for piece in pieces:
                yield piece

    async def _log(self, owner: Owner) -> None:
        """The log up to now: it may say more than the snapshot, and nothing else."""
        pool = self.mover.database.pool
        keeper = LogKeeper(pool, self.mover.sealer(), origin_of(self.mover.issuer))
        await keeper.keep()
        point, key = await keeper.checkpoint(), await keeper.key()
        found = extract.lines(pool, point, key, owner.organizations, owner.datasets)
        await self._lines("log/extract", found)


def _collect(folder: Path) -> None:
    with (folder / "features").open("rb") as given, (folder / "geojson").open("wb") as made:
        write_geojson(given, made)


async def _put(path: Path, file: Writing) -> None:
    with path.open("rb") as given:
        while piece := await asyncio.to_thread(given.read, 1 << 20):
            await file.write(piece)


def measure(path: Path) -> tuple[int, str]:
    """Size and SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return path.stat().st_size, digest.hexdigest()


# --- the job -------------------------------------------------------------------------------------


async def make_export(mover: Mover, store: Store, export_id: UUID) -> None:
    """Make one export and keep it in the store. Raises what another try may mend."""
    try:
        async with mover.database.writing() as session:
            export = await requests.claim(session, export_id)
        with held_folder() as folder:
            made, path = await _made(mover, export, folder)
            name = quote(f"{export.organization_id}{path.suffixes[-1]}", safe="")
            await store.put(
                requests.store_key(export_id), path, media_type=MEDIA_TYPE,
                disposition=f"attachment; filename*=UTF-8''{name}",
            )  # fmt: skip
        await _hand_over(mover, store, export, made)
    except NotMine:
        return  # it has ended, or another worker has it


async def _hand_over(mover: Mover, store: Store, export: OwnerExport, made: Made) -> None:
    """Say that it can be had; what nobody wants any more goes again, and no other worker's does."""
    is_wanted = False
    try:
        async with mover.database.writing() as session:
            is_wanted = await requests.ready(session, export.id, export.attempt, made)
    except NotMine:
        async with mover.database.reading() as session:
            is_wanted = await requests.is_wanted(session, export.id)
    if not is_wanted:
        await store.remove(requests.store_key(export.id))


async def _made(mover: Mover, export: OwnerExport, folder: Path) -> tuple[Made, Path]:
    """The archive in the folder, sealed where somebody is to open it alone. Raises `NotMine`."""

    async def told(members: int) -> None:
        async with mover.database.writing() as session:
            goes_on = await requests.go_on(session, export.id, export.attempt, members)
        if not goes_on:
            raise NotMine

    plain = folder / "archive.zip"
    what = What(export.id, export.organization_id, export.classes_up_to, export.zone)
    made = await mover.write(what, plain, told)
    if export.recipient is None:
        return made, plain
    sealed = folder / "archive.zip.age"
    await asyncio.to_thread(_seal, plain, sealed, export.recipient)
    plain.unlink()
    size, sha256 = await asyncio.to_thread(measure, sealed)
    return Made(size, sha256, made.kid, made.counts), sealed


def _seal(plain: Path, sealed: Path, recipient: str) -> None:
    """For one key alone, in pieces (age-encryption.org/v1): its tools open it anywhere."""
    import pyrage  # noqa: PLC0415

    pyrage.encrypt_file(str(plain), str(sealed), [pyrage.x25519.Recipient.from_str(recipient)])


async def keep_exports(database: Database, store: Store) -> None:
    """Let go archives whose week is over, and end what no worker makes any more."""
    async with database.reading() as session:
        over, lost = await requests.run_out(session), await requests.lost(session)
    for export_id in over:
        await store.remove(requests.store_key(export_id))
        async with database.writing() as session:
            await requests.expire(session, export_id)
    for export_id in lost:
        async with database.writing() as session:
            await requests.give_up(session, export_id)
        await store.remove(requests.store_key(export_id))


def new_export(organization_id: str, classes_up_to: str) -> What:
    """What an operator asks for at the shell."""
    return What(uuid4(), organization_id, classes_up_to)
