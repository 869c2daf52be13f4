"""How one message leaves: a signed POST, or a mail in both languages. Tells no row and no person."""

from collections.abc import Callable
from typing import Any, Final

from app.kit import webhooks
from app.kit.crypto import Sealer
from app.kit.errors import AppError, Kind
from app.kit.mail import Mailer
from app.kit.outbound import Bounds, Outbound
from app.models.findings import AlertChannel, AlertDelivery, ChannelKind

_BOUNDS: Final = Bounds(most_bytes=16 * 1024, seconds=10.0)


class MailNotSentFromHere(AppError):
    """The channel is one by mail, and this worker has no relay."""

    kind = Kind.UNAVAILABLE
    code = "mail_not_set_up"
    ja = "ワーカに URBANOS_SMTP_URL が設定されていません。"
    en = "The worker has no URBANOS_SMTP_URL."


def place_of(channel_id: object) -> str:
    """What a channel's sealed secret is bound to."""
    return f"alert_channel:{channel_id}"


class Messenger:
    """Sends messages; one a worker. Without a mailer no mail leaves, and without the key that sealed
    the secrets no webhook: `sealer` gives it, or raises `SecretKeyUnusable`."""

    def __init__(
        self, outbound: Outbound, sealer: Callable[[], Sealer], mailer: Mailer | None
    ) -> None:
        self._outbound = outbound
        self._sealer = sealer
        self._mailer = mailer

    async def send(self, channel: AlertChannel, delivery: AlertDelivery) -> None:
        """Send one message, within seconds. Raises what refuses it, an `AppError`."""
        if channel.kind == ChannelKind.WEBHOOK:
            await self._post(channel, delivery)
            return
        if self._mailer is None:
            raise MailNotSentFromHere
        subject, text = mail_of(delivery.message)
        await self._mailer.send(channel.target, subject, text, message_id=delivery.message_id)

    async def _post(self, channel: AlertChannel, delivery: AlertDelivery) -> None:
        sealed = channel.sealed_secret or b""
        secret = self._sealer().unseal(sealed, about=place_of(channel.id)).decode()
        await webhooks.post(
            self._outbound, channel.target, secret, delivery.message_id, delivery.message, _BOUNDS
        )


def mail_of(message: dict[str, Any]) -> tuple[str, str]:
    """Subject and text of a message."""
    told = message["data"]
    if "count" in told:
        subject = f"[都市OS] ほかに{told['count']}件の指摘 / {told['count']} more findings"
        return subject, f"{told['ja']}\n\n{told['en']}\n\n{told['path']}\n"
    if "rule" not in told:
        return "[都市OS] 通知の試験 / test of an alert channel", f"{told['ja']}\n\n{told['en']}\n"
    about = f"{told['subject']['kind']} {told['subject']['id']}"
    subject = f"[都市OS] {told['severity']} {told['rule']} {about}"
    text = (
        f"{told['ja']}\n期限: {told['due_at']}\n\n{told['en']}\nDue: {told['due_at']}\n\n"
        f"{told['path']}\n"
    )
    return subject, text
