"""What wire shapes have in common: input that knows its fields, text that is text. No domain."""

import re
from datetime import datetime
from typing import Annotated, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

from app.kit.clock import TOKYO

LONGEST_BODY: Final = 1024 * 1024  # of a JSON body; files have limits of their own
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
LARGEST: Final = 2**63 - 1  # number that PostgreSQL's bigint holds


class InShape(BaseModel):
    """Base of every body that comes in: an unknown field is refused."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class OutShape(BaseModel):
    """Base of every answer, cut out of the thing that a service returned."""

    model_config = ConfigDict(from_attributes=True)


def _is_text(text: str) -> str:
    # PostgreSQL's text takes no NUL, and a control character in a name is a mistake or an attack.
    if any(ord(sign) < 32 and sign not in "\t\n\r" for sign in text):
        raise PydanticCustomError(
            "control_character", "A control character (such as NUL) is not allowed. Take it out."
        )
    return text


def _can_be_told(time: datetime) -> datetime:
    # At the edges of the calendar a time has no counterpart in Japan, and no list with it is shown.
    if not 1900 <= time.year <= 9000:
        raise PydanticCustomError("year_out_of_range", "The year must be from 1900 to 9000.")
    return time


def _from_its_beginning(told: object) -> object:
    # TIME-03: a date alone is the first moment of that day in Japan.
    return f"{told}T00:00:00+09:00" if isinstance(told, str) and _DAY.fullmatch(told) else told


def _in_japan(time: datetime) -> datetime:
    return time.astimezone(TOKYO)


# TIME-01: one spelling of times in every answer.
Time = Annotated[datetime, AfterValidator(_in_japan)]
Moment = Annotated[AwareDatetime, AfterValidator(_can_be_told)]
Since = Annotated[AwareDatetime, BeforeValidator(_from_its_beginning)]
PlainText = AfterValidator(_is_text)
Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_is_text)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=4000), AfterValidator(_is_text)]
Slug = Annotated[str, StringConstraints(min_length=2, max_length=63, pattern=r"^[a-z0-9-]+$")]
