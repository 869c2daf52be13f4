"""Sealing of secrets at rest. Never logs, never returns a key."""

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.kit.key_places import KeyPlace, SecretKeyUnusable

_NONCE_BYTES = 12  # NIST SP 800-38D, 5.2.1.1: 96 bits


class Sealer:
    """Seals and opens small secrets with AES-256-GCM; `about` binds a secret to its place."""

    def __init__(self, key: bytes, place: KeyPlace) -> None:
        self._aead = AESGCM(key)
        self._place = place

    def seal(self, secret: bytes, *, about: str) -> bytes:
        """Encrypt `secret`; the nonce stands before the ciphertext."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, secret, about.encode())

    def unseal(self, sealed: bytes, *, about: str) -> bytes:
        """Decrypt what `seal` made for the same `about`, or raise `SecretKeyUnusable`."""
        try:
            return self._aead.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about.encode())
        except InvalidTag as exc:
            raise SecretKeyUnusable(
                path=self._place,
                why=f"it did not seal {about}",
                why_ja=f"{about} を封印した鍵と違う",
            ) from exc


def load_sealer(place: KeyPlace) -> Sealer:
    """The sealer whose key is there. Blocks. Raises `SecretKeyUnusable`; never makes a key."""
    return Sealer(place.read(), place)
