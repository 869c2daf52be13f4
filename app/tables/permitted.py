"""A condition on the rows of one table, for statements that are not questions. Its values go along."""

from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ColumnElement, FromClause, literal, true
from sqlalchemy.types import TypeEngine

from app.query.fields import Field
from app.query.question import Condition
from app.tables.conditions import condition_sql
from app.tables.sql import Getter, Statements


@dataclass(frozen=True, slots=True)
class _Rows:
    """As much of a statement as a condition without places asks for."""

    rows: FromClause

    def column(self, field: Field) -> ColumnElement[Any]:
        return self.rows.c[field.column]

    def bind(self, getter: Getter, kind: TypeEngine[Any]) -> ColumnElement[Any]:
        return literal(getter(cast(Any, None)), kind)


def meets(rows: FromClause, condition: Condition | None) -> ColumnElement[bool]:
    """Whether a row is known to meet the condition: never unknown. Places cannot be asked for."""
    if condition is None:
        return true()
    parts = cast(Statements, _Rows(rows))
    return condition_sql(parts, condition, lambda _reading: condition).is_(True)
