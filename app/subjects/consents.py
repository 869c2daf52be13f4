"""Consents: given, withdrawn and listed, by the names that the person has at the provider.

It never changes a consent but by its withdrawal, and never tells the log whom one is of.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, and_, delete, false, func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log as audit
from app.audit.events import Event
from app.kit import clock
from app.kit.errors import AppError, Kind
from app.models.consents import Consent, ConsentName, ConsentText
from app.subjects.linker import MOST_AT_ONCE
from app.subjects.texts import NothingToConsentTo, offer

__all__ = ["NothingToConsentTo", "offer"]  # and what is defined here

Names = Mapping[str, frozenset[str]]  # a person's, by organisation


class ConsentNotFound(AppError):
    """There is no such consent, or it is another person's or of other parties."""

    kind = Kind.NOT_FOUND
    code = "consent_not_found"
    ja = "同意 {id} はありません。"
    en = "There is no consent {id}."


class ConsentTextNotInForce(AppError):
    """The text was never shown, or is no longer what would be agreed to."""

    kind = Kind.CONFLICT
    code = "consent_text_not_in_force"
    ja = (
        "この同意文は、今の内容のものではありません。今の同意文を示すところからやり直してください。"
    )
    en = "This text is not the one in force. Begin again, so that the one in force is shown."


class PersonNotNamed(AppError):
    """The provider has no name for the person, hence no record of theirs."""

    kind = Kind.CONFLICT
    code = "person_not_named"
    ja = "提供元 {provider} には、この本人を示す名前がありません。提供元に確認してください。"
    en = "The provider {provider} has no name for this person. Ask the provider."


class ConsentAlreadyGiven(AppError):
    """A consent of the person to the same is in force."""

    kind = Kind.CONFLICT
    code = "consent_already_given"
    ja = "同じ提供先と利用目的への同意 {id} が有効です。改めるときは、先に撤回してください。"
    en = "The consent {id} to the same consumer and purpose is in force. Withdraw it first."


class ConsentPeriodInvalid(AppError):
    """The consent would end before it begins."""

    kind = Kind.INVALID
    code = "consent_period_invalid"
    ja = "valid_until には将来の日時を指定してください。"
    en = "Give a time to come as valid_until."


async def list_of(session: AsyncSession, names: Names) -> Sequence[Consent]:
    """All of one person's, the newest first: in force, withdrawn and over."""
    found = select(Consent).where(_is_of(names))
    return (await session.scalars(found.order_by(Consent.given_at.desc(), Consent.id))).all()


async def list_of_party(
    session: AsyncSession,
    organization_id: str,
    *,
    provides: bool,
    dataset_id: str | None,
    after: UUID | None,
    limit: int,
) -> Sequence[Consent]:
    """Those given to an organisation, with `provides` also those on its data, by id."""
    mine = Consent.consumer_id == organization_id
    if provides:
        mine = or_(mine, Consent.provider_id == organization_id)
    found = select(Consent).where(mine)
    if dataset_id is not None:
        found = found.where(Consent.dataset_id == dataset_id)
    if after is not None:
        found = found.where(Consent.id > after)
    return (await session.scalars(found.order_by(Consent.id).limit(limit))).all()


async def names_of(session: AsyncSession, consent_ids: Sequence[UUID]) -> Mapping[UUID, str]:
    """One name of the person of each, the provider's: for the linker, who knows all of them."""
    found = select(ConsentName.consent_id, func.min(ConsentName.name)).where(
        ConsentName.consent_id.in_(consent_ids)
    )
    return {
        each: name for each, name in await session.execute(found.group_by(ConsentName.consent_id))
    }


async def names_in_force(
    session: AsyncSession, organization_id: str
) -> AsyncGenerator[Sequence[str], None]:
    """The names at an organisation by which somebody consents now, some at a time."""
    after = ""
    while True:
        found = select(ConsentName.name).distinct().where(
            ConsentName.organization_id == organization_id,
            ConsentName.withdrawn_at.is_(None),
            ConsentName.valid_until > clock.now(),
            ConsentName.name > after,
        )  # fmt: skip
        names = (await session.scalars(found.order_by(ConsentName.name).limit(MOST_AT_ONCE))).all()
        if not names:
            return
        yield names
        after = names[-1]


async def get_text(session: AsyncSession, text_sha256: str) -> ConsentText:
    """A text by its hash, in force or not. Raises `ConsentTextNotInForce`."""
    found = await session.get(ConsentText, text_sha256) if "\x00" not in text_sha256 else None
    if found is None:
        raise ConsentTextNotInForce
    return found


async def text_in_force(session: AsyncSession, text_sha256: str) -> ConsentText:
    """The text of that hash, if the same would be shown now; else `ConsentTextNotInForce`.

    The session is one that commits: what would be shown now is kept.
    """
    shown = await get_text(session, text_sha256)
    now_shown = await offer(
        session, dataset_id=shown.dataset_id, consumer_id=shown.consumer_id, purpose=shown.purpose
    )
    if now_shown.sha256 != text_sha256:
        raise ConsentTextNotInForce
    return shown


async def get(session: AsyncSession, consent_id: UUID, *, lock: bool = False) -> Consent:
    """One by its id, whosesoever. Raises `ConsentNotFound`."""
    found = await session.get(Consent, consent_id, with_for_update=lock or None)
    if found is None:
        raise ConsentNotFound(id=consent_id)
    return found


async def get_own(session: AsyncSession, consent_id: UUID, names: Names) -> Consent:
    """One of the person's own. Raises `ConsentNotFound`, also for another person's."""
    consent = await get(session, consent_id)
    if not await _is_theirs(session, consent, names):
        raise ConsentNotFound(id=consent_id)
    return consent


async def give(
    session: AsyncSession,
    *,
    names: Names,
    text_sha256: str,
    valid_until: datetime | None,
    method: str,
    acr: str | None,
    by: str,
) -> Consent:
    """Record that a person consents to what the text says, which they were shown.

    `valid_until` is cut to the end that the text names. Raises `ConsentTextNotInForce`,
    `NothingToConsentTo`, `PersonNotNamed`, `ConsentPeriodInvalid`, `ConsentAlreadyGiven`.
    """
    shown = await text_in_force(session, text_sha256)
    theirs = names.get(shown.provider_id, frozenset())
    if not theirs:
        raise PersonNotNamed(provider=shown.provider_id)
    now = clock.now()
    until = min(valid_until or shown.valid_until, shown.valid_until)
    if until <= now:
        raise ConsentPeriodInvalid
    await _refuse_second(session, shown, theirs, now)
    consent = Consent(
        id=uuid4(), dataset_id=shown.dataset_id, provider_id=shown.provider_id,
        consumer_id=shown.consumer_id, purpose=shown.purpose, columns=shown.columns,
        text_sha256=shown.sha256, text=shown, method=method, acr=acr,
        given_at=now, given_by=by, valid_until=until,
    )  # fmt: skip
    session.add(consent)
    await session.flush()
    await _name(session, consent, theirs)
    await _tell(session, Event.CONSENT_GIVEN, consent, method=method)
    return consent


async def withdraw(
    session: AsyncSession, consent_id: UUID, *, names: Names | None, by: str
) -> Consent:
    """End a consent: the next read, of whatever version, leaves the person out. Once is enough.

    `names` are the person's own; None: the provider's steward withdraws, whom the door has checked.
    Raises `ConsentNotFound`, also for another person's.
    """
    consent = await get(session, consent_id, lock=True)
    if names is not None and not await _is_theirs(session, consent, names):
        raise ConsentNotFound(id=consent_id)
    if consent.withdrawn_at is not None:
        return consent
    consent.withdrawn_at, consent.withdrawn_by = clock.now(), by
    await session.flush()
    withdrew = "provider" if names is None else "person"
    await _tell(session, Event.CONSENT_WITHDRAWN, consent, withdrew=withdrew)
    return consent


async def forget(session: AsyncSession, names: Names, *, by: str) -> int:
    """End a person's consents, and let nothing say any more whose they were; how many they were.

    That somebody consented to a text, from when to when, stays.
    """
    theirs = await list_of(session, names)
    for each in theirs:
        await withdraw(session, each.id, names=names, by=by)
    gone = delete(ConsentName).where(ConsentName.consent_id.in_([each.id for each in theirs]))
    await session.execute(gone)
    return len(theirs)


async def renamed(
    session: AsyncSession, organization_id: str, pairs: Sequence[tuple[str, str]]
) -> None:
    """Let consents known by the one name at an organisation be known by the other too."""
    added = text("""
        INSERT INTO subject_consent_name (consent_id, name, organization_id)
        SELECT n.consent_id, given.other, n.organization_id
        FROM unnest(CAST(:ones AS text[]), CAST(:others AS text[])) AS given (one, other)
        JOIN subject_consent_name n ON n.organization_id = :organization AND n.name = given.one
        WHERE n.withdrawn_at IS NULL AND NOT EXISTS (
            SELECT FROM subject_consent_name known
            WHERE (known.consent_id, known.name) = (n.consent_id, given.other)
        )
        ON CONFLICT DO NOTHING
    """)
    named = {"ones": [one for one, _ in pairs], "others": [other for _, other in pairs]}
    await session.execute(added, {"organization": organization_id, **named})


async def _refuse_second(
    session: AsyncSession, shown: ConsentText, theirs: frozenset[str], now: datetime
) -> None:
    """Of two that come at once the second waits, and is refused."""
    on = (shown.dataset_id, shown.consumer_id, shown.purpose)
    await session.execute(
        select(func.pg_advisory_xact_lock(func.hashtextextended("\x1f".join(("consent", *on)), 0)))
    )
    standing = await session.scalar(
        select(Consent.id)
        .where(
            _is_of({shown.provider_id: theirs}),
            Consent.dataset_id == shown.dataset_id,
            Consent.consumer_id == shown.consumer_id,
            Consent.purpose == shown.purpose,
            Consent.withdrawn_at.is_(None),
            Consent.valid_until > now,
        )
        .limit(1)
    )
    if standing is not None:
        raise ConsentAlreadyGiven(id=standing)


async def _name(session: AsyncSession, consent: Consent, names: frozenset[str]) -> None:
    """Older names too: tables that were loaded under them hold them still."""
    added = text("""
        INSERT INTO subject_consent_name (consent_id, name, organization_id)
        SELECT :consent, unnest(CAST(:names AS text[])), :organization
    """)
    given = {"consent": consent.id, "names": sorted(names), "organization": consent.provider_id}
    await session.execute(added, given)


async def _is_theirs(session: AsyncSession, consent: Consent, names: Names) -> bool:
    found = select(Consent.id).where(Consent.id == consent.id, _is_of(names))
    return await session.scalar(found) is not None


def _is_of(names: Names) -> ColumnElement[bool]:
    """Whether a consent is of whom the names name, each at its own organisation."""
    named = or_(
        false(),
        *(
            and_(ConsentName.organization_id == each, ConsentName.name.in_(sorted(those)))
            for each, those in names.items()
        ),
    )
    return Consent.id.in_(select(ConsentName.consent_id).where(named))


async def _tell(session: AsyncSession, event: Event, consent: Consent, **more: str) -> None:
    """Whom it is of stands in no entry: the consent's id leads there, for whom may follow it."""
    await audit.append(
        session, event, consent=str(consent.id), dataset=consent.dataset_id,
        provider=consent.provider_id, consumer=consent.consumer_id, purpose=consent.purpose,
        text=consent.text_sha256, **more,
    )  # fmt: skip
