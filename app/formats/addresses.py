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


# A whole address in the cell of one of its parts: a prefecture before it, or a municipality and a
# section of it (Rust's pattern syntax, for whole columns).
WHOLE_ADDRESS = (
    r"^(?:東京都|北海道|京都府|大阪府|[^0-9０-９]{2,3}県).*[市区町村].+"
    r"|郡[^0-9０-９]{1,5}[町村].+|[市区町村]大?字.+[0-9０-９]"
)
ADDRESS_PARTS = re.compile(r"(?:^|_)(?:municipality|town)$")
