"""Answers to authorization requests: a code or a refusal, each request once. Asks nobody anything."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg
from sqlalchemy import delete, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log as audit
from app.audit.events import Event
from app.kit import clock
from app.kit.db import Database
from app.models.authorization import AppGrant, AuthorizationCode, PushedRequest
from app.models.citizens import CitizenAllowed, CitizenSession
from app.oauth.pushed import Pending, RequestUnknown
from app.oauth.tokens import LIFETIME_S, ONE_FACTOR, SKEW_S, TWO_FACTORS
from app.policy.assurance import Level

LIFETIME: Final = timedelta(seconds=60)
_CONSENT_LASTS: Final = timedelta(hours=8)  # no sign-in lasts longer
_IS_CONSENTED: Final = """
SELECT EXISTS (SELECT FROM consent WHERE person_id = $1 AND client_id = $2 AND signed_in_at = $3
    AND what = $4 AND expires_at > $5)
"""
_IS_ALLOWED: Final = """
SELECT EXISTS (SELECT FROM citizen_allowed WHERE secret_sha256 = $1 AND client_id = $2 AND what = $3)
"""
_FORGET: Final = (
    # A used code is kept while its token may live: who shows it again ends the token.
    ("DELETE FROM authorization_code WHERE expires_at < $1", LIFETIME_S + 2 * SKEW_S),
    ("DELETE FROM consent WHERE expires_at < $1", 0),
)


@dataclass(frozen=True, slots=True)
class Proven:
    """Who answers, and how they have proven who they are."""

    person_id: str
    organization_id: str
    methods: tuple[str, ...]  # RFC 8176
    signed_in_at: datetime
    second_factor_at: datetime | None

    @property
    def acr(self) -> str:
        """How much was proven."""
        return ONE_FACTOR if self.second_factor_at is None else TWO_FACTORS

    @property
    def auth_time(self) -> datetime:
        """When the highest of the factors was proven."""
        return self.second_factor_at or self.signed_in_at


@dataclass(frozen=True, slots=True)
class ProvenCitizen:
    """Which citizen answers, for the one app alone, and how surely they signed in."""

    subject: str  # what the client's organisation calls them
    organization_id: str  # the client's
    level: Level
    signed_in_at: datetime
    session: bytes  # the key of the session, which names nobody


class Answers:
    """Gives codes and refusals, and remembers consents. One a process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def has_consented(self, pending: Pending, who: Proven) -> bool:
        """Whether they let the app have exactly this before, in this sign-in."""
        found: bool = await self._database.pool.fetchval(
            _IS_CONSENTED, who.person_id, pending.client_id, who.signed_in_at,
            pending.asked.what, clock.now(),
        )  # fmt: skip
        return found

    async def give(self, pending: Pending, who: Proven) -> str:
        """A code for what was asked and is consented to; `RequestUnknown` if answered before."""
        code = secrets.token_urlsafe(32)
        now = clock.now()
        async with self._database.writing() as session:
            await _take(session, pending)
            session.add(
                AuthorizationCode(
                    code_sha256=hash_of(code),
                    client_id=pending.client_id,
                    person_id=who.person_id,
                    asked=pending.asked.as_json(),
                    acr=who.acr,
                    auth_time=who.auth_time,
                    methods=list(who.methods),
                    expires_at=now + LIFETIME,
                )
            )
            await _remember(session, pending, who, now)
            await audit.append(
                session,
                Event.CODE_ISSUED,
                client=pending.client_id,
                person=who.person_id,
                organization=who.organization_id,
                scope=list(pending.asked.scope),
                acr=who.acr,
            )
        return code

    async def has_citizen_allowed(self, pending: Pending, who: ProvenCitizen) -> bool:
        """Whether they let the app have exactly this before, in this sign-in."""
        found: bool = await self._database.pool.fetchval(
            _IS_ALLOWED, who.session, pending.client_id, pending.asked.what
        )
        return found

    async def give_for_citizen(self, pending: Pending, who: ProvenCitizen) -> str:
        """A code that stands for a citizen; the log says which app, and not who they are."""
        code = secrets.token_urlsafe(32)
        async with self._database.writing() as session:
            await _take(session, pending)
            session.add(
                AuthorizationCode(
                    code_sha256=hash_of(code),
                    client_id=pending.client_id,
                    subject=who.subject,
                    asked=pending.asked.as_json(),
                    acr=who.level.acr,
                    auth_time=who.signed_in_at,
                    methods=[],
                    expires_at=clock.now() + LIFETIME,
                )
            )
            await _remember_citizens(session, pending, who)
            await audit.append(
                session,
                Event.CODE_ISSUED,
                client=pending.client_id,
                organization=who.organization_id,
                scope=list(pending.asked.scope),
                acr=who.level.acr,
            )
        return code

    async def refuse(self, pending: Pending, error: str, why: str, person_id: str | None) -> None:
        """Close the request without a code; the log says why."""
        async with self._database.writing() as session:
            await _take(session, pending)
            await audit.append(
                session,
                Event.CODE_REFUSED,
                client=pending.client_id,
                person=person_id,
                code=error,
                why=why,
            )


async def _take(session: AsyncSession, pending: Pending) -> None:
    """Answer the request: of two answers at once the second finds it gone."""
    statement = delete(PushedRequest).where(PushedRequest.request_sha256 == pending.key)
    taken = await session.scalar(statement.returning(PushedRequest.client_id))
    if taken is None:
        raise RequestUnknown


async def _remember(session: AsyncSession, pending: Pending, who: Proven, now: datetime) -> None:
    values = {
        "person_id": who.person_id,
        "client_id": pending.client_id,
        "signed_in_at": who.signed_in_at,
        "what": pending.asked.what,
        "expires_at": now + _CONSENT_LASTS,
    }
    await session.execute(insert(AppGrant).values(values).on_conflict_do_nothing())


async def _remember_citizens(session: AsyncSession, pending: Pending, who: ProvenCitizen) -> None:
    """For as long as the session lasts, which may have ended this moment."""
    there = select(
        CitizenSession.secret_sha256, literal(pending.client_id), literal(pending.asked.what)
    ).where(CitizenSession.secret_sha256 == who.session)
    names = ["secret_sha256", "client_id", "what"]
    await session.execute(insert(CitizenAllowed).from_select(names, there).on_conflict_do_nothing())


async def forget_answers(pool: "asyncpg.Pool[Any]") -> None:
    """Delete codes and consents that have run out."""
    now = clock.now()
    for statement, kept_s in _FORGET:
        await pool.execute(statement, now - timedelta(seconds=kept_s))


def hash_of(code: str) -> bytes:
    """How a code is found; it is random, so a plain hash is enough."""
    return hashlib.sha256(code.encode()).digest()
