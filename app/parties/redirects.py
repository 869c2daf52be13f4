"""Where a client has people sent back to: which addresses may be registered. Follows none."""

import re
from collections.abc import Sequence
from typing import Final

from app.kit.errors import AppError, Fault, Kind

_MOST: Final = 10
_LONGEST: Final = 512
# One spelling of each address, because it is compared as text (RFC 9700, 4.1.3): a name or number
# in small letters, no user, no fragment, nothing that stands for other text. Plain HTTP only to
# the developer's own machine (RFC 8252, 7.3).
_HOST: Final = r"[a-z0-9](?:[a-z0-9.-]{0,252}[a-z0-9])?"
_PORT: Final = r"(?::[1-9][0-9]{0,4})?"
_PATH: Final = r"/[A-Za-z0-9._~!$&'()+,;=:@%/-]*(?:\?[A-Za-z0-9._~!$&'()+,;=:@%/?-]*)?"
_ALLOWED: Final = re.compile(
    rf"(?:https://{_HOST}|http://(?:127\.0\.0\.1|localhost|\[::1\])){_PORT}{_PATH}"
)
_UP: Final = re.compile(r"/(?:\.|%2e){1,2}(?:/|\?|$)", re.IGNORECASE)
# What the answer adds (RFC 6749, 4.1.2; RFC 9207, 2): said twice it could be read either way.
_OURS: Final = re.compile(r"[?&](?:code|state|iss|error|error_description)(?:=|&|$)")


class RedirectInvalid(AppError):
    """An address that nobody may be sent to."""

    kind = Kind.INVALID
    code = "redirect_uri_invalid"
    ja = "リダイレクト先（redirect_uris）に誤りがあります。"
    en = "A redirect URI is wrong."


def check_redirect_uris(uris: Sequence[str]) -> None:
    """Raise `RedirectInvalid` where one of the addresses may not be registered."""
    faults = [
        Fault(
            f"/redirect_uris/{place}",
            "redirect_uri",
            "https://（開発用は http://127.0.0.1、localhost、[::1]）で始まり、パスを持つ512文字以内の"
            "アドレスです。フラグメント、*、大文字のホスト名、code や state のクエリは使えません。",
            "It begins with https:// (http://127.0.0.1, localhost or [::1] in development), has a"
            " path and at most 512 characters, and no fragment, *, capital in the host, nor code or"
            " state in the query.",
        )
        for place, uri in enumerate(uris)
        if not _is_allowed(uri)
    ]
    if len(uris) > _MOST:
        faults.append(
            Fault("/redirect_uris", "too_many", f"{_MOST}個までです。", f"At most {_MOST}.")
        )
    if faults:
        raise RedirectInvalid(faults=faults)


def _is_allowed(uri: str) -> bool:
    if len(uri) > _LONGEST or not _ALLOWED.fullmatch(uri):
        return False
    return not _UP.search(uri) and not _OURS.search(uri)
