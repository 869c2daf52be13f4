"""The forms that OAuth's endpoints take. Judges no parameter."""

from typing import Final
from urllib.parse import parse_qsl

from app.oauth.refusals import InvalidRequest

LONGEST_BODY: Final = 16 * 1024
_MOST_FIELDS: Final = 20


def read_form(content_type: str | None, query: bytes, body: bytes) -> dict[str, str]:
    """The parameters of a token request, each once, or `InvalidRequest` (RFC 6749, 3.2, app. B)."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise unreadable(
            "content_type",
            "Content-Type は application/x-www-form-urlencoded です。",
            "the Content-Type must be application/x-www-form-urlencoded.",
        )
    if query:
        raise unreadable(
            "query", "パラメータは本文に書いてください。", "put parameters in the body."
        )
    if len(body) > LONGEST_BODY:
        raise unreadable("too_long", "本文は16KBまでです。", "the body may be 16 KB.")
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError as exc:
        raise unreadable("form", "本文を読めません。", "the body cannot be read.") from exc
    form = dict(pairs)
    if len(form) != len(pairs):
        raise unreadable(
            "duplicate", "同じパラメータが二度あります。", "a parameter is given more than once."
        )
    return form


def unreadable(why: str, mend_ja: str, mend_en: str) -> InvalidRequest:
    """A form that is none of ours, with its mend."""
    return InvalidRequest(why, mend_ja=mend_ja, mend_en=mend_en)
