"""What sources and we agree on where they send to us: the header of the secret, and how long a body is."""

from typing import Final

SECRET_HEADER: Final = "X-Urbanos-Notification-Secret"  # noqa: S105 - a header's name
LONGEST: Final = 1 << 20
