"""The controlled list of purposes of use. A purpose, once listed, is never taken away."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log as audit
from app.audit.events import Event
from app.kit.errors import AppError, Kind
from app.models.agreements import Purpose


class PurposeExists(AppError):
    """The list has this purpose already."""

    kind = Kind.CONFLICT
    code = "purpose_exists"
    ja = "利用目的 {purpose} は既にあります。"
    en = "The purpose {purpose} exists already."


async def list_purposes(session: AsyncSession) -> list[Purpose]:
    """The whole list by code."""
    return list(await session.scalars(select(Purpose).order_by(Purpose.code)))


async def add_purpose(
    session: AsyncSession, *, code: str, name_ja: str, name_en: str, by: str
) -> Purpose:
    """Add one purpose, or raise `PurposeExists`."""
    if await session.get(Purpose, code) is not None:
        raise PurposeExists(purpose=code)
    purpose = Purpose(code=code, name_ja=name_ja, name_en=name_en)
    session.add(purpose)
    await audit.append(session, Event.PURPOSE_ADDED, purpose=code, by=by)
    return purpose
