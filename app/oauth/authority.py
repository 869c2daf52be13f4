"""With whose authority a token comes: the registry's word at this moment. Reads no token itself."""

from dataclasses import replace
from itertools import pairwise
from typing import TypeVar

from app.kit.errors import AppError, Kind
from app.kit.live import LiveCache
from app.oauth.spoken import Spoken
from app.oauth.tokens import InvalidToken, PersonGrant, Verified
from app.policy.facts import ClientFacts, PersonFacts, acting_for, may_sign_in

Found = TypeVar("Found")


class TokenOfReader(InvalidToken):
    """Another platform has it, for one of its readers, and showed it where no records are read."""

    ja = "他の基盤が利用者のために得たトークンで使えるのは、一つのデータセットの閲覧だけです。"
    en = "What another platform has for its reader opens nothing but the records of one dataset."


class Authority:
    """Knows the clients and people of tokens. One a process."""

    def __init__(self, clients: LiveCache[ClientFacts], people: LiveCache[PersonFacts]) -> None:
        self._clients = clients
        self._people = people

    async def of(self, verified: Verified) -> ClientFacts:
        """The client of a checked token, acting for its person where it has one.

        With a citizen's it acts for nobody, and not for its organisation either.

        Raises `InvalidToken` where the client or the person is out, or what let the person sign in
        to it, or let it exchange another client's token, was taken back.
        """
        client = await _find(self._clients, verified.client_id, "client")
        if verified.person is not None and not client.revoked:
            client = await self._for_person(client, verified.person)
        if verified.spoken is not None:
            client = await self._spoken(client, verified.spoken)
        if verified.citizen is not None and not client.citizens:
            raise InvalidToken(why="citizens", holder=verified.client_id)
        if client.revoked or client.organization_id != verified.organization_id:
            raise InvalidToken(why="client_revoked", holder=verified.client_id)
        return client

    async def spoken_for(self, client_id: str, spoken: Spoken) -> ClientFacts:
        """The client that a reader of another platform has here, for a token of it.

        Raises `InvalidToken` where it is out, or the other platform may not speak for it now.
        """
        client = await _find(self._clients, client_id, "client")
        client = await self._spoken(client, spoken)
        if client.revoked:
            raise InvalidToken(why="client_revoked", holder=client_id)
        return client

    async def _spoken(self, client: ClientFacts, spoken: Spoken) -> ClientFacts:
        actor = await _find(self._clients, spoken.actor, "client")
        named = (spoken.issuer, spoken.reader, client.client_id)
        if actor.revoked or actor.zone != client.zone or named not in actor.speaks_for:
            raise InvalidToken(why="speaks_for", holder=client.client_id)
        return replace(client, spoken_by=actor.client_id)

    async def _for_person(self, client: ClientFacts, grant: PersonGrant) -> ClientFacts:
        person = await _find(self._people, grant.person_id, "person")
        if person.disabled:
            raise InvalidToken(why="person_disabled", holder=client.client_id)
        givers = [await _find(self._clients, giver, "client") for giver, _ in grant.via]
        why = _why_not((*givers, client), person)
        if why is not None:
            raise InvalidToken(why=why, holder=client.client_id)
        return acting_for(client, person)


def _why_not(handed_on: tuple[ClientFacts, ...], person: PersonFacts) -> str | None:
    """Why the last of these may not act for the person now; None when it may.

    The first is the app that the person signed in to; each of the others exchanged a token of the
    one before it. What one of them may do no more, none after it may.
    """
    if any(each.revoked for each in handed_on):
        return "client_revoked"
    if any(giver.client_id not in taker.exchange_from for giver, taker in pairwise(handed_on)):
        return "exchange_from"
    return None if all(may_sign_in(each, person) for each in handed_on) else "staff_of"


async def _find(cache: LiveCache[Found], key: str, why: str) -> Found:
    try:
        return await cache.get(key)
    except AppError as exc:
        if exc.kind is not Kind.NOT_FOUND:
            raise
        raise InvalidToken(why=why) from exc
