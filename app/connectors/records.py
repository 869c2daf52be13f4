"""Records that a kind has made of what its source speaks, as a table or as an answer. Asks nobody."""

import csv
import hashlib
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from pydantic_core import PydanticCustomError

from app.connectors.errors import CannotAnswer
from app.query.question import Question

Record = Mapping[str, Any]
_AT_ONCE: Final = 200  # records of a piece: 2 ms, and not much to hold where texts are long


async def as_csv(columns: Sequence[str], records: Sequence[Record]) -> AsyncIterator[bytes]:
    """A heading, always, and a line a record: a source without records still says what it has."""
    yield _lines([list(columns)])
    for at in range(0, len(records), _AT_ONCE):
        part = records[at : at + _AT_ONCE]
        yield _lines([[_cell(each.get(name)) for name in columns] for each in part])


async def in_batches(
    columns: Sequence[str], records: Sequence[Record]
) -> AsyncIterator[Sequence[Record]]:
    """The same as values, for a question."""
    for at in range(0, len(records), _AT_ONCE):
        yield [{name: each.get(name) for name in columns} for each in records[at : at + _AT_ONCE]]


def digest(records: Sequence[Record]) -> str:
    """What tells whether they are the same as before. Takes its time with many."""
    found = hashlib.sha256()
    for each in records:
        found.update(repr(each).encode("utf-8", "replace"))
    return found.hexdigest()


def check_columns(wanted: Sequence[str] | None, every: Sequence[str]) -> None:
    """Refuse, in a selection, a column that there is not. Raises what pydantic takes for an error."""
    for name in wanted or ():
        if name not in every:
            told = {"column": name, "known": ", ".join(every)}
            raise PydanticCustomError(
                "no_such_column", "There is no column {column}: there are {known}.", told
            )


def check_is_of_all(kind: str, question: Question) -> None:
    """Raises `CannotAnswer` for a question of less than all rows: `part` asks for no other."""
    if any((
        question.where, question.box, question.near, question.after, question.order,
        question.joins, question.limit is not None, question.offset,
    )):  # fmt: skip
        why_ja = "条件・並べ替え・件数は扱えません"
        raise CannotAnswer(connector=kind, why="it gives all rows alone", why_ja=why_ja)


def _lines(rows: Sequence[Sequence[str]]) -> bytes:
    into = io.StringIO()
    csv.writer(into).writerows(rows)
    return into.getvalue().encode("utf-8", "replace")


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return value.replace("\x00", "")
    return str(value)
