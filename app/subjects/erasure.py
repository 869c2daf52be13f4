"""What is done before a person is forgotten, at their word. The log stays as it is and verifies."""

from sqlalchemy.ext.asyncio import AsyncSession

from app.audit.accesses import forget_subject
from app.kit import clock
from app.kit.errors import AppError, Kind
from app.subjects import consents
from app.subjects.linker import Linker, PersonRef


class PersonUnknown(AppError):
    """The organisation has no such name for anybody, or whom it named was forgotten."""

    kind = Kind.NOT_FOUND
    code = "person_unknown"
    ja = "{organization} のその名前が示す人はいません。名前を確かめてください。"
    en = "No person has that name at {organization}. Check the name."


async def find(linker: Linker, organization_id: str, name: str) -> PersonRef:
    """Whom an organisation's name names, or `PersonUnknown`."""
    person = await linker.person(organization_id, name)
    if person is None:
        raise PersonUnknown(organization=organization_id)
    return person


async def end_all(session: AsyncSession, linker: Linker, person: PersonRef, *, by: str) -> int:
    """End the consents of a person and let the log tell nothing of them; how many consents ended.

    Once it is committed the linker may forget them: before, nobody could do this a second time.
    """
    names, now = await linker.names(person), clock.now()
    given = await consents.list_of(session, names)
    standing = [each.id for each in given if each.withdrawn_at is None and now < each.valid_until]
    for each in standing:
        await consents.withdraw(session, each, names=names, by=by)
    await forget_subject(session, names, by=by)
    return len(standing)
