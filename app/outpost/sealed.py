"""Messages of an agent that only its platform's process can read: JWE, ECDH-ES and A256GCM.

What stands between and takes TLS apart reads nothing, and moves no message to another place: where
it belongs is part of what is sealed.
"""

import gc
from typing import Any, ClassVar, Final

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from app.kit.errors import AppError, Kind

PIECE_BYTES: Final = 1 << 19  # sealed it is below the megabyte that aiohttp sends at once
LONGEST: Final = 1 << 20  # a sealed message, in base64url


class MessageUnreadable(AppError):
    """It was sealed for somebody else or for another place, or was changed on its way."""

    kind = Kind.INVALID
    code = "agent_message_unreadable"
    ja = "エージェントの応答を復号できません。途中で書き換えられたか、宛先が違います。"
    en = "A message of the agent cannot be opened: it was changed on its way, or is for another."


# What seals and opens stands in a cycle with all its bytes. The collector counts objects and not
# bytes: by itself it comes after hundreds of megabytes.


class _Registry(jwe.JWERegistry):
    max_ciphertext_length: ClassVar[int] = LONGEST  # type: ignore[misc]


_REGISTRY: Final = _Registry(algorithms=["ECDH-ES", "A256GCM"], strict_check_header=False)


def seal(message: bytes, key: ECKey, place: str, position: int) -> str:
    """A message for the holder of `key`, bound to its place in an answer."""
    header: dict[str, Any] = {"alg": "ECDH-ES", "enc": "A256GCM", "place": place, "n": position}
    try:
        return jwe.encrypt_compact(header, message, key, registry=_REGISTRY)
    finally:
        gc.collect(0)


def unseal(sealed: bytes, key: ECKey, place: str, position: int) -> bytes:
    """The message that stands at a place of an answer. Raises `MessageUnreadable`."""
    try:
        return _unseal(sealed, key, place, position)
    finally:
        gc.collect(0)


def _unseal(sealed: bytes, key: ECKey, place: str, position: int) -> bytes:
    try:
        found = jwe.decrypt_compact(sealed, key, registry=_REGISTRY)
        header = found.headers()
    except (JoseError, ValueError, TypeError):
        raise MessageUnreadable from None
    if (header.get("place"), header.get("n")) != (place, position) or found.plaintext is None:
        raise MessageUnreadable
    return bytes(found.plaintext)
