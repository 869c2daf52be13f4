"""Signed messages to addresses of others (Standard Webhooks). Reads nothing of what they answer but
the status, and knows nothing of what is told."""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import orjson

from app.kit import clock
from app.kit.errors import AppError, Kind
from app.kit.outbound import Bounds, Outbound

_SECRET_BYTES: Final = 32
_PREFIX: Final = "whsec_"  # Standard Webhooks, symmetric secrets
_FIRST_PAUSE: Final = timedelta(seconds=5)
_LONGEST_PAUSE: Final = timedelta(hours=2)
_AT_ONCE: Final = 20  # then somebody else's turn


class WebhookNotTaken(AppError):
    """The receiver answered, and not with success."""

    kind = Kind.UNAVAILABLE
    code = "webhook_not_taken"
    ja = "{host} が {status} を返しました。受信側で 2xx を返すようにしてください。"
    en = "{host} answered {status}. Have the receiver answer 2xx."

    def __init__(self, *, host: str, status: int) -> None:
        super().__init__(host=host, status=status)
        self.status = status


def new_secret() -> str:
    """A secret as its receiver is told it, once."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` of a message (v1)."""
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


async def post(
    outbound: Outbound,
    url: str,
    secret: str,
    message_id: str,
    message: Mapping[str, Any],
    bounds: Bounds,
) -> None:
    """Send one message. Raises what refuses it, an `AppError`.

    The answer's body is left where it is: whoever floods back has taken the message all the same.
    """
    body = orjson.dumps(message, option=orjson.OPT_SORT_KEYS)
    now = int(clock.now().timestamp())
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(now),
        "webhook-signature": signature(secret, message_id, now, body),
    }
    async with outbound.stream("POST", url, headers=headers, content=body, bounds=bounds) as answer:
        if not 200 <= answer.status < 300:
            raise WebhookNotTaken(host=answer.host, status=answer.status)


def pause_after(attempts: int) -> timedelta:
    """How long to wait after so many tries that failed: longer each time, up to some hours."""
    doubled = min(attempts - 1, 20)  # a number that a timedelta holds
    wait: timedelta = _FIRST_PAUSE * 2**doubled
    return min(_LONGEST_PAUSE, wait)


async def in_turn(
    send_next: Callable[[], Awaitable[timedelta | None]],
    go_on: Callable[[], Awaitable[object]],
    seconds: float,
) -> timedelta | None:
    """Send what waits for one receiver; when to come again, None where nothing waits.

    A receiver that takes its time takes nobody else's: after a while it is another one's turn.
    """
    until = time.monotonic() + seconds
    for _ in range(_AT_ONCE):
        wait = await send_next()
        if wait is None or wait > timedelta(0):
            return wait
        if time.monotonic() >= until:
            break
        await go_on()
    return timedelta(0)
