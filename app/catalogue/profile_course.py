"""The way of a profile version from draft to its end; what it says of fields is not its matter."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log
from app.audit.events import Event
from app.catalogue.profile_refusals import ProfileInvalid, ProfileIsDraft, ProfileSunset
from app.catalogue.profiles import Registrar, check_owner, get_living, get_usable
from app.catalogue.refusals import ProfileNotFound
from app.kit import clock
from app.kit.errors import Fault
from app.models.profiles import Profile, ProfileState


@dataclass(frozen=True, slots=True)
class Course:
    """Where a version is to go, and what its readers are told."""

    state: ProfileState
    deprecated_at: datetime | None = None
    sunset_at: datetime | None = None
    successor: tuple[str, int] | None = None
    note_ja: str | None = None
    note_en: str | None = None


async def set_course(
    session: AsyncSession, profile: Profile, course: Course, who: Registrar
) -> Profile:
    """Publish a draft, deprecate a version or set its end; or take a deprecation back.

    Raises `ProfileNotOwned`, `ProfileInvalid`, `ProfileSunset`.
    """
    await check_owner(session, profile.name, who)
    profile = await session.get_one(
        Profile, (profile.name, profile.version), with_for_update=True, populate_existing=True
    )
    await get_living(session, profile.name, profile.version)
    faults = await _course_faults(session, profile, course)
    if faults:
        raise ProfileInvalid(faults=faults)
    now = clock.now()
    if course.state is ProfileState.PUBLISHED:
        profile.published_at = profile.published_at or now
        profile.deprecated_at = profile.sunset_at = None
    else:
        _end(profile, course, now)
    profile.successor_name, profile.successor_version = course.successor or (None, None)
    profile.note_ja, profile.note_en = course.note_ja, course.note_en
    named = f"{profile.name}/{profile.version}"
    await log.append(
        session, Event.PROFILE_CHANGED, profile=named, state=course.state.value, by=who.by
    )
    return profile


def _end(profile: Profile, course: Course, now: datetime) -> None:
    begun = course.deprecated_at or profile.deprecated_at or now
    end = course.sunset_at
    if course.state is ProfileState.SUNSET:
        end = end or now
        begun = min(begun, end)  # what ends has been deprecated by then
    profile.deprecated_at, profile.sunset_at = begun, end


async def _course_faults(session: AsyncSession, profile: Profile, course: Course) -> list[Fault]:
    faults = []
    ends = course.state in (ProfileState.DEPRECATED, ProfileState.SUNSET)
    if course.state is ProfileState.DRAFT or (ends and profile.published_at is None):
        faults.append(
            Fault("/state", "wrong_state", "この状態にはできません。", "It cannot take that state.")
        )
    if ends and not course.note_ja:
        faults.append(
            Fault("/note_ja", "required", "移行の案内を書いてください。", "Say how to move on.")
        )
    begun = course.deprecated_at or profile.deprecated_at
    if (
        course.state is ProfileState.DEPRECATED
        and course.sunset_at
        and course.sunset_at < (begun or clock.now())
    ):
        faults.append(Fault("/sunset_at", "date_order", "deprecated_at 以後にしてください（RFC 9745 4節）。",
                            "It must not be before deprecated_at (RFC 9745, 4)."))  # fmt: skip
    if course.successor is not None:
        faults += await _successor_faults(session, profile, course.successor)
    return faults


async def _successor_faults(
    session: AsyncSession, profile: Profile, successor: tuple[str, int]
) -> list[Fault]:
    if successor != (profile.name, profile.version):
        try:
            await get_usable(session, *successor)
        except (ProfileNotFound, ProfileSunset, ProfileIsDraft) as no:
            return [Fault("/successor", no.code, no.words("ja"), no.words("en"))]
        return []
    return [
        Fault(
            "/successor",
            "own_successor",
            "自分自身は後継にできません。",
            "It cannot succeed itself.",
        )
    ]
