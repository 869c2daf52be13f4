"""New names for an organisation, and new keys of them: logged by whom and how many, never a name."""

from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log
from app.audit.events import Event
from app.subjects import consents
from app.subjects.linker import Linker


async def name_people(
    session: AsyncSession, linker: Linker, organization_id: str, count: int, *, by: str
) -> list[str]:
    """The organisation's names for so many people whom nobody has named before."""
    names = await linker.new_people(organization_id, count)
    told = {"organization": organization_id, "count": count, "by": by}
    await log.append(session, Event.SUBJECTS_NAMED, **told)
    return names


async def rotate(session: AsyncSession, linker: Linker, organization_id: str, *, by: str) -> int:
    """Give the organisation a new key for names that are made from now on; the key's number.

    Consents that were given by older names hold by the newer too: records come with either.
    """
    number = await linker.rotate(organization_id)
    async for names in consents.names_in_force(session, organization_id):
        await linker.translate(names, of=organization_id, for_=organization_id)  # which makes them
        known = await linker.every_name(names, of=organization_id, for_=organization_id)
        pairs = [(name, each) for name, those in known.items() for each in those - {name}]
        await consents.renamed(session, organization_id, pairs)
    told = {"organization": organization_id, "number": number, "by": by}
    await log.append(session, Event.SUBJECT_KEY_ROTATED, **told)
    return number
