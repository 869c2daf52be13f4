"""A GTFS or GTFS-JP feed: each file a table with the reference's types, and the shapes as lines.

It lists rows that refer to nothing; it rejects none of them: that is the feed's own affair.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import polars as pl

from app.formats.guidance import FileRefused, Notice
from app.formats.readers.archives.gtfs_reference import KEYS, REFERENCES, TYPES
from app.formats.readers.archives.gtfs_shapes import ShapeLines
from app.formats.readers.archives.members import Member, members_of
from app.formats.readers.archives.packed_table import packed_bytes
from app.formats.readers.sniff import feed_folder
from app.formats.readers.text.delimited import DelimitedTable, read_layout
from app.formats.readers.text.encoding import probe
from app.formats.stored import StoredFile
from app.formats.table import Batch, Head, Table
from app.formats.text import BLANKS
from app.formats.told import Told

_SHOWN = 20


@dataclass(frozen=True)
class FeedTable:
    """One file of a feed."""

    rows: DelimitedTable
    name: str
    unpacked: int | None
    feed: "_Feed" = field(repr=False)
    format: str = "gtfs"

    @property
    def encoding(self) -> str:
        """The encoding as a report shows it."""
        return self.rows.encoding

    @cached_property
    def head(self) -> Head:
        """The header with the reference's types and key, and what refers to nothing."""
        head = self.rows.head
        names = [label.strip(BLANKS) for label in head.labels]
        keys = KEYS.get(self.name, ())
        return replace(
            _as_head(head),
            types=tuple(TYPES.get(name) for name in names),
            keys=keys if set(keys) <= set(names) else (),
            notices=(*head.notices, *self.feed.left_out, *self._dangling(names)),
        )

    def _dangling(self, names: list[str]) -> Iterator[Notice]:
        for column, files, there in REFERENCES.get(self.name, ()):
            known = self.feed.values(files, there)
            if column not in names or known is None:
                continue
            at = names.index(column)
            count = 0
            for batch in self.rows.batches():
                cells = batch.frame.to_series(at).str.strip_chars(BLANKS)
                count += int(((cells != "") & ~cells.is_in(known.implode())).sum())
            if count:
                details = {"label": column, "count": count, "table": "・".join(files)}
                yield Notice("reference_dangling", details)

    def column(self, name: str) -> pl.Series:
        """The distinct values of one column."""
        at = [label.strip(BLANKS) for label in self.rows.head.labels].index(name)
        parts = [
            batch.frame.to_series(at).str.strip_chars(BLANKS).drop_nulls().unique()
            for batch in self.rows.batches()
        ]
        return pl.concat(parts).unique() if parts else pl.Series(dtype=pl.String)

    def batches(self) -> Iterator[Batch]:
        """The file's rows."""
        for batch in self.rows.batches():
            yield replace(batch, read=packed_bytes(batch.read, self.feed.packed, self.unpacked))


def _as_head(head: Head) -> Head:
    """The head alone, without what a delimited text adds to it."""
    return Head(
        labels=head.labels,
        header_line=head.header_line,
        sample=head.sample,
        notices=head.notices,
    )


@dataclass
class _Feed:
    """The files of one feed, each asked for its values at most once."""

    packed: int  # bytes of the zip
    tables: dict[str, FeedTable] = field(default_factory=dict)
    left_out: tuple[Notice, ...] = ()
    _values: dict[tuple[tuple[str, ...], str], pl.Series | None] = field(default_factory=dict)

    def values(self, files: tuple[str, ...], column: str) -> pl.Series | None:
        """All values of `column` in those of `files` that are there; None if none is."""
        asked = (files, column)
        if asked not in self._values:
            found = [
                self.tables[name].column(column)
                for name in files
                if name in self.tables and column in self.tables[name].rows.head.labels
            ]
            self._values[asked] = pl.concat(found).unique() if found else None
        return self._values[asked]


def tables(file: StoredFile, told: Told) -> list[Table]:
    """The feed's files in their order, and behind shapes its lines. Raises `FileRefused`."""
    members = members_of(file, "zip")
    folder = feed_folder([member.name for member in members])
    feed = _Feed(file.size)
    left_out = []
    for member in members:
        place, _, base = member.name.rpartition("/")
        if place != folder or not base.lower().endswith(".txt"):
            left_out.append(member.name)
            continue
        try:
            name = base[:-4].lower()
            feed.tables[name] = FeedTable(_rows(member, told), name, member.size, feed)
        except FileRefused as exc:
            if exc.code not in ("file_empty", "no_data_rows"):
                raise
            left_out.append(member.name)
    if left_out:
        shown = "、".join(left_out[:_SHOWN]) + ("…" if len(left_out) > _SHOWN else "")
        feed.left_out = (Notice("members_left_out", {"count": len(left_out), "names": shown}),)
    found: list[Table] = list(feed.tables.values())
    if "shapes" in feed.tables:
        at = list(feed.tables).index("shapes")
        found.insert(at + 1, ShapeLines(feed.tables["shapes"].rows))
    return found


def _rows(member: Member, told: Told) -> DelimitedTable:
    """A file of the feed: always commas, always a header on its first line (GTFS, File Requirements)."""
    text = probe(member.open, told=told.encoding)
    return DelimitedTable(member.open, text, read_layout(member.open, text, is_csv=True))
