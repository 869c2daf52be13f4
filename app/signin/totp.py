"""One-time codes by time (RFC 6238): made by an app on a telephone, checked here. Does no I/O."""

import unicodedata
from datetime import datetime
from typing import Final

import pyotp
from pyotp.exceptions import OTPVerificationError

_ISSUER: Final = "Urban OS"
_SKEW: Final = 1  # steps before and after: clocks differ (RFC 6238, 5.2)


def new_secret() -> str:
    """160 random bits in base32."""
    return pyotp.random_base32()


def uri_of(secret: str, email: str) -> str:
    """What an authenticator app reads from the picture."""
    return pyotp.TOTP(secret, name=email, issuer=_ISSUER).provisioning_uri()


def picture_of(uri: str) -> str:
    """The address as a QR code: SVG to stand in a page. Takes milliseconds: call it in a thread."""
    import segno  # noqa: PLC0415 - for one page that each person sees once

    told: str = segno.make(uri, micro=False).svg_inline(omitsize=True, border=4)
    return told


def step_of(secret: str, code: str, at: datetime) -> int | None:
    """The step of time that the code belongs to, None for a wrong one."""
    plain = "".join(unicodedata.normalize("NFKC", code).split())
    try:
        return pyotp.TOTP(secret).verify_and_get_timecode(plain, for_time=at, valid_window=_SKEW)
    except OTPVerificationError:
        return None
