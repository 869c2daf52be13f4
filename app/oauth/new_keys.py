"""A client that brings its next key itself: named by the key it has, proven by the new one.

Whoever holds neither brings nothing, and a key that nobody holds cannot be brought.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.models.parties import AuthMethod
from app.oauth.assertions import key_named_by
from app.oauth.grants import TokenEndpoint
from app.oauth.proofs import Proofs, key_of
from app.oauth.refusals import InvalidProof, InvalidRequest, OAuthRefused
from app.policy.facts import ClientFacts

PATH: Final = "/oauth/keys"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that its client holds, and the key of that client which speaks for it."""

    client_id: str
    jwk: dict[str, Any]
    signed_by: str  # the thumbprint of the key that the client has


class NewKeys:
    """Judges keys that clients bring. One a process."""

    def __init__(self, door: TokenEndpoint, proofs: Proofs, issuer: str) -> None:
        self._door = door
        self._proofs = proofs
        self._issuer = issuer

    async def read(
        self, form: Mapping[str, str], authorization: str | None, shown: Sequence[bytes]
    ) -> NewKey:
        """The key that the client brings, or `OAuthRefused`; the log has that first."""
        client = await self._door.prove(form, authorization, path=PATH)
        try:
            return await self._read(client, form, shown)
        except OAuthRefused as refusal:
            await self._door.record_refusal(refusal, client.client_id, path=PATH)
            raise

    async def _read(
        self, client: ClientFacts, form: Mapping[str, str], shown: Sequence[bytes]
    ) -> NewKey:
        if client.auth_method != AuthMethod.PRIVATE_KEY_JWT:
            raise InvalidRequest(
                "no_key",
                mend_ja="鍵を使うクライアント（private_key_jwt）だけが鍵を追加できます。",
                mend_en="only a client of keys (private_key_jwt) brings one.",
            )
        jkt = await self._proofs.take(shown, "POST", self._issuer + PATH)
        signed_by, named = key_named_by(form["client_assertion"])
        if named != jkt:
            raise InvalidProof(
                "new_key",
                mend_ja="client_assertion の cnf.jkt に、DPoP プルーフの鍵（新しい鍵）の"
                "サムプリントを入れてください。",
                mend_en="name in cnf.jkt of the client_assertion the key of the DPoP proof, which"
                " is the new one.",
            )
        return NewKey(client.client_id, key_of(shown[0]), signed_by)
