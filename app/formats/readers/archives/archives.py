"""Tables inside an archive: each member that is a table, named by its path; one archive deep."""

from app.formats.guidance import FileRefused, Notice
from app.formats.readers.archives.members import Member, PackedFile, members_of, packing
from app.formats.readers.archives.packed_table import with_notices
from app.formats.stored import StoredFile
from app.formats.table import Table
from app.formats.told import Told

_DEEPEST = 1
_SHOWN = 20
_HEAD = 4096
_SYSTEM = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")
# What ends the reading of the whole archive, and not only of the member.
_FATAL = frozenset({"file_dangerous", "file_encrypted", "file_damaged", "archive_method_unknown"})


def tables(file: StoredFile, told: Told) -> list[Table]:
    """The tables of all members; what is none is told in a notice. Raises `FileRefused`."""
    depth = file.depth if isinstance(file, PackedFile) else 0
    if depth > _DEEPEST:
        raise FileRefused("archive_too_deep")
    kind = packing(_head(file)) or "zip"
    found: list[tuple[Member, list[Table]]] = []
    refused: list[tuple[str, FileRefused]] = []
    for member in members_of(file, kind):
        if member.name.startswith(_SYSTEM) or member.name.rpartition("/")[2].startswith("._"):
            continue
        try:
            found.append((member, _tables_in(member, file, told, depth)))
        except FileRefused as exc:
            if exc.code in _FATAL:
                raise
            refused.append((member.name, exc))
    found, dropped = _without_prose(found, told)
    left_out = [name for name, _ in refused] + dropped
    if not found:
        raise _nothing(refused)
    return [
        with_notices(
            table,
            _name(member, table, kind, len(found)),
            _left_out(left_out),
            packed=file.size,
            unpacked=member.size,
        )
        for member, inside in found
        for table in inside
    ]


def _head(file: StoredFile) -> bytes:
    with file.open() as stream:
        return stream.read(_HEAD)


def _tables_in(member: Member, file: StoredFile, told: Told, depth: int) -> list[Table]:
    from app.formats.opening import open_tables  # noqa: PLC0415 - it opens us, too

    if member.size == 0:
        raise FileRefused("file_empty")
    packed = PackedFile(member, file.scratch, depth + 1)
    return open_tables(packed, told)


def _without_prose(
    found: list[tuple[Member, list[Table]]], told: Told
) -> tuple[list[tuple[Member, list[Table]]], list[str]]:
    """Without the notes that lie beside tables: texts of one column, and guessed XML."""
    if len(found) < 2 or told.table is not None:
        return found, []
    real = [pair for pair in found if not _is_prose(pair[1], told)]
    if not real:
        return found, []
    kept = {id(pair[0]) for pair in real}
    return real, [member.name for member, _ in found if id(member) not in kept]


def _is_prose(tables: list[Table], told: Told) -> bool:
    if all(table.format == "xml" for table in tables):
        return told.rows is None
    return all(table.format == "csv" and len(table.head.labels) < 2 for table in tables)


def _name(member: Member, table: Table, kind: str, count: int) -> str:
    """The member's path, and the sheet or layer in it; a lone packed file needs no name."""
    own = "" if kind != "zip" and count == 1 else member.name
    return "/".join(filter(None, (own, table.name)))


def _left_out(names: list[str]) -> tuple[Notice, ...]:
    if not names:
        return ()
    shown = "、".join(names[:_SHOWN]) + ("…" if len(names) > _SHOWN else "")
    return (Notice("members_left_out", {"count": len(names), "names": shown}),)


def _nothing(refused: list[tuple[str, FileRefused]]) -> FileRefused:
    if len(refused) == 1:
        return refused[0][1]
    if not refused:
        return FileRefused("file_empty")
    names = "、".join(f"{name}（{exc.code}）" for name, exc in refused[:_SHOWN])
    return FileRefused("archive_no_table", names=names)
