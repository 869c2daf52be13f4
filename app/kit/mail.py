"""The one way out by mail: plain text through the operator's relay. No header is ever broken."""

import asyncio
import re
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final
from urllib.parse import unquote, urlsplit

from app.kit import clock
from app.kit.errors import AppError, Kind

# An addr-spec as people have them (RFC 5321, 4.1.2, without quoted local parts).
ADDRESS: Final = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+"
)
_SECONDS: Final = 15.0
_PORTS: Final = {"smtps": 465, "smtp+starttls": 587, "smtp": 25}
_LONGEST_SUBJECT: Final = 150


class MailNotSent(AppError):
    """The relay did not take it, or not in time."""

    kind = Kind.UNAVAILABLE
    code = "mail_not_sent"
    ja = "メールサーバ {host} が受け付けません（{why}）。URBANOS_SMTP_URL を確認してください。"
    en = "The mail server {host} did not take it ({why}). Look at URBANOS_SMTP_URL."


@dataclass(frozen=True, slots=True)
class Relay:
    """Where mail is handed in. `sender` stands as From."""

    scheme: str
    host: str
    port: int
    sender: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str, sender: str) -> "Relay":
        """`smtps://user:password@host:465`, `smtp+starttls://…` or, within one's own network and
        without a password, `smtp://host:25`. Raises `ValueError`, whose words hold no password."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError("it is no address") from None
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("it is neither smtps:// nor smtp+starttls:// nor smtp://")
        if parts.scheme == "smtp" and parts.password:
            raise ValueError("a password is not sent in the clear: use smtps or smtp+starttls")
        if not ADDRESS.fullmatch(sender):
            raise ValueError("the sender is no mail address")
        user = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password else None
        return cls(
            parts.scheme, parts.hostname, port or _PORTS[parts.scheme], sender, user, password
        )


class Mailer:
    """Hands mail to the relay. `trusted`: whose certificates are believed, the system's if None."""

    def __init__(self, relay: Relay, *, trusted: ssl.SSLContext | None = None) -> None:
        self._relay = relay
        self._trusted = trusted

    async def send(self, to: str, subject: str, text: str, *, message_id: str) -> None:
        """Send plain text. The same `message_id` is the same mail. Raises `MailNotSent`."""
        import aiosmtplib  # noqa: PLC0415 - slow to import, and many processes never send mail

        relay = self._relay
        try:
            async with asyncio.timeout(_SECONDS):
                await aiosmtplib.send(
                    _composed(relay.sender, to, subject, text, message_id),
                    hostname=relay.host,
                    port=relay.port,
                    username=relay.user,
                    password=relay.password,
                    use_tls=relay.scheme == "smtps",
                    start_tls=relay.scheme == "smtp+starttls",
                    tls_context=self._tls(),
                    timeout=_SECONDS,
                )
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as exc:
            raise MailNotSent(host=relay.host, why=type(exc).__name__) from exc

    def _tls(self) -> ssl.SSLContext | None:
        if self._relay.scheme == "smtp":
            return None
        if self._trusted is None:
            self._trusted = ssl.create_default_context()
        return self._trusted


def _composed(sender: str, to: str, subject: str, text: str, message_id: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = sender
    message["To"] = to
    message["Subject"] = one_line(subject)
    message["Date"] = format_datetime(clock.now())
    message["Message-ID"] = f"<{message_id}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no machine answers
    message.set_content(text, cte="base64")  # Japanese survives every relay
    return message


def one_line(text: str) -> str:
    """Text that can stand in a header: whatever could end the line is a blank."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[
        :_LONGEST_SUBJECT
    ]
