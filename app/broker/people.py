"""Whom records are about: the publisher's names for them on their way to another organisation.

The one place where names of two organisations meet. A name that it does not know leaves as null;
nothing that it is given is ever logged.
"""

import asyncio
import base64
import binascii
import re
import secrets
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

import asyncpg

from app.audit.subjects import Whom
from app.broker.ask import Ask
from app.broker.snapshot import Known
from app.catalogue.entries import VersionEntry
from app.kit.crypto import Sealer
from app.kit.db import DatabaseUnavailable
from app.kit.errors import AppError, Fault, Kind
from app.kit.key_places import SecretKeyUnusable
from app.policy.facts import Caller, DatasetFacts
from app.query.fields import Field, FieldType
from app.query.subjects import Stored
from app.subjects.linker import Linker, can_be_name
from app.tables.encode import END, END_OF_PART, IN_COLUMNS, Form

_NAMED_BY: Final = frozenset({FieldType.TEXT, FieldType.CODE})
_AT_ONCE: Final = 256 << 10  # bytes of a stream whose names are looked up together
_MOST_HELD: Final = 50_000  # names of one stream
_LARGE: Final = 64 << 10  # more takes longer to search than others should wait


class SubjectNotTold(AppError):
    """Whom records are about cannot be said in the caller's own names here, so nothing is said."""

    kind = Kind.FORBIDDEN
    code = "subject_not_told"
    ja = (
        "データセット {dataset} の本人は組織ごとに異なる名前で提供されますが、ここではその名前に変換できません"
        "（この版に本人を示す項目がない、またはこの取得方法では変換できません）。"
        "公開中の版を /v1/datasets/{dataset}/records で取得するか、提供者に確認してください。"
    )
    en = (
        "The people of the dataset {dataset} are named for each organisation by names of its own,"
        " and here they cannot be: the version lacks the field that names them, or it is not done at"
        " this door. Ask /v1/datasets/{dataset}/records for the version in force, or ask its"
        " publisher."
    )


class SubjectIsKey(AppError):
    """A person has one record, found by a name that only its publisher knows."""

    kind = Kind.FORBIDDEN
    code = "subject_is_key"
    ja = (
        "データセット {dataset} のキーは本人を示す提供者の名前を含みます。"
        "レコードの追加・更新・削除は提供者の組織だけができます。"
    )
    en = (
        "The key of the dataset {dataset} holds its publisher's name for the person: only its"
        " publisher adds, changes and deletes records."
    )


_NOBODY: Final = Fault(
    "",
    "unknown_subject",
    "本人を示す項目の値は、この組織の名前のどれでもありません。",
    "The value of the field that names the person is no name of your organisation's.",
)


@dataclass(frozen=True, slots=True)
class About:
    """Whom the records of one answer are about, and by whose names they are told.

    `reader` is the organisation whose names go out in place of the publisher's; None: they go out
    as they stand. `mark` stands before each in the bytes that are still to be changed: nobody can
    have stored it, for it is made for this answer.
    """

    dataset_id: str
    publisher_id: str
    subject: Field | None  # None: the version has no such field, and only its publisher reads it
    reader: str | None
    mark: str
    stored: Stored = field(default_factory=dict)  # of the names that are asked by
    seal: Callable[[str], str] | None = None  # of cursors: they lead on, and tell nothing

    @property
    def changed(self) -> Field | None:
        """The field whose values do not leave as they stand."""
        return self.subject if self.reader is not None else None


def are_renamed(facts: DatasetFacts, caller: Caller | None) -> bool:
    """Whether the caller is of another organisation than that whose names the records hold."""
    if facts.subject is None:
        return False
    return caller is None or caller.client.organization_id != facts.publisher_id


def whom_of(about: About | None, people: Collection[str] | None, revision: int) -> dict[str, Any]:
    """What the log is told of the people of an answer. `people` None: more than are told.

    What cannot be a name names nobody, and is kept nowhere.
    """
    if about is None:
        return {}
    names = None
    if people is not None and about.subject is not None:
        names = [each for each in people if can_be_name(each)]
    return {"whom": Whom(about.publisher_id, about.dataset_id, names), "revision": revision}


def some_of(facts: DatasetFacts, revision: int) -> dict[str, Any]:
    """The same where nobody has looked whom of a dataset the answer is about."""
    if facts.subject is None:
        return {}
    return {"whom": Whom(facts.publisher_id, facts.id, None), "revision": revision}


@contextmanager
def _told() -> Iterator[None]:
    """The linker's errors end here."""
    try:
        yield
    except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresError) as exc:
        raise DatabaseUnavailable from exc


class People:
    """Turns names of people into those of whoever reads. One a process."""

    def __init__(self, linker: Linker, sealer: Sealer) -> None:
        self._linker = linker
        self._sealer = sealer

    def about(self, known: Known, version: VersionEntry, caller: Caller | None) -> About | None:
        """Whom the version's records are about; None: the dataset names nobody.

        Raises `SubjectNotTold`.
        """
        facts = known.entry.facts
        if facts.subject is None:
            return None
        subject = version.fields.get(facts.subject)
        if subject is not None and subject.type not in _NAMED_BY:
            subject = None
        about = About(facts.id, facts.publisher_id, subject, None, secrets.token_hex(16))
        if caller is None or not are_renamed(facts, caller):
            return about
        if subject is None:
            raise SubjectNotTold(dataset=facts.id)
        reader = caller.client.organization_id
        return replace(about, reader=reader, seal=self._sealing(facts.id, reader))

    async def asked_by(self, about: About, names: Collection[str]) -> About:
        """The same, knowing what the reader's names that are asked by are called in the records."""
        if about.reader is None or not names:
            return about
        with _told():
            stored = await self._linker.every_name(names, of=about.reader, for_=about.publisher_id)
        return replace(about, stored=stored)

    async def told(self, about: About, form: Form, body: bytes, names: Collection[str]) -> bytes:
        """A page in the reader's names. `names` are all that it holds."""
        if about.reader is None:
            return body
        found = await self._translated(about, names)
        said = _Saying(about.mark, form, found)
        return await asyncio.to_thread(said, body) if len(body) > _LARGE else said(body)

    async def stream(
        self, about: About, form: Form, pieces: AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[bytes, None]:
        """Rows in the reader's names, some at a time: no row is parted from its end."""
        held: dict[str, str] = {}
        waiting = bytearray()
        async with aclosing(pieces):
            async for piece in pieces:
                waiting += piece
                # A mark holds no line end, so that none is cut by one.
                if len(waiting) >= _AT_ONCE and (end := waiting.rfind(b"\n") + 1):
                    rows = bytes(waiting[:end])
                    del waiting[:end]
                    yield await self._said(about, form, rows, held)
            if waiting:
                yield await self._said(about, form, bytes(waiting), held)

    async def _said(self, about: About, form: Form, rows: bytes, held: dict[str, str]) -> bytes:
        if len(held) > _MOST_HELD:
            held.clear()
        said = _Saying(about.mark, form, held)
        missing = await asyncio.to_thread(said.unknown, rows)
        held |= await self._translated(about, missing)
        return await asyncio.to_thread(said, rows)

    async def _translated(self, about: About, names: Collection[str]) -> Mapping[str, str]:
        if about.reader is None or not names:
            return {}
        with _told():
            return await self._linker.translate(names, of=about.publisher_id, for_=about.reader)

    async def incoming(
        self, facts: DatasetFacts, caller: Caller, records: Sequence[Any]
    ) -> tuple[list[Any], Mapping[int, Fault]]:
        """Records as another organisation wrote them in the publisher's names, and those about
        nobody whom it can name, by their place."""
        subject, mine = facts.subject or "", caller.client.organization_id
        given = [each.get(subject) if isinstance(each, Mapping) else None for each in records]
        names = [each for each in given if isinstance(each, str)]
        with _told():
            found = await self._linker.translate(names, of=mine, for_=facts.publisher_id)
        nobody: dict[int, Fault] = {}
        taken = []
        for at, (record, name) in enumerate(zip(records, given, strict=True)):
            known = found.get(name) if isinstance(name, str) else None
            if name is not None and known is None:
                nobody[at] = replace(_NOBODY, pointer=f"/{subject}")
            taken.append(record if name is None else {**record, subject: known})
        return taken, nobody

    def opened(self, known: Known, ask: Ask) -> Ask:
        """The ask with its cursor as it was before it was sealed for this very reader.

        One that was not is no cursor, and is refused where cursors are read.
        """
        cursor, caller = ask.parameter("cursor"), ask.caller
        if cursor is None or caller is None or not are_renamed(known.entry.facts, caller):
            return ask
        about = _cursor_of(known.entry.id, caller.client.organization_id)
        try:
            packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_")
            plain = self._sealer.unseal(packed, about=about).decode()
        except (binascii.Error, ValueError, SecretKeyUnusable):
            plain = ""
        kept = [pair for pair in ask.parameters if pair[0] != "cursor"]
        return replace(ask, parameters=(*kept, ("cursor", plain)))

    def _sealing(self, dataset_id: str, reader: str) -> Callable[[str], str]:
        def sealed(cursor: str) -> str:
            packed = self._sealer.seal(cursor.encode(), about=_cursor_of(dataset_id, reader))
            return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()

        return sealed


def _cursor_of(dataset_id: str, reader: str) -> str:
    return f"cursor on {dataset_id} of {reader}"


class _Saying:
    """Puts names where marks are. A null is written as the form writes one."""

    def __init__(self, mark: str, form: Form, names: Mapping[str, str]) -> None:
        value = f"{mark}([0-9a-f]*){END}"
        part = f"{mark}([0-9a-f]*){END_OF_PART}"
        if form in IN_COLUMNS:
            self._pattern, self._text = re.compile(value.encode()), b"%b"
            self._null = b"\\N" if form is Form.CELLS else b""
        else:
            self._pattern, self._text = re.compile(f'"{value}"|{part}'.encode()), b'"%b"'
            self._null = b"null"
        self._names = names

    def unknown(self, rows: bytes) -> set[str]:
        """The names in these rows that are still to be looked up."""
        return {_name(each) for each in self._pattern.finditer(rows)}.difference(self._names)

    def __call__(self, rows: bytes) -> bytes:
        return self._pattern.sub(self._said, rows)

    def _said(self, found: re.Match[bytes]) -> bytes:
        name = self._names.get(_name(found))
        if found[1] is None:
            return (name or "").encode()
        return self._null if name is None else self._text % name.encode()


def _name(found: re.Match[bytes]) -> str:
    return bytes.fromhex(found[found.lastindex or 1].decode()).decode()
