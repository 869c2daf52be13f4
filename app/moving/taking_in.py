"""Puts the rows of an archive into the tables: ids kept, nothing written over, nobody else's touched.

It never commits, and believes of a row only what the archive itself brings.
"""

import hashlib
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import asyncpg
import orjson
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.moving import CarriedRecord
from app.models.parties import Organization
from app.models.profiles import Profile
from app.moving.opened import Opened, refused
from app.moving.owned import CARRIED, PARTS, Owner, Part, carried, lines
from app.moving.refusals import ImportConflict

_AT_ONCE: Final = 200
_MOST_AT_ONCE: Final = 16 << 20  # bytes: a row may be long
# Bodies stand on each other: they go in with one statement.
_MOST_ORGANIZATIONS: Final = 20_000
_KEY: Final = re.compile(r"Key \(.*\)=\((.*)\) already exists")
# PostgreSQL knows days that no Python does: a list that holds one is never shown again.
_MOMENT: Final = re.compile(
    r"[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?\+[0-9:]+)?"
)
_NEVER: Final = "1000-01-01"
_STRANGE: Final = text(
    "SELECT id FROM unnest(CAST(:tree AS text[])) AS given (id)"
    " WHERE NOT EXISTS (SELECT FROM organization AS there WHERE there.id = given.id)"
    " OR CAST(:body AS text) <> ALL(line_of(id))"
)
_CLAIMED: Final = text(
    "SELECT dataset.id FROM system JOIN dataset"
    " ON jsonb_exists(system.description -> 'datasets', dataset.id)"
    " WHERE system.id = ANY(CAST(:systems AS uuid[]))"
    " AND dataset.publisher_id <> ALL(line_of(system.organization_id))"
    " AND system.organization_id <> ALL(line_of(dataset.publisher_id)) LIMIT 1"
)
# The registry's own facts may differ elsewhere in a name; in these they may not.
_OF_BODIES: Final = ("kind", "local_government_code")
Row = dict[str, Any]
Read = tuple[bytes, Row]  # a line as text, and read


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one part of the archive. `here`: how many were there already, the same."""

    name: str
    announced: int
    made: int
    here: int = 0
    sha256: str | None = None  # of what was read back, where it is the archive's

    @property
    def is_equal(self) -> bool:
        """Whether everything that was announced is on the platform now."""
        return self.announced == self.made + self.here


@dataclass(slots=True)
class TakingIn:
    """One archive on its way in. `tables`: by member, the tables that hold its rows here."""

    archive: Opened
    tables: Mapping[str, str]
    known: dict[str, set[str]] = field(default_factory=dict)

    async def everything(self, session: AsyncSession) -> list[Line]:
        """Insert every part, in the order in which they stand on each other. Raises
        `ArchiveRefused`, `ImportConflict`."""
        self.known = {"tree": set(self.archive.told["organizations"]), "bodies": set()}
        found = []
        for part in PARTS:
            found.append(await self._part(session, part))
            if part.name == "organizations":
                await self._check_tree(session)
            if part.name == "systems":
                await self._check_claims(session)
        return [*found, *[await self._documents(session, kind) for kind in CARRIED]]

    async def _check_tree(self, session: AsyncSession) -> None:
        """Refuse whom this platform knows as nobody's below the body: their rows are theirs."""
        body = str(self.archive.told["organization"]["id"])
        tree = sorted(self.known["tree"])
        strange = (await session.scalars(_STRANGE, {"body": body, "tree": tree})).all()
        if strange:
            raise refused(
                "organizations.ndjson",
                f"{strange[0][:80]} is not below {body} on this platform: put it there first",
                f"{strange[0][:80]} はこのプラットフォームでは {body} の下部組織ではありません。先に登録してください",
            )

    async def _check_claims(self, session: AsyncSession) -> None:
        """Refuse a system that says to be the source of truth of what is another body's here."""
        its = {"systems": sorted(self.known["systems"])}
        claimed = await session.scalar(_CLAIMED, its)
        if claimed is not None:
            raise ImportConflict(kind="datasets", key=claimed)

    async def read_back(self, session: AsyncSession, found: list[Line]) -> list[Line]:
        """The lines, each with the digest of its part where an export of today would give the
        very bytes that came. It gives others where the body had more here before."""
        told = self.archive.told
        owner = Owner(list(told["organizations"]), sorted(self.known["datasets"]))
        given = {part.name: lines(session, part, owner) for part in PARTS}
        given |= {kind: carried(session, kind, owner) for kind in CARRIED}
        return [await self._with_digest(line, given[line.name]) for line in found]

    async def _with_digest(self, line: Line, given: AsyncIterator[bytes]) -> Line:
        digest = hashlib.sha256()
        try:
            async for each in given:
                digest.update(each)
        except (DBAPIError, asyncpg.PostgresError) as exc:  # streamed rows come from the driver
            raise _told(line.name, exc) from exc
        member = self.archive.members.get(f"data/{line.name}.ndjson")
        is_same = member is not None and member.sha256 == digest.hexdigest()
        return replace(line, sha256=digest.hexdigest()) if is_same else line

    async def _part(self, session: AsyncSession, part: Part) -> Line:
        announced = made = here = 0
        known = self.known.setdefault(part.name, set())
        at_once = _MOST_ORGANIZATIONS if part.name == "organizations" else _AT_ONCE
        for batch in _batches(self._checked(part), at_once):
            rows = [raw for raw, _ in batch]
            ids = {str(row["id"]) for _, row in batch if "id" in row}
            known |= ids
            if part.model is Organization:
                self.known["bodies"] |= ids
            announced += len(rows)
            if part.shared:
                rows = await _not_there(session, part, rows)
                await _check_layouts(session, part, rows)
                here += len(batch) - len(rows)
            await _insert(session, part, rows)
            made += len(rows)
        return Line(part.name, announced, made, here)

    def _checked(self, part: Part) -> Iterator[tuple[bytes, Row]]:
        """Each row with what it gets here; refuses one that is of anybody else."""
        times = part.times
        for raw, row in self.archive.lines(f"{part.name}.ndjson"):
            for column, whose in part.owners:
                given = row.get(column)
                named = given if isinstance(given, list) else [given]
                strange = [each for each in named if str(each) not in self.known[whose]]
                if strange and not (given is None and (column, whose) != part.owners[0]):
                    raise _not_the_owners(part, str(strange[0])[:80])
            for column, words in part.words:
                if row.get(column) not in set(words):
                    raise _not_known(part, column, str(row.get(column))[:80])
            for column in times:
                if not _MOMENT.fullmatch(str(row.get(column) or _NEVER)):
                    raise _not_known(part, column, str(row[column])[:80])
            more = {**part.anew, **self._names(part, row)}
            yield (raw[:-1] + b"," + orjson.dumps(more)[1:] if more else raw), row

    def _names(self, part: Part, row: Row) -> Row:
        """The tables of ours that hold what the row speaks of."""
        folder = f"datasets/{row.get('dataset_id')}"
        if part.name == "versions":
            path = f"{folder}/versions/{row.get('number')}.csv"
            # One that was let go has no rows, and a name that nobody else has.
            let_go = f"gone_{row.get('dataset_id')}_{row.get('number')}"
            return {"table_name": self.tables.get(path, let_go)}
        if part.name == "editions":
            path = f"{folder}/differences/{row.get('number')}.csv"
            return {"differences": self.tables.get(path)}
        return {}

    async def _documents(self, session: AsyncSession, kind: str) -> Line:
        organization = self.archive.told["organization"]["id"]
        made = 0
        for batch in _batches(self.archive.lines(f"{kind}.ndjson"), _AT_ONCE):
            for raw, row in batch:
                key = ":".join(str(row.get(name)) for name in CARRIED[kind])
                session.add(
                    CarriedRecord(
                        organization_id=organization, kind=kind, id=key, body=raw.decode()
                    )
                )
            try:
                await session.flush()
            except DBAPIError as exc:
                raise _told(kind, exc) from exc
            session.expunge_all()
            made += len(batch)
        return Line(kind, made, made)


def _batches(found: Iterator[Read], size: int) -> Iterator[list[Read]]:
    batch: list[Read] = []
    held = 0
    for each in found:
        batch.append(each)
        held += len(each[0])
        if len(batch) == size or held > _MOST_AT_ONCE:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _array(rows: list[bytes]) -> str:
    """The lines as one JSON text, as they came: no number passes through Python."""
    return (b"[" + b",".join(rows) + b"]").decode()


def _given(part: Part) -> str:
    return f"json_populate_recordset(NULL::{_table(part)}, CAST(:rows AS json))"


def _table(part: Part) -> str:
    return f'"{part.model.__tablename__}"'


async def _insert(session: AsyncSession, part: Part, rows: list[bytes]) -> None:
    if not rows:
        return
    columns = ", ".join(f'"{name}"' for name in part.taken)
    # Every name is of our own tables; what came is one bound value.
    sql = f"INSERT INTO {_table(part)} ({columns}) SELECT {columns} FROM {_given(part)}"  # noqa: S608
    try:
        await session.execute(text(sql), {"rows": _array(rows)})
    except DBAPIError as exc:
        raise _told(part.name, exc) from exc


async def _not_there(session: AsyncSession, part: Part, rows: list[bytes]) -> list[bytes]:
    """The rows that are to be made. What is there under the same key must be the same thing."""
    keys = [str(each.name) for each in inspect(part.model).primary_key]
    compared = _OF_BODIES if "kind" in part.columns else tuple(part.columns)
    same = " AND ".join(f'there."{name}" IS NOT DISTINCT FROM given."{name}"' for name in compared)
    its = " AND ".join(f'there."{name}" = given."{name}"' for name in keys)
    key = ", ".join(f'given."{name}"::text' for name in keys)
    sql = (
        f"SELECT given.ordinality, {same} AS same, concat_ws('/', {key}) AS key"  # noqa: S608
        f" FROM {_given(part)} WITH ORDINALITY AS given JOIN {_table(part)} AS there ON {its}"
    )
    try:
        found = (await session.execute(text(sql), {"rows": _array(rows)})).all()
    except DBAPIError as exc:
        raise _told(part.name, exc) from exc
    other = next((row.key for row in found if not row.same), None)
    if other is not None:
        raise ImportConflict(kind=part.name, key=other)
    there = {row.ordinality for row in found}
    return [raw for at, raw in enumerate(rows, 1) if at not in there]


async def _check_layouts(session: AsyncSession, part: Part, rows: list[bytes]) -> None:
    """A layout's name belongs to the body that used it first, and built-in names to nobody."""
    if part.model is not Profile or not rows:
        return
    sql = text(
        f"SELECT given.name FROM {_given(part)} AS given JOIN profile AS there"  # noqa: S608
        " ON there.name = given.name"
        " AND body_of(there.owner_id) IS DISTINCT FROM body_of(given.owner_id) LIMIT 1"
    )
    name = await session.scalar(sql, {"rows": _array(rows)})
    if name is not None:
        raise ImportConflict(kind=part.name, key=name)


def _not_known(part: Part, column: str, word: str) -> Exception:
    return refused(
        f"{part.name}.ndjson",
        f"{column} is {word}, which is not known here",
        f"{column} の {word} はここでは扱えません",
    )


def _not_the_owners(part: Part, of: str) -> Exception:
    return refused(
        f"{part.name}.ndjson",
        f"a row is of {of}, which the archive is not about",
        f"アーカイブの対象ではない {of} の行があります",
    )


def _told(name: str, exc: DBAPIError | asyncpg.PostgresError) -> Exception:
    """A taken id as the conflict that it is, and what no table takes as the archive's fault."""
    cause: BaseException | None = exc
    if isinstance(exc, DBAPIError):
        cause = exc.orig.__cause__ if exc.orig is not None else None
    if isinstance(cause, asyncpg.UniqueViolationError):
        found = _KEY.search(cause.detail or "")
        return ImportConflict(kind=name, key=found[1] if found else "?")
    if isinstance(
        cause,
        asyncpg.DataError
        | asyncpg.IntegrityConstraintViolationError
        | asyncpg.ProgramLimitExceededError
        | asyncpg.RaiseError,
    ):
        why = cause.constraint_name or type(cause).__name__
        return refused(
            f"{name}.ndjson",
            f"a row cannot be stored ({why})",
            f"格納できない行があります（{why}）",
        )
    return exc
