"""Forgetting a person: their consents end, and nothing tells any more whom anything was about.

It never changes the log, which verifies as before, nor records that organisations keep: to delete
those is theirs.
"""

from sqlalchemy.ext.asyncio import AsyncSession

from app.audit.accesses import forget_subject
from app.subjects import consents


async def forget(session: AsyncSession, names: consents.Names, *, by: str) -> int:
    """All but the names themselves, which the linker forgets when this is done for good: until then
    it can be done again. How many consents there were.
    """
    ended = await consents.forget(session, names, by=by)
    await forget_subject(session, names, by=by)
    return ended
