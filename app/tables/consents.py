"""Whose consent is in force, as a sub-query of the very statement that reads the rows: what was
withdrawn before it began lets no row out. It never makes a list of people, here or in memory.
"""

from typing import TYPE_CHECKING, Any, Final, cast

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Select,
    Table,
    Text,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY

from app.models.consents import ConsentName, ConsentText
from app.query.fields import Field
from app.query.question import Both, Condition, Consented

if TYPE_CHECKING:
    from app.tables.sql import Getter, Statements

_TEXT: Final = cast(Table, ConsentText.__table__)
_NAME: Final = cast(Table, ConsentName.__table__)
FEW: Final = 5_000  # of so many each is looked up; of more, each row's own is
COUNT: Final = """
SELECT count(*) FROM (
    SELECT FROM subject_consent_name WHERE withdrawn_at IS NULL AND text_number IN (
        SELECT number FROM consent_text WHERE dataset_id = $1 AND consumer_id = $2 AND purpose = $3
    ) LIMIT $4
) counted
"""


def consented(parts: "Statements", part: Consented, get: "Getter") -> ColumnElement[bool]:
    """Whether the person whom the row names consents.

    All ways ask the same. Of few consents the rows are found by the subject's index; of many each
    row's own is looked for, as many as a page needs, or all of them at once for all rows.
    """
    subject = parts.column(part.field)
    if parts.by_few_consents:
        names = _in_force(parts, get, _NAME.c.name).scalar_subquery()
        return subject == func.any(func.array(names, type_=ARRAY(Text())))
    if not parts.is_page:
        return subject.in_(_in_force(parts, get, _NAME.c.name))
    # OFFSET keeps the planner from beginning with everybody's consents, to sort them first.
    one = _in_force(parts, get, literal(1)).where(_NAME.c.name == subject)
    return one.offset(0).exists()


def _in_force(parts: "Statements", get: "Getter", *found: ColumnElement[Any]) -> Select[Any]:
    """The names of those who consent now to all of the columns."""
    now = parts.bind(lambda reading: reading.now, DateTime(timezone=True))
    return select(*found).where(
        _NAME.c.text_number == func.any(func.array(_texts(parts, get).scalar_subquery())),
        _NAME.c.withdrawn_at.is_(None),
        _NAME.c.given_at <= now,
        _NAME.c.valid_until > now,
    )


def _texts(parts: "Statements", get: "Getter") -> Select[Any]:
    """The texts that name at least these columns: asked for once in the statement, and few."""
    columns = parts.bind(lambda reading: list(get(reading).columns), ARRAY(Text()))
    return select(_TEXT.c.number).where(
        _TEXT.c.dataset_id == parts.bind(lambda reading: get(reading).dataset_id, Text()),
        _TEXT.c.consumer_id == parts.bind(lambda reading: get(reading).consumer_id, Text()),
        _TEXT.c.purpose == parts.bind(lambda reading: get(reading).purpose, Text()),
        _TEXT.c.columns.contains(columns),
    )


def consent_of(where: Condition | None) -> Consented | None:
    """What every row must have its person's consent to, whatever else is asked."""
    if isinstance(where, Both):
        found = (consent_of(each) for each in where.parts)
        return next((each for each in found if each is not None), None)
    return where if isinstance(where, Consented) else None


def is_indexed(table: Table, field: Field) -> bool:
    """Whether rows are found by the field."""
    columns = (list(index.columns) for index in table.indexes)
    return any(found and found[0] is table.c[field.column] for found in columns)
