"""What a token says of another platform that speaks through a client. Proves nothing of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

CLAIM: Final = "spk"  # the other platform's issuer, and its reader


@dataclass(frozen=True, slots=True)
class Spoken:
    """Through which client another platform speaks, and for which of its readers."""

    actor: str
    issuer: str
    reader: str


def said(spoken: Spoken | None) -> dict[str, Any]:
    """Who acts (RFC 8693, 4.1), and for whom."""
    if spoken is None:
        return {}
    return {"act": {"sub": spoken.actor}, CLAIM: [spoken.issuer, spoken.reader]}


def read(claims: Mapping[str, Any]) -> Spoken | None:
    """The same read back; None where nobody is spoken for, and for half of it."""
    match claims.get(CLAIM), claims.get("act"):
        case [str(issuer), str(reader)], {"sub": str(actor), **more} if not more:
            return Spoken(actor, issuer, reader)
    return None
