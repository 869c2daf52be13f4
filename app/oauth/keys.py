"""The keys that sign access tokens: next, current, previous. Never lets a private half out."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg
import orjson
from joserfc.jwk import ECKey
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log as audit
from app.audit.events import Event
from app.kit import clock
from app.kit.crypto import Sealer, load_sealer
from app.kit.db import Database, DatabaseUnavailable
from app.kit.errors import AppError, Kind
from app.kit.key_places import KeyPlace
from app.kit.live import Live
from app.models.parties import SigningKey

ALGORITHM: Final = "ES256"
# A former key stays published for as long as a token that it signed can live.
LONGEST_TOKEN: Final = timedelta(seconds=900)
_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('urbanos.signing_key'))")
_PUBLISHED: Final = ("previous", "current", "next")
_SELECT = """
SELECT kid, state, public_jwk, sealed_private_jwk FROM signing_key
WHERE state = ANY($1::text[]) ORDER BY array_position($1::text[], state), created_at
"""
_KIDS: Final = "SELECT kid FROM signing_key WHERE state = ANY($1::text[])"
_READ_AGAIN_S: Final = 1.0
# Whoever keeps a copy of the key set for a day has the next key before it signs.
ANNOUNCED: Final = timedelta(hours=24)


_ARE_THERE: Final = "SELECT EXISTS (SELECT FROM signing_key)"


class RotationTooSoon(AppError):
    """Tokens of the former key are still in use; rotating now would refuse them."""

    kind = Kind.CONFLICT
    code = "rotation_too_soon"
    ja = "前回の鍵更新から{seconds}秒経っていません。まだ有効なトークンがあります。"
    en = "The last rotation is less than {seconds} seconds old: tokens of that key are still valid."


class NextKeyTooYoung(AppError):
    """A copy of the key set that lacks the next key may still be in use: its tokens would fail."""

    kind = Kind.CONFLICT
    code = "next_key_too_young"
    ja = (
        "次の鍵は公開から24時間経っていません（{until} から使えます）。"
        "待てない場合は early を、鍵が漏れた場合は emergency を指定してください。"
    )
    en = (
        "The next key has been published for less than 24 hours; it may sign from {until} on."
        " Ask for early if you cannot wait, for emergency if the present key leaked."
    )


class NoSigningKey(AppError):
    """The database holds no current signing key."""

    kind = Kind.UNAVAILABLE
    code = "no_signing_key"
    ja = "署名鍵がありません。サーバを再起動してください。"
    en = "There is no signing key. Restart the server."


@dataclass(frozen=True, slots=True)
class Keys:
    """The published keys at one moment."""

    current_kid: str
    current: ECKey
    public: Mapping[str, ECKey]
    jwks: dict[str, Any]


class KeyRing:
    """The published keys, kept in memory and read anew when the database says that they changed."""

    def __init__(self, database: Database, sealer: Sealer, live: Live) -> None:
        self._database = database
        self._sealer = sealer
        # Every change of the current key notifies `keys:current`; the poll of the epoch covers
        # the rest.
        self._cache = live.cache(self._load, kinds=("keys",))
        self._reading_again = asyncio.Lock()
        self._again_at = 0.0

    async def start(self) -> None:
        """Make the first keys where there are none, and read them."""
        async with self._database.writing() as session:
            await ensure_keys(session, self._sealer)
        await self.get()

    def held(self) -> Keys | None:
        """The keys if they are in memory: the path without an await."""
        return self._cache.held("current")

    async def get(self) -> Keys:
        """The keys; raises `DatabaseUnavailable` or `NoSigningKey`."""
        return await self._cache.get("current")

    async def read_again(self) -> Keys:
        """The keys as the database has them now: for a token of a key that is not held here.

        Looks once a second at most, so that forged tokens cannot keep the database busy, and drops
        nothing unless the keys changed.
        """
        async with self._reading_again:
            if time.monotonic() >= self._again_at:
                self._again_at = time.monotonic() + _READ_AGAIN_S
                await self._drop_what_changed()
        return await self.get()

    async def _drop_what_changed(self) -> None:
        held = self.held()
        try:
            kids = await self._database.pool.fetch(_KIDS, list(_PUBLISHED))
        except (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError) as exc:
            raise DatabaseUnavailable from exc
        if held is not None and held.public.keys() != {row["kid"] for row in kids}:
            self._cache.drop("current")

    async def _load(self, _state: str) -> Keys:
        return await read_keys(self._database.pool, self._sealer)


async def read_keys(pool: "asyncpg.Pool[Any]", sealer: Sealer) -> Keys:
    """The keys as the database has them now, for whoever signs now and then. `NoSigningKey`."""
    return _assemble(await pool.fetch(_SELECT, list(_PUBLISHED)), sealer)


def _assemble(rows: list[asyncpg.Record], sealer: Sealer) -> Keys:
    public = {row["kid"]: orjson.loads(row["public_jwk"]) for row in rows}
    for row in rows:
        if row["state"] == "current":
            private = sealer.unseal(row["sealed_private_jwk"], about=_place(row["kid"]))
            return Keys(
                current_kid=row["kid"],
                current=ECKey.import_key(orjson.loads(private)),
                public={kid: ECKey.import_key(jwk) for kid, jwk in public.items()},
                jwks={"keys": list(public.values())},
            )
    raise NoSigningKey


async def open_sealer(pool: "asyncpg.Pool[Any]", place: KeyPlace) -> Sealer:
    """The sealer of the key there. A key is made only while the database holds nothing sealed.

    Raises `SecretKeyUnusable` where it is missing or does not open what the database holds.
    """
    if not await pool.fetchval(_ARE_THERE):
        await asyncio.to_thread(place.make)
    sealer = await asyncio.to_thread(load_sealer, place)
    for row in await pool.fetch(_SELECT, list(_PUBLISHED)):
        sealer.unseal(row["sealed_private_jwk"], about=_place(row["kid"]))
    return sealer


async def check_sealed(pool: "asyncpg.Pool[Any]", place: KeyPlace) -> None:
    """Raise `SecretKeyUnusable` unless the key there opens what the database holds."""
    if await pool.fetchval(_ARE_THERE):
        await open_sealer(pool, place)


def _place(kid: str) -> str:
    return f"signing_key:{kid}"


async def ensure_keys(session: AsyncSession, sealer: Sealer) -> None:
    """Make a current and a next key where they are missing; two processes make them once.

    Raises `SecretKeyUnusable`, and changes nothing, where the sealer does not open what is there.
    """
    await session.execute(_LOCK)
    there = (
        await session.scalars(select(SigningKey).where(SigningKey.state.in_(_PUBLISHED)))
    ).all()
    for key in there:
        sealer.unseal(key.sealed_private_jwk, about=_place(key.kid))
    states = {key.state for key in there}
    now = clock.now()
    for state in ("current", "next"):
        if state not in states:
            session.add(_new_key(sealer, state, now))


async def list_keys(session: AsyncSession) -> list[SigningKey]:
    """The published keys and those that were dropped, the newest first."""
    found = await session.scalars(select(SigningKey).order_by(SigningKey.created_at.desc()))
    return list(found)


async def lasting_keys(session: AsyncSession, lifetime: timedelta) -> dict[str, Any]:
    """The JWK set for documents that live longer than tokens do: also of keys that were dropped
    within their lifetime, but of none that may have leaked. No token is ever checked with it."""
    dropped = (SigningKey.state == "dropped") & (SigningKey.changed_at > clock.now() - lifetime)
    its = select(SigningKey).where(
        SigningKey.leaked.is_(False), SigningKey.state.in_(_PUBLISHED) | dropped
    )
    found = await session.scalars(its.order_by(SigningKey.created_at.desc(), SigningKey.kid))
    return {"keys": [key.public_jwk for key in found]}


async def rotate(
    session: AsyncSession,
    sealer: Sealer,
    *,
    by: str,
    emergency: bool = False,
    early: bool = False,
) -> str:
    """next → current → previous → dropped, and a new next. Returns the new current kid.

    Tokens of the former key stay valid until they expire; with `emergency` it is dropped at once.
    Raises `RotationTooSoon` while tokens of the key before that are in use, and `NextKeyTooYoung`
    unless the next key was announced long enough, or `early` says to sign with it all the same.
    """
    await session.execute(_LOCK)
    await ensure_keys(session, sealer)
    await session.flush()
    keys = {key.state: key for key in await session.scalars(
        select(SigningKey).where(SigningKey.state.in_(_PUBLISHED)))}  # fmt: skip
    former = keys.get("previous")
    now = clock.now()
    if not emergency and not early:
        await _check_announced(session, keys["next"], now)
    if former is not None:
        if not emergency and now - former.changed_at < LONGEST_TOKEN:
            raise RotationTooSoon(seconds=int(LONGEST_TOKEN.total_seconds()))
        _move(former, "dropped", now)
    keys["current"].leaked = emergency
    _move(keys["current"], "dropped" if emergency else "previous", now)
    await session.flush()  # the database allows one current key
    _move(keys["next"], "current", now)
    session.add(_new_key(sealer, "next", now))
    await audit.append(
        session,
        Event.KEY_ROTATED,
        by=by,
        kid=keys["next"].kid,
        emergency=emergency or None,
        early=early or None,
    )
    return keys["next"].kid


async def _check_announced(session: AsyncSession, upcoming: SigningKey, now: datetime) -> None:
    """Raise `NextKeyTooYoung` while a copy of the key set without `upcoming` may be in use.

    The first next key is made together with the first current one: no set without it ever was, so
    a young installation rotates when it likes.
    """
    older = select(SigningKey.kid).where(SigningKey.created_at < upcoming.created_at).limit(1)
    if now - upcoming.created_at < ANNOUNCED and await session.scalar(older) is not None:
        until = (upcoming.created_at + ANNOUNCED).astimezone(clock.TOKYO)
        raise NextKeyTooYoung(until=until.isoformat(timespec="seconds"))


def _move(key: SigningKey, state: str, now: datetime) -> None:
    key.state = state
    key.changed_at = now


def _new_key(sealer: Sealer, state: str, now: datetime) -> SigningKey:
    made = ECKey.generate_key("P-256", private=True)
    kid = made.thumbprint()  # RFC 7638
    public = {**made.as_dict(private=False), "kid": kid, "use": "sig", "alg": ALGORITHM}
    return SigningKey(
        kid=kid,
        state=state,
        public_jwk=public,
        sealed_private_jwk=sealer.seal(orjson.dumps(made.as_dict(private=True)), about=_place(kid)),
        created_at=now,
        changed_at=now,
    )
