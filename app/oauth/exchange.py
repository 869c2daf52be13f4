"""Token exchange (RFC 8693): a service acts for the official whose token an app handed to it.

What it gets is never more than that token carries, nor than the official may have now, and ends
with it. No token is exchanged that no person stands behind.

The token that is handed over is bound to the app's key, which the service cannot prove and must
not hold. So a found or stolen token would pass as a handed one, were it not for the registry: the
operator names, for each service, the apps whose tokens it may exchange. The service proves itself
and a key of its own; what it gets is bound to that key.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from app.kit.db import Database
from app.models.parties import AuthMethod
from app.oauth import scopes
from app.oauth.authority import Authority
from app.oauth.details import ACTIONS, Details, read_details
from app.oauth.grants import Bond, Granted, Reach, check_resource, judge, nothing_granted, token_for
from app.oauth.keys import KeyRing
from app.oauth.refusals import (
    ExchangeNotAllowed,
    InvalidDetails,
    InvalidProof,
    InvalidRequest,
    InvalidScope,
    SubjectRefused,
)
from app.oauth.speaking import ACCESS_TOKEN, JWT, Speaking
from app.oauth.tokens import (
    MOST_EXCHANGES,
    InvalidToken,
    PersonGrant,
    TokenVerifier,
    Verified,
    issue,
)
from app.policy.facts import Caller, ClientFacts

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"


class Exchange:
    """Judges tokens that are handed over, and grants what follows from them. One a process."""

    def __init__(
        self,
        database: Database,
        ring: KeyRing,
        tokens: TokenVerifier,
        authority: Authority,
        speaking: Speaking,
        *,
        issuer: str,
    ) -> None:
        self._database = database
        self._ring = ring
        self._tokens = tokens
        self._authority = authority
        self._speaking = speaking
        self._issuer = issuer

    async def grant(
        self, client: ClientFacts, form: Mapping[str, str], reach: Reach, bond: Bond
    ) -> Granted:
        """A token for the client to act for the person of the subject token, or the refusal."""
        is_spoken = form.get("subject_token_type") == JWT
        if not is_spoken:
            _check_client(client)
        self._check_form(form)
        if is_spoken:
            return await self._speaking.grant(client, form, reach, bond)
        if not bond:
            raise InvalidProof(
                "proof_count",
                mend_ja="DPoP ヘッダを一つだけ送ってください。",
                mend_en="send one DPoP header.",
            )
        subject, signed_in = await self._subject(form["subject_token"])
        asker, person = await self._acting(client, subject, signed_in)
        details = _details(form, subject)
        asked = _within(form.get("scope"), subject)
        judged = await judge(Caller(asker, frozenset(), bound=True), asked, reach, details)
        if not judged.scope:
            raise nothing_granted(details)
        grant = await token_for(self._database, asker, judged, bond, details)
        grant = replace(grant, person=person, ends_by=subject.exp)
        return Granted(
            issue(await self._ring.get(), self._issuer, grant),
            judged.scope,
            bond,
            details,
            person_id=person.person_id,
            organization_id=asker.organization_id,
            issued_token_type=ACCESS_TOKEN,
            told={"app": subject.client_id, "subject": subject.jti},
        )

    def _check_form(self, form: Mapping[str, str]) -> None:
        """Every parameter of RFC 8693, 2.1, but for the token itself and the scope."""
        check_resource(form, self._issuer, ("resource", "audience"))
        if "actor_token" in form or "actor_token_type" in form:
            raise InvalidRequest(
                "actor_token",
                mend_ja="actor_token は送らないでください。認証したクライアントが行為者です。",
                mend_en="leave actor_token out: the client that authenticates is the actor.",
            )
        if form.get("requested_token_type", ACCESS_TOKEN) != ACCESS_TOKEN:
            raise _only_access_tokens("requested_token_type")
        if form.get("subject_token_type") not in (ACCESS_TOKEN, JWT):
            raise _only_access_tokens("subject_token_type")
        if not form.get("subject_token"):
            raise InvalidRequest(
                "subject_token",
                mend_ja="subject_token が必要です。",
                mend_en="subject_token is needed.",
            )

    async def _subject(self, token: str) -> tuple[Verified, PersonGrant]:
        """The token that was handed over, in force here and now, and the person behind it."""
        try:
            verified = await self._tokens.verify(token)
            await self._authority.of(verified)
        except InvalidToken as exc:
            raise SubjectRefused(f"subject_{exc.named['why']}") from exc
        if verified.person is None:
            raise SubjectRefused("subject_no_person")
        return verified, verified.person

    async def _acting(
        self, client: ClientFacts, subject: Verified, signed_in: PersonGrant
    ) -> tuple[ClientFacts, PersonGrant]:
        """The client as it would act with the new token, judged as with that token it would be."""
        via = (*signed_in.via, (subject.client_id, subject.jti))
        person = replace(signed_in, via=via)
        try:
            wanted = replace(subject, client_id=client.client_id, person=person)
            asker = await self._authority.of(wanted)
        except InvalidToken as exc:
            raise SubjectRefused(f"subject_{exc.named['why']}") from exc
        if len(via) > MOST_EXCHANGES:
            raise InvalidRequest(
                "exchanges",
                mend_ja=f"交換は連続{MOST_EXCHANGES}回までです。職員のアプリのトークンから始めてください。",
                mend_en=f"at most {MOST_EXCHANGES} exchanges follow one another: start from the"
                " token of the person's own app.",
            )
        return asker, person


def _check_client(client: ClientFacts) -> None:
    # A shared secret travels with each request: too little to speak for somebody with.
    if client.auth_method == AuthMethod.CLIENT_SECRET_BASIC or not client.exchange_from:
        raise ExchangeNotAllowed("exchange", client=client.client_id, zone=client.zone)


def _only_access_tokens(name: str) -> InvalidRequest:
    return InvalidRequest(
        name, mend_ja=f"{name} は {ACCESS_TOKEN} です。", mend_en=f"{name} must be {ACCESS_TOKEN}."
    )


def _details(form: Mapping[str, str], subject: Verified) -> Details | None:
    """The agreement that the new token is for: the subject token's, and no other.

    Personal data leaves on a token for one agreement alone: whoever could name one here would see
    more than the app that the official let act for them.
    """
    text = form.get("authorization_details")
    asked = read_details(text) if text is not None else None
    if asked is None:
        return Details(subject.agreement_id, ACTIONS) if subject.agreement_id else None
    if asked.agreement_id != subject.agreement_id:
        raise InvalidDetails(
            "other_agreement",
            mend_ja="subject_token の協定だけを指定できます。アプリが /oauth/par で指定します。",
            mend_en="name the agreement of the subject_token, for which the app asked at /oauth/par.",
        )
    return asked


def _within(asked: str | None, subject: Verified) -> tuple[str, ...]:
    """What of the scopes that were asked for the subject token carries (RFC 8693, 2.1)."""
    kept = tuple(token for token in scopes.split(asked or "") or () if token in subject.scope)
    if not kept:
        raise InvalidScope(
            "not_of_subject",
            mend_ja="scope は subject_token のスコープから空白区切りで選んでください（100個まで）。",
            mend_en="choose as scope at most 100 of the scopes of the subject_token, parted by"
            " single spaces.",
        )
    return kept
