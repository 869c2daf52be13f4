"""Which rows an agreement is on: a condition that the provider sets or accepts. Reads no row."""

from collections.abc import Mapping
from typing import Final

from app.kit.errors import AppError, Fault
from app.query.cql import parse_text
from app.query.fields import Field
from app.query.params import Known
from app.query.question import Condition

MOST_CHARACTERS: Final = 2_000


def read_rows(rows: str, fields: Mapping[str, Field]) -> Condition:
    """The condition that a row must meet, over every field: also those that do not leave.

    Raises what the parser raises, where the fields are no longer those that were agreed on.
    """
    known = Known(fields, frozenset(fields), {})
    return parse_text(rows, known.find, known.place)


def check_rows(rows: str | None, fields: Mapping[str, Field]) -> list[Fault]:
    """What is wrong with a condition on rows, if anything."""
    if rows is None:
        return []
    if len(rows) > MOST_CHARACTERS:
        return [Fault(
            "/rows", "rows_too_long", f"{MOST_CHARACTERS}文字以内にしてください。",
            f"At most {MOST_CHARACTERS} characters.",
        )]  # fmt: skip
    try:
        read_rows(rows, fields)
    except AppError as wrong:
        if wrong.faults:
            return [Fault("/rows", each.code, each.ja, each.en) for each in wrong.faults]
        return [Fault("/rows", wrong.code, wrong.words("ja"), wrong.words("en"))]
    return []
