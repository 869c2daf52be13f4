"""Whether texts are what a table says they are. Pure: it looks at bytes, and quotes none of them."""

import re
from collections.abc import Sequence
from typing import Final

from app.connectors.errors import SourceBroken

_CODECS: Final = {"cp932": "cp932", "utf8mb4": "utf-8", "ujis": "euc_jp"}
# Letters that only a Japanese text has: kana, and kanji side by side.
_JAPANESE: Final = re.compile("[ぁ-んァ-ヶ]|[一-龠]{2}")
_ENOUGH: Final = 2  # texts


def check_sample(source: str, texts: Sequence[bytes], charset: str | None) -> None:
    """Raises `SourceBroken` where texts are not of the charset that was declared; without one,
    where texts that are said to be latin1 are plainly Japanese."""
    telling = [text for text in texts if not text.isascii()]
    if charset is not None:
        if not all(_reads(text, _CODECS[charset]) for text in telling):
            raise SourceBroken(source=source, at="charset", detail=charset)
        return
    for codec in ("utf-8", "cp932", "euc_jp"):
        read = [each for text in telling if (each := _reads(text, codec)) is not None]
        if len(read) == len(telling) and sum(map(_is_japanese, read)) >= min(
            _ENOUGH, len(telling) or 1
        ):
            raise SourceBroken(source=source, at="charset", detail="latin1")


def _reads(text: bytes, codec: str) -> str | None:
    try:
        return text.decode(codec)
    except UnicodeDecodeError:
        return None


def _is_japanese(text: str) -> bool:
    return _JAPANESE.search(text) is not None
