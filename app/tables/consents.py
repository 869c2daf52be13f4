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

from app.models.consents import Consent, ConsentName
from app.query.fields import Field
from app.query.question import Both, Condition, Consented

if TYPE_CHECKING:
    from app.tables.sql import Getter, Statements

_CONSENT: Final = cast(Table, Consent.__table__)
_NAME: Final = cast(Table, ConsentName.__table__)
FEW: Final = 5_000  # of so many each is looked up; of more, each row's own is
COUNT: Final = """
SELECT count(*) FROM (
    SELECT FROM subject_consent_name WHERE dataset_id = $1 AND consumer_id = $2 AND purpose = $3
    LIMIT $4
) counted
"""


def consented(parts: "Statements", part: Consented, get: "Getter") -> ColumnElement[bool]:
    """Whether the person whom the row names consents.

    Both ways ask the same. Of few consents the rows are found by the subject's index; of many each
    row's own is found by the names' primary key, as many as the page needs.
    """
    subject = parts.column(part.field)
    if parts.by_few_consents:
        names = _in_force(parts, part, get, _NAME.c.name).scalar_subquery()
        return subject == func.any(func.array(names, type_=ARRAY(Text())))
    # OFFSET keeps the planner from beginning with everybody's consents, to sort them first.
    one = _in_force(parts, part, get, literal(1)).where(_NAME.c.name == subject)
    return one.offset(0).exists()


def _in_force(
    parts: "Statements", part: Consented, get: "Getter", *found: ColumnElement[Any]
) -> Select[Any]:
    """The names of those who consent now to all of the columns."""
    now = parts.bind(lambda reading: reading.now, DateTime(timezone=True))
    columns = parts.bind(lambda reading: list(get(reading).columns), ARRAY(Text()))
    return (
        select(*found)
        .select_from(_NAME.join(_CONSENT, _CONSENT.c.id == _NAME.c.consent_id))
        .where(
            _NAME.c.dataset_id == parts.bind(lambda reading: get(reading).dataset_id, Text()),
            _NAME.c.consumer_id == parts.bind(lambda reading: get(reading).consumer_id, Text()),
            _NAME.c.purpose == parts.bind(lambda reading: get(reading).purpose, Text()),
            _CONSENT.c.withdrawn_at.is_(None),
            _CONSENT.c.given_at <= now,
            _CONSENT.c.valid_until > now,
            _CONSENT.c.columns.contains(columns),
        )
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
