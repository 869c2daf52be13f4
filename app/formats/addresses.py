"""One plain way to write a Japanese address for comparison; the source text is kept elsewhere."""

import re

from app.formats.text import ascii_dashes, ascii_digits

_NUMBER_DASH = re.compile(r"(?<=[0-9])[‐‑‒–—―−－ー─](?=[0-9])")
_FULL_DIGIT = re.compile(r"[０-９]")


def normal_address(text: str) -> str:
    """Full-width digits and the hyphens between them as ASCII: １丁目２－３ is 1丁目2-3.

    Names stay as they are: the long vowel of センター is not a hyphen.
    """
    plain = _FULL_DIGIT.sub(lambda found: ascii_digits(found[0]), text)
    return _NUMBER_DASH.sub(lambda found: ascii_dashes(found[0]), plain)
