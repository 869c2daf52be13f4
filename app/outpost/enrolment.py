"""How an agent comes to be known: by a code that was given to its keeper, not by the network.

The code's secret is never sent, and the key that the code names is the one that must have signed the
platform's answer: whoever takes TLS apart between them can neither enrol nor pose as the platform.
"""

import hashlib
import hmac
from urllib.parse import urlsplit

import orjson
from joserfc.jwk import ECKey

from app.kit.outbound import Bounds, Outbound, OutboundUnreachable, OutboundUnusable
from app.outpost.envelopes import Pinned, first_keys
from app.outpost.link import PlatformAway, PlatformRefuses

_BOUNDS = Bounds(seconds=30.0)


async def enrol(
    outbound: Outbound, url: str, key: ECKey, agent_id: str, secret: str, kid: str, *, language: str
) -> Pinned:
    """The platform, once it keeps the public half of `key`. Raises `PlatformAway`,
    `PlatformRefuses`, and `WordRefused` where the answer is somebody else's."""
    public = key.as_dict(private=False)
    its = {name: public[name] for name in ("kty", "crv", "x", "y")}
    body = orjson.dumps(
        {"agent": agent_id, "key": its, "proof": proof_of(secret, key.thumbprint())}
    )
    headers = {"Content-Type": "application/json", "Accept-Language": language}
    host = urlsplit(url).hostname
    where = f"{url.rstrip('/')}/v1/agent/enrolment"
    try:
        answer = await outbound.fetch("POST", where, headers=headers, content=body, bounds=_BOUNDS)
        told = answer.json_object()
    except (OutboundUnreachable, OutboundUnusable) as away:
        raise PlatformAway(host=host, why=away.code) from away
    if answer.status != 200:
        raise PlatformRefuses(refusal=told.get("code", answer.status), why=told.get("detail", "-"))
    return first_keys(str(told.get("keys")), agent_id, kid)


def proof_of(secret: str, kid: str) -> str:
    """What whoever knows a code says of the key that is to be the agent's."""
    return hmac.new(secret.encode(), kid.encode(), hashlib.sha256).hexdigest()
