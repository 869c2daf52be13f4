"""A packed table: under its path, with more to say, its progress in packed bytes; the same rows."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from app.formats.guidance import Notice
from app.formats.table import Batch, Head, Table


@dataclass(frozen=True)
class _Packed:
    inner: Table
    name: str
    more: tuple[Notice, ...]
    packed: int
    unpacked: int | None

    @property
    def format(self) -> str:
        return self.inner.format

    @property
    def encoding(self) -> str | None:
        return self.inner.encoding

    @cached_property
    def head(self) -> Head:
        head = self.inner.head
        return replace(head, notices=(*head.notices, *self.more)) if self.more else head

    def batches(self) -> Iterator[Batch]:
        for batch in self.inner.batches():
            yield replace(batch, read=packed_bytes(batch.read, self.packed, self.unpacked))


def with_notices(
    table: Table, name: str, more: tuple[Notice, ...], *, packed: int, unpacked: int | None
) -> Table:
    """`table` as `name`, with `more` notices behind its own.

    `packed` and `unpacked` are the bytes of the archive and of the member, as far as known.
    """
    return _Packed(table, name, more, packed, unpacked)


def packed_bytes(read: int, packed: int, unpacked: int | None) -> int:
    """How far an archive is read when `read` bytes of its member are; never more than all of it."""
    return min(read * packed // unpacked if unpacked else read, packed)
