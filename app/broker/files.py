"""Ready-made files on their way out: decided as a read of all their columns, then counted or logged.

For public data it asks no database: what it needs is in memory. It hands out no byte by itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from app.broker.decide import Decider
from app.broker.recording import Asker, Recorder
from app.broker.snapshot import Known, Snapshot
from app.broker.versions_asked import refuse_columns, refused
from app.catalogue import files
from app.catalogue.entries import DatasetEntry
from app.catalogue.files import FORMATS, FileEntry
from app.catalogue.refusals import NoVersion
from app.formats.shelf.absent import REASONS
from app.kit.db import Database
from app.kit.errors import AppError, Kind
from app.kit.live import ALL, Live
from app.policy.facts import Action
from app.policy.verdicts import Allow


class NoSuchFile(AppError):
    """No file has the name, or no longer."""

    kind = Kind.NOT_FOUND
    code = "file_not_found"
    ja = "データセット {dataset} に {name} というファイルはありません。/v1/datasets/{dataset}/files で一覧を確認してください。"
    en = "The dataset {dataset} has no file {name}. /v1/datasets/{dataset}/files lists them."


class FileNotMade(AppError):
    """There is no such file, for a reason."""

    kind = Kind.NOT_FOUND
    code = "file_not_made"
    ja = "データセット {dataset} の {name} は作成されません。{why_ja}"
    en = "There is no {name} of the dataset {dataset}. {why_en}"


class FileNotReady(AppError):
    """The file is still being made."""

    kind = Kind.UNAVAILABLE
    code = "file_not_ready"
    ja = "データセット {dataset} の {name} は作成中です。数分後に再試行するか、/records?f=csv などで取得してください。"
    en = "{name} of the dataset {dataset} is being made. Try again in minutes, or use /records."

    def __init__(self, *, dataset: str, name: str) -> None:
        super().__init__(dataset=dataset, name=name)
        self.headers["Retry-After"] = "60"


class FileHasAllRows(AppError):
    """Only some rows may leave, and a ready-made file has them all."""

    kind = Kind.FORBIDDEN
    code = "file_has_all_rows"
    ja = (
        "作り置きのファイルには全レコードが入っており、利用条件は一部のレコードだけを認めています。"
        "/v1/datasets/{dataset}/records?f=csv などで取得してください。"
    )
    en = (
        "The ready-made file has every record, and only some of them may be used. Get those at"
        " /v1/datasets/{dataset}/records?f=csv and the like."
    )


@dataclass(frozen=True, slots=True)
class Released:
    """A file that may go out now."""

    file: FileEntry
    is_latest: bool  # asked for by the name that goes with the time
    is_public: bool
    receipt: int | None


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a dataset that the asker may have, newest first, and what is not there."""

    dataset_id: str
    files: tuple[FileEntry, ...]
    latest: frozenset[FileEntry]  # those that the names without a number lead to
    absent: tuple[tuple[str, str], ...]  # (format, reason) of the current version
    is_public: bool


class Files:
    """Gives files to those who may see every column in them. One a process."""

    def __init__(
        self,
        database: Database,
        snapshot: Snapshot,
        live: Live,
        decider: Decider,
        recorder: Recorder,
    ) -> None:
        self._database = database
        self._snapshot = snapshot
        self._decider = decider
        self._recorder = recorder
        self._entries = live.cache(self._load, kinds=("dataset", ALL))

    async def _load(self, dataset_id: str) -> tuple[FileEntry, ...]:
        async with self._database.reading() as session:
            return await files.load_files(session, dataset_id)

    async def _of(self, dataset_id: str) -> tuple[FileEntry, ...]:
        held = self._entries.held(dataset_id)
        return held if held is not None else await self._entries.get(dataset_id)

    async def listing(self, dataset_id: str, asker: Asker) -> Listing:
        """What there is. A refusal of the dataset is one of the list as well."""
        known = await self._snapshot.dataset(dataset_id)
        allow = await self._allow(known, None, asker)
        if (reason := _why_none(known.entry, allow)) is not None:
            absent = tuple((each, reason) for each in FORMATS)
            return Listing(dataset_id, (), frozenset(), absent, is_public=False)
        there = await self._of(dataset_id)
        shown = [f for f in there if not f.reason and await self._may_see(known, f, asker)]
        latest = _current(known.entry, there)
        current = {file.format: file.reason for file in latest}
        absent = tuple(
            (each, current.get(each, "being_made") or "")
            for each in FORMATS
            if known.entry.version is not None and current.get(each, "being_made") is not None
        )
        is_public = allow.ground == "public"
        return Listing(dataset_id, tuple(shown), frozenset(latest), absent, is_public)

    async def release(
        self, dataset_id: str, name: str, asker: Asker, *, sends_rows: Callable[[FileEntry], bool]
    ) -> Released:
        """One file by its name, once the read stands in the log. Raises `NoSuchFile`, …

        `sends_rows` says whether the file's bytes leave, once it is known which file is meant.
        """
        known = await self._snapshot.dataset(dataset_id)
        entry = known.entry
        there = await self._of(dataset_id) if _why_none(entry, None) is None else ()
        file = next((each for each in there if each.name == name), None)
        latest = next((f for f in _current(entry, there) if f.latest_name == name), None)
        found = file or latest
        # Who may not read the dataset is told that, and not which files it has.
        allow = await self._allow(known, found, asker)
        if found is None or found.reason is not None:
            raise _not_there(known, found, name)
        if allow.bounds:
            raise await refused(self._decider, known, asker, FileHasAllRows(dataset=dataset_id))
        hidden = [column for column in found.columns if column not in allow.columns]
        if hidden:
            raise await refuse_columns(self._decider, known, hidden, asker)
        receipt = await self._recorder.record(
            known, asker, allow, version=found.version, rows=found.rows if sends_rows(found) else 0,
            columns=found.columns, file=found.name,
        )  # fmt: skip
        return Released(found, file is None, allow.ground == "public", receipt)

    async def _allow(self, known: Known, file: FileEntry | None, asker: Asker) -> Allow:
        """The verdict on a read of the file's version, by its own columns."""
        return await self._decider.allow(
            _as_of(known, file), asker.caller, Action.READ, asker.purpose, asker.request_id
        )

    async def _may_see(self, known: Known, file: FileEntry, asker: Asker) -> bool:
        verdict = await self._decider.judge(
            _as_of(known, file), asker.caller, Action.READ, asker.purpose
        )
        if not isinstance(verdict, Allow) or verdict.bounds:
            return False
        return verdict.columns.issuperset(file.columns)


def _why_none(entry: DatasetEntry, allow: Allow | None) -> str | None:
    if allow is not None and allow.bounds:
        return "some_rows_only"
    facts = entry.facts
    return files.why_none(facts.data_class, aggregate_only=facts.aggregate_only)


def _as_of(known: Known, file: FileEntry | None) -> Known:
    """The dataset with the columns of the file's version."""
    if file is None:
        return known
    facts = known.entry.facts
    columns = tuple((name, seen_by or facts.data_class) for name, seen_by in file.seen_by)
    return replace(known, entry=replace(known.entry, facts=replace(facts, columns=columns)))


def _current(entry: DatasetEntry, there: tuple[FileEntry, ...]) -> list[FileEntry]:
    """For each format the newest file of the version that readers get."""
    if entry.version is None:
        return []
    newest: dict[str, FileEntry] = {}
    for file in there:  # newest first
        if file.version == entry.version.number:
            newest.setdefault(file.format, file)
    return list(newest.values())


def _not_there(known: Known, file: FileEntry | None, name: str) -> AppError:
    entry = known.entry
    reason = file.reason if file is not None else _why_none(entry, None)
    names = {entry.id + form.suffix for form in FORMATS.values()}
    if reason is not None:
        why_ja, why_en = REASONS[reason]
        return FileNotMade(dataset=entry.id, name=name[:100], why_ja=why_ja, why_en=why_en)
    if entry.version is None:
        return NoVersion(dataset=entry.id)
    if name in names:
        return FileNotReady(dataset=entry.id, name=name)
    return NoSuchFile(dataset=entry.id, name=name[:100])
