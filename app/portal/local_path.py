"""Where a page may lead back to: a path of this server. Never another address."""

import re
from typing import Final
from urllib.parse import quote, unquote

HOME: Final = "/account"
_LONGEST: Final = 2_000
# Visible ASCII without the backslash, which browsers read as a slash, and without a fragment.
_SHAPE: Final = re.compile(r"/[!\"$-\[\]-~]*")
_ODD: Final = re.compile(r"//|/\.{1,2}(?:/|$)|\\|[\x00-\x20\x7f]")
_LAYERS: Final = 3  # of percent-encoding that somebody on the way might take off


def local_path(asked: str | None, home: str = HOME) -> str:
    """What was asked for if it is a plain path of this server, else one's own page."""
    if asked is None or len(asked) > _LONGEST or not _SHAPE.fullmatch(asked):
        return home
    path = asked.partition("?")[0]
    for _ in range(_LAYERS):
        if _ODD.search(path):
            return home
        path = unquote(path)
    return home if _ODD.search(path) else asked


def leading_to(page: str, return_to: str, *, again: bool = False) -> str:
    """The address of a page that leads back to `return_to`; `again`: of a sign-in that is to be new."""
    return f"{page}?return_to={quote(return_to, safe='')}{'&again=1' if again else ''}"
