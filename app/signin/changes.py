"""How a local account comes by its password and second factor, and loses them.

A password comes by a link that works once; nobody else ever knows it. Each change ends sessions.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log as audit
from app.audit.events import Event
from app.kit import clock
from app.kit.errors import AppError, Kind
from app.models.people import Person, PersonSession, PersonSetUp
from app.signin.passwords import check_password, hash_password
from app.signin.sessions import hash_of

LINK_LASTS: Final = timedelta(hours=24)
_PATH: Final = "/set-up"


class SetUpRefused(AppError):
    """The link opens nothing: wrong, used, replaced by a newer one, or too old."""

    kind = Kind.NOT_FOUND
    code = "set_up_refused"
    ja = "このリンクは使えません（使用済み・期限切れ・差し替え済み）。運営者に新しいリンクを依頼してください。"
    en = "This link opens nothing: used, too old or replaced. Ask the operator for a new one."


class SignsInElsewhere(AppError):
    """Who signs in with their organisation's provider has no password here."""

    kind = Kind.CONFLICT
    code = "signs_in_elsewhere"
    ja = (
        "職員 {person} は組織の認証基盤でサインインします。パスワードと二要素はそちらで管理します。"
    )
    en = "{person} signs in with their organisation's provider, which keeps password and factors."


class SecondFactorSetUp(AppError):
    """A second factor is taken away by an operator, not replaced by whoever holds a session."""

    kind = Kind.CONFLICT
    code = "second_factor_set_up"
    ja = "二要素認証は設定済みです。機器を替えるときは、運営者に再設定を依頼してください。"
    en = "A second factor is set up. For another device ask the operator to reset it."


@dataclass(frozen=True, slots=True)
class SetUpLink:
    """The address that a person sets their password at: shown once, works once."""

    url: str
    expires_at: datetime


async def make_link(session: AsyncSession, person: Person, issuer: str, *, by: str) -> SetUpLink:
    """A link for a person's first or next password; one made before opens nothing any more.

    Raises `SignsInElsewhere`.
    """
    if person.provider_id is not None:
        raise SignsInElsewhere(person=person.id)
    secret = secrets.token_urlsafe(32)
    now = clock.now()
    await session.flush()  # somebody new stands in the table before what refers to them
    await session.execute(delete(PersonSetUp).where(PersonSetUp.person_id == person.id))
    session.add(
        PersonSetUp(
            secret_sha256=hash_of(secret),
            person_id=person.id,
            created_at=now,
            created_by=by,
            expires_at=now + LINK_LASTS,
        )
    )
    await audit.append(session, Event.PERSON_CHANGED, person=person.id, state="link_made", by=by)
    return SetUpLink(f"{issuer}{_PATH}?key={secret}", now + LINK_LASTS)


async def reset(
    session: AsyncSession, person: Person, *, password: bool, totp: bool, by: str
) -> None:
    """Take a password, a second factor or both from somebody, and end their sessions.

    Raises `SignsInElsewhere`.
    """
    if person.provider_id is not None:
        raise SignsInElsewhere(person=person.id)
    if password:
        person.password_hash = None
    if totp:
        person.totp_sealed = person.totp_confirmed_at = person.totp_step = None
    person.failures, person.locked_until = 0, None
    await _end_sessions(session, person.id)
    what = [name for name, taken in (("password", password), ("totp", totp)) if taken]
    await audit.append(session, Event.PERSON_CHANGED, person=person.id, reset=what, by=by)


async def find_by_link(session: AsyncSession, key: str) -> Person:
    """Whose password the link sets, or `SetUpRefused`. Looking uses nothing up."""
    found: Person | None = await session.scalar(
        select(Person)
        .join(PersonSetUp, PersonSetUp.person_id == Person.id)
        .where(PersonSetUp.secret_sha256 == hash_of(key), PersonSetUp.expires_at > clock.now())
        .where(Person.disabled_at.is_(None), Person.provider_id.is_(None))
    )
    if found is None:
        raise SetUpRefused
    return found


async def use_link(session: AsyncSession, key: str, hashed: str) -> None:
    """Set the password that a link stands for, once. Raises `SetUpRefused`."""
    person = await find_by_link(session, key)
    used = await session.scalar(
        delete(PersonSetUp)
        .where(PersonSetUp.secret_sha256 == hash_of(key))
        .returning(PersonSetUp.person_id)
    )
    if used is None:  # another was faster
        raise SetUpRefused
    await set_password(session, person.id, hashed)


async def hash_for(person: Person, password: str) -> str:
    """The hash of a new password of this person. Raises `PasswordRefused`.

    It takes long: no transaction waits for it.
    """
    check_password(password, (person.name, person.email))
    return await hash_password(password)


async def set_totp(
    session: AsyncSession, person_id: str, sealed: bytes, step: int, *, keeping: str
) -> None:
    """Give somebody their second factor, proven by a first code; only this session stays open.

    Raises `SecondFactorSetUp`.
    """
    done = await session.scalar(
        update(Person)
        .where(Person.id == person_id, Person.totp_confirmed_at.is_(None))
        .values(totp_sealed=sealed, totp_confirmed_at=clock.now(), totp_step=step)
        .returning(Person.id)
    )
    if done is None:
        raise SecondFactorSetUp
    await _end_sessions(session, person_id, keeping=keeping)
    await audit.append(
        session, Event.PERSON_CHANGED, person=person_id, state="totp_set_up", by=person_id
    )


async def set_password(
    session: AsyncSession, person_id: str, hashed: str, *, keeping: str | None = None
) -> None:
    """Change a password, and end every session but the one that is `keeping` it open."""
    await session.execute(
        update(Person)
        .where(Person.id == person_id)
        .values(password_hash=hashed, failures=0, locked_until=None)
    )
    await _end_sessions(session, person_id, keeping=keeping)
    await audit.append(
        session, Event.PERSON_CHANGED, person=person_id, state="password_set", by=person_id
    )


async def _end_sessions(
    session: AsyncSession, person_id: str, *, keeping: str | None = None
) -> None:
    ended = delete(PersonSession).where(PersonSession.person_id == person_id)
    if keeping is not None:
        ended = ended.where(PersonSession.secret_sha256 != hash_of(keeping))
    await session.execute(ended)


async def forget_links(pool: "asyncpg.Pool[Any]") -> None:
    """Delete links that are too old to open anything."""
    await pool.execute("DELETE FROM person_set_up WHERE expires_at < $1", clock.now())
