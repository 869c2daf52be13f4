"""Where words stand in a version's rows: for each gram the rows that hold it, in chunks.

An index narrows where to look and decides nothing: every row that it names is looked at again, and
rows that were written since are looked at without it. A gram that many rows hold names none.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    ClauseElement,
    Column,
    ColumnElement,
    Index,
    Integer,
    MetaData,
    Select,
    Table,
    bindparam,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect
from sqlalchemy.schema import CreateIndex, CreateTable, DropTable

from app.kit.db import Driver
from app.query.fields import Field
from app.query.folding import fold
from app.query.grams import grams_of
from app.query.words import Spellings
from app.tables.layout import ROW, SCHEMA, SINCE

if TYPE_CHECKING:
    import asyncpg
    import numpy as np

# Names the folding and the grams: an index that was made otherwise is not asked.
MADE_AS: Final = "1"
MOST_ROWS: Final = 10_000  # that an index names; above, reading on is as quick
_ROWS_AT_A_TIME: Final = 5_000
_CHARACTERS_A_CHUNK: Final = 3_000_000
_MOST_OF_CHUNK: Final = 0.15  # of its rows: what more of them hold tells too little
_LEAST_OF_CHUNK: Final = 2_000
_MOST_READ: Final = 100_000  # rows of grams that are put together for a word
_MOST_GRAMS: Final = 3  # of a spelling, the rarest
_RARE: Final = 1_000  # rows that need no second gram
_LAST_ROW: Final = 2**31 - 1
_DIALECT: Final = asyncpg_dialect.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
_ASKED: Final = bindparam("grams", type_=ARRAY(Integer()))


@dataclass(frozen=True, slots=True)
class WordIndex:
    """The index of a version and the columns that it was made of."""

    name: str
    columns: frozenset[str]

    @classmethod
    def from_json(cls, noted: dict[str, Any] | None) -> "WordIndex | None":
        """What `as_json` wrote; None where there is none that could be asked."""
        if noted is None or noted["made_as"] != MADE_AS or noted["table"] is None:
            return None
        return cls(noted["table"], frozenset(noted["columns"]))


def as_json(made: WordIndex | None) -> dict[str, Any]:
    """The index as it is noted with its version, also that there is none to be made."""
    columns = sorted(made.columns) if made else []
    return {"table": made.name if made else None, "columns": columns, "made_as": MADE_AS}


def index_name(version_table: str) -> str:
    """The name of the index of a version's table."""
    return "s_" + version_table.removeprefix("v_")


def _table(name: str) -> Table:
    made = Table(
        name,
        MetaData(schema=SCHEMA),
        Column("gram", Integer(), nullable=False),
        Column("held", Integer(), nullable=False),
        Column("rows", ARRAY(Integer())),  # null: too many to name
    )
    Index(f"{name}_gram", made.c.gram)
    return made


async def make(connection: Driver, table: Table, fields: Sequence[Field]) -> WordIndex | None:
    """Make the index of the rows that a version was loaded with; None where rows are too many."""
    made = _table(index_name(table.name))
    await connection.execute(_sql(DropTable(made, if_exists=True)))
    await connection.execute(_sql(CreateTable(made)))
    async for rows, texts in _chunks(connection, table, fields):
        if rows[-1] > _LAST_ROW:
            await connection.execute(_sql(DropTable(made)))
            return None
        records = await asyncio.to_thread(lambda r=rows, t=texts: [*_postings(r, t)])  # type: ignore[misc]
        await connection.copy_records_to_table(
            made.name, schema_name=SCHEMA, records=records, columns=["gram", "held", "rows"]
        )
    for index in made.indexes:
        await connection.execute(_sql(CreateIndex(index)))
    return WordIndex(made.name, frozenset(field.column for field in fields))


async def _chunks(
    connection: Driver, table: Table, fields: Sequence[Field]
) -> AsyncIterator[tuple[list[int], list[str]]]:
    """Rows with their folded texts, as many as are sorted at a time."""
    row, since = table.c[ROW], table.c[SINCE]
    wanted = select(row, *(table.c[field.column] for field in fields)).where(since == 0, row > 0)
    statement = wanted.order_by(row).compile(
        dialect=_DIALECT, compile_kwargs={"literal_binds": True}
    )
    rows: list[int] = []
    texts: list[str] = []
    size = 0
    async with connection.transaction():
        cursor = await connection.cursor(str(statement))
        while found := await cursor.fetch(_ROWS_AT_A_TIME):
            folded = await asyncio.to_thread(_folded, found)
            rows += [each[0] for each in found]
            texts += folded
            size += sum(map(len, folded))
            if size >= _CHARACTERS_A_CHUNK:
                yield rows, texts
                rows, texts, size = [], [], 0
    if rows:
        yield rows, texts


def _folded(found: "Sequence[asyncpg.Record]") -> list[str]:
    return [fold("\x1f".join(filter(None, tuple(each)[1:]))) for each in found]


def _postings(rows: Sequence[int], texts: Sequence[str]) -> Iterator[tuple[int, int, Any]]:
    """By gram: how many rows hold it, and which, where they are few."""
    import numpy as np  # noqa: PLC0415 - the worker's alone

    numbers, at = _grams_at(texts)
    keys = np.unique((numbers.astype(np.uint64) << np.uint64(32)) | at)
    held = (keys >> np.uint64(32)).astype(np.uint32).view(np.int32)
    where = np.asarray(rows, dtype=np.int64)[(keys & np.uint64(0xFFFFFFFF)).astype(np.int64)]
    starts = np.flatnonzero(np.r_[True, held[1:] != held[:-1]])
    most = max(_LEAST_OF_CHUNK, int(len(rows) * _MOST_OF_CHUNK))
    for begin, end in zip(starts, np.r_[starts[1:], len(held)], strict=True):
        number = int(end - begin)
        named = where[begin:end].tolist() if number <= most else None
        yield int(held[begin]), number, named


def _grams_at(texts: Sequence[str]) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
    """The grams of all texts, as `query.grams` counts them, and the text that each is of."""
    import numpy as np  # noqa: PLC0415

    points = np.frombuffer("\x00".join(texts).encode("utf-32-le"), dtype=np.uint32)
    at = np.cumsum(points == 0, dtype=np.uint64)
    following = np.r_[points[1:], np.uint32(0)]
    ones = points != 0
    twos = ones & (following != 0)
    firsts = np.r_[points[ones], points[twos]]
    seconds = np.r_[np.zeros(ones.sum(), dtype=np.uint32), following[twos]]
    mixed = firsts * np.uint32(0x9E3779B1) + seconds * np.uint32(0x85EBCA77)
    mixed = (mixed ^ (mixed >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    mixed ^= mixed >> np.uint32(13)
    return mixed, np.r_[at[ones], at[twos]]


async def candidates(
    connection: Driver, index: WordIndex, terms: Sequence[Spellings]
) -> list[int] | None:
    """Rows of which the matching ones are some; None where the index would name too many."""
    table = _table(index.name)
    asked = {term: grams_of(term) for spellings in terms for term in spellings}
    wanted = sorted({gram for found in asked.values() for gram in found})
    counted = await connection.fetch(_sql(_counted(table)), wanted)
    held = {gram: (number, is_named) for gram, number, is_named in counted}
    best = min((_rarest(each, asked, held) for each in terms), key=lambda found: found[0])
    if best[0] > _MOST_READ:
        return None
    found = set[int]()
    for grams in best[1]:
        found.update(await connection.fetchval(_sql(_named(table)), grams, len(grams)) or ())
        if len(found) > MOST_ROWS:
            return None
    return sorted(found)


def _rarest(
    spellings: Spellings, asked: dict[str, list[int]], held: dict[int, tuple[int, bool]]
) -> tuple[int, list[list[int]]]:
    """For a term how many rows are to be read, and the grams of each spelling that narrow it."""
    number, chosen = 0, []
    for spelling in spellings:
        known = [(*held.get(gram, (0, True)), gram) for gram in asked[spelling]]
        usable = sorted((count, gram) for count, is_named, gram in known if is_named)
        if not usable:
            return _MOST_READ + 1, []
        few = 1 if usable[0][0] <= _RARE else _MOST_GRAMS
        number += sum(count for count, _ in usable[:few])
        chosen.append([gram for _, gram in usable[:few]])
    return number, chosen


def _counted(table: Table) -> Select[Any]:
    """By gram: how many rows hold it, and whether all of them are named."""
    is_named = func.bool_and(table.c.rows.is_not(None))
    statement = select(table.c.gram, func.sum(table.c.held), is_named).group_by(table.c.gram)
    return statement.where(table.c.gram == func.any(_ASKED))


def _named(table: Table) -> Select[Any]:
    """The rows that hold all of the grams, which are so many."""
    each = select(func.unnest(table.c.rows).label("row")).where(table.c.gram == func.any(_ASKED))
    row = each.subquery().c.row
    # A chunk names a row once a gram.
    held = select(row).group_by(row).having(func.count() == bindparam("number", type_=Integer()))
    most: ColumnElement[int] = literal_column(str(MOST_ROWS + 1))
    return select(func.array_agg(held.limit(most).subquery().c.row))


def _sql(statement: ClauseElement) -> str:
    return str(statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True}))
