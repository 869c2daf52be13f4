"""A statement compiled once, and what it takes its values from. It runs none."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Select
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect

from app.tables.sql import Getter, Reading, Statements

_DIALECT: Final = asyncpg_dialect.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Text with numbered parameters; each has a getter of a `Reading`."""

    sql: str
    getters: tuple[Getter, ...]

    def values(self, reading: Reading) -> list[Any]:
        """What this reading puts in."""
        return [get(reading) for get in self.getters]


def compile_statement(parts: Statements, statement: Select[Any]) -> Prepared:
    """The statement as PostgreSQL takes it, with the getters that its parts collected."""
    compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    constants = compiled.params  # worked out anew each time it is asked for
    getters = tuple(
        parts.getters[name] if name in parts.getters else _constant(constants[name])
        for name in compiled.positiontup or ()
    )
    return Prepared(str(compiled), getters)


def _constant(value: object) -> Getter:
    """What the statement brings along, whatever is asked."""
    return lambda _reading: value
