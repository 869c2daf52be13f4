"""Pages of a list: a limit and an opaque cursor that names the last entry. Holds no state."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field

from app.kit.errors import AppError, Fault, Kind

Item = TypeVar("Item")
Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many entries")]
Cursor = Annotated[str | None, Query(max_length=500, description="`next` of the page before")]


class WrongCursor(AppError):
    """The cursor is not one that a page gave."""

    kind = Kind.MALFORMED
    code = "invalid_cursor"
    ja = "cursor は前のページの next をそのまま指定してください。"
    en = "Give as cursor the `next` of the page before, unchanged."

    def __init__(self) -> None:
        super().__init__(faults=[Fault("cursor", self.code, self.ja, self.en)])


class PageOut(BaseModel, Generic[Item]):
    """One page. `next` is absent on the last one."""

    items: list[Item]
    next: str | None = Field(default=None, description="cursor of the next page")


def page(found: Sequence[Any], limit: int, key: Callable[[Any], object]) -> dict[str, Any]:
    """The page of a list that was asked for one entry more than `limit`."""
    more = len(found) > limit
    kept = found[:limit]
    return {"items": kept, "next": cursor_of(str(key(kept[-1]))) if more else None}


def cursor_of(last: str) -> str:
    """The cursor that names the last entry of a page."""
    return base64.urlsafe_b64encode(last.encode()).decode().rstrip("=")


def after(cursor: str | None) -> str | None:
    """What the cursor names, or `WrongCursor`."""
    if cursor is None:
        return None
    try:
        padded = (cursor + "=" * (-len(cursor) % 4)).encode("ascii")
        named = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as exc:
        raise WrongCursor from exc
    if not named or not named.isprintable():
        raise WrongCursor
    return named


def after_id(cursor: str | None) -> UUID | None:
    """The UUID that the cursor names, or `WrongCursor`."""
    named = after(cursor)
    try:
        return UUID(named) if named is not None else None
    except ValueError as exc:
        raise WrongCursor from exc


def after_number(cursor: str | None) -> int | None:
    """The number that the cursor names, or `WrongCursor`."""
    named = after(cursor)
    if named is None:
        return None
    if not named.isascii() or not named.isdigit() or len(named) > 18:
        raise WrongCursor
    return int(named)
