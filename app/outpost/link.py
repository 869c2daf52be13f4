"""The way from an agent to its platform: dials out, proves each request, and listens to nobody.

Every failure is told as one of three: ask again later, this job is over, or this agent is none.
"""

import asyncio
import random
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from joserfc.jwk import ECKey

from app.kit.errors import AppError, Kind
from app.kit.outbound import Answer, Bounds, Outbound, OutboundUnreachable, OutboundUnusable
from app.outpost.proving import prove

POLL_S: Final = 9  # within the time that a platform gives its answers when it is stopped
_ASK: Final = Bounds(most_bytes=1 << 20, seconds=POLL_S + 15)
_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 30.0
_NOTHING: Final = 204
_LONGEST_WORDS: Final = 300
_LONGEST_CODE: Final = 60


class PlatformAway(AppError):
    """The platform does not answer, or asks to be asked later."""

    kind = Kind.UNAVAILABLE
    code = "agent_platform_away"
    ja = "プラットフォーム {host} から応答を得られません（{why}）。"
    en = "The platform {host} gives no answer ({why})."


class PlatformRefuses(AppError):
    """The platform knows this agent no more, or never did."""

    kind = Kind.FORBIDDEN
    code = "agent_refused"
    ja = "プラットフォームに拒否されました [{refusal}]: {why}"
    en = "The platform refuses [{refusal}]: {why}"


class JobOver(Exception):
    """Nobody waits for the answer any more, or another agent gives it."""


class PlainHttp(AppError):
    """What an agent says travels by TLS, but for tests on one machine."""

    kind = Kind.INVALID
    code = "agent_plain_http"
    ja = "{url} は https ではありません。閉域網で平文を使う場合は --plain を指定してください。"
    en = "{url} is not https. Give --plain where a closed network has to do without."


class Link:
    """Asks one platform. `issuer` is its name in proofs, whichever way leads to it."""

    def __init__(
        self, outbound: Outbound, url: str, key: ECKey, issuer: str, language: str
    ) -> None:
        self._outbound = outbound
        self._url = url.rstrip("/")
        self._key = key
        self._issuer = issuer
        self._language = language

    async def ask(self, method: str, path: str, body: bytes, media_type: str) -> Answer:
        """One request. Raises `PlatformAway`, `PlatformRefuses`, `JobOver`."""
        proof = prove(self._key, method, self._issuer + path, body)
        headers = {"DPoP": proof, "Content-Type": media_type, "Accept-Language": self._language}
        host = urlsplit(self._url).hostname
        try:
            answer = await self._outbound.fetch(
                method, self._url + path, headers=headers, content=body, bounds=_ASK
            )
        except (OutboundUnreachable, OutboundUnusable) as away:
            raise PlatformAway(host=host, why=away.code) from away
        if answer.status >= 400:
            raise _refusal(answer)
        return answer

    async def told(self, path: str, body: object) -> dict[str, Any] | None:
        """What is answered to a POST; None where it is nothing. Raises what `ask` does."""
        answer = await self.ask("POST", path, orjson.dumps(body), "application/json")
        if answer.status == _NOTHING:
            return None
        try:
            return answer.json_object()
        except OutboundUnusable as away:  # a page of something that stands between
            raise PlatformAway(host=answer.host, why=away.code) from away


def _refusal(answer: Answer) -> Exception:
    """Of the platform's own words two end something. All else may be a gateway's, and may pass."""
    told: dict[str, object] = {}
    with suppress(OutboundUnusable):
        told = answer.json_object()
    code = str(told.get("code"))
    if code == "agent_job_over":
        return JobOver()
    if code == "agent_unknown":
        return PlatformRefuses(refusal=code, why=str(told.get("detail"))[:_LONGEST_WORDS])
    return PlatformAway(host=answer.host, why=f"{answer.status} {code[:_LONGEST_CODE]}")


def wait_before(tries: int) -> float:
    """Twice as long each time, anywhere within it: agents that lost one platform return apart."""
    longest = min(_FIRST_WAIT_S * 2 ** min(tries, 10), _LONGEST_WAIT_S)
    return random.uniform(longest / 4, longest)  # noqa: S311 - no secret


async def asked_until(
    link: Link, seconds: float, method: str, path: str, body: bytes, media: str
) -> Answer:
    """The answer, asked for again while the platform is away. Raises what `ask` does."""
    ends_at = asyncio.get_running_loop().time() + seconds
    tries = 0
    while True:
        try:
            return await link.ask(method, path, body, media)
        except PlatformAway:
            if asyncio.get_running_loop().time() >= ends_at:
                raise
        await asyncio.sleep(wait_before(tries))
        tries += 1
