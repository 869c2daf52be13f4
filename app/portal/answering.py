"""What both kinds of people at the authorization endpoint share: the request, and the way back.

A browser is sent to no address but the one that its client registered and pushed.
"""

from typing import Final

from starlette.responses import RedirectResponse, Response

from app.api.state import Platform
from app.oauth.pushed import Pending, RequestUnknown
from app.parties.clients import ClientNotFound
from app.policy.facts import ClientFacts

NAMES: Final = frozenset({"client_id", "request_uri"})


async def find_pending(platform: Platform, named: dict[str, str]) -> tuple[ClientFacts, Pending]:
    """The client and its open request, or `RequestUnknown`: all that is wrong looks the same."""
    try:
        client = await platform.clients.get(named["client_id"])
    except ClientNotFound:
        raise RequestUnknown from None
    if client.revoked or client.zone != platform.zone:
        raise RequestUnknown
    return client, await platform.pushed.open(client, named["request_uri"])


async def refuse(
    platform: Platform,
    pending: Pending,
    error: str,
    why: str,
    person_id: str | None = None,
    described: str | None = None,
) -> Response:
    """Tell the app that there is no code (RFC 6749, 4.1.2.1). `person_id`: of staff alone."""
    await platform.answers.refuse(pending, error, why, person_id)
    told = {"error": error, **({"error_description": described} if described else {})}
    return back(pending.asked.answered(platform.issuer, **told))


def back(address: str) -> Response:
    """To the app."""
    return RedirectResponse(address, 303, {"Cache-Control": "no-store"})
