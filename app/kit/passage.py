"""The platforms that a request came through, told to whoever is asked because of it. Decides nothing.

Platforms that broker each other's data would ask each other for ever: each writes itself into
`Linkage-Via`, and answers no request that has come through it.
"""

import re
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Final

from app.kit.errors import AppError, Kind

VIA: Final = "Linkage-Via"
MOST_PLATFORMS: Final = 4  # that one question goes through, the last one included
_PLATFORM: Final = re.compile(r"[\x21-\x2b\x2d-\x7e]{1,300}")  # visible, and no comma


class FederationLoop(AppError):
    """A question would come through a platform twice, or through too many."""

    kind = Kind.LOOP
    code = "federation_loop"
    ja = (
        "この問い合わせは同じ基盤を二度経由するか、経由する基盤が{most}を超えます（Linkage-Via）。互いに中継し合う"
        "データセットの提供元を見直してください。"
    )
    en = (
        "This question would come through the same platform twice, or through more than {most}"
        " (Linkage-Via). Mend the sources of datasets that platforms broker from each other."
    )

    def __init__(self) -> None:
        super().__init__(most=MOST_PLATFORMS)


Platforms = tuple[str, ...]  # by their issuers, this one last
_now: ContextVar[Platforms] = ContextVar("passage", default=())


def platforms() -> Platforms:
    """The way of the request that is being answered; nobody where there is none."""
    return _now.get()


def sent() -> dict[str, str]:
    """What the next one is told."""
    return {VIA: ", ".join(found)} if (found := platforms()) else {}


class taken_up:  # noqa: N801 - a block, as `contextmanager` makes them, and quicker
    """The way of a request, for as long as it is answered. Gives False where it has come through
    here before, or through too many.

    `own`: this platform alone, which is where most requests begin.
    """

    __slots__ = ("_found", "_is_new", "_token")

    def __init__(self, headers: Iterable[tuple[bytes, bytes]], own: Platforms) -> None:
        self._found, self._is_new = _read(headers, own)

    def __enter__(self) -> bool:
        self._token = _now.set(self._found)
        return self._is_new

    def __exit__(self, *_: object) -> None:
        _now.reset(self._token)


def _read(headers: Iterable[tuple[bytes, bytes]], own: Platforms) -> tuple[Platforms, bool]:
    lines = [value for name, value in headers if name == b"linkage-via"]
    if not lines:
        return own, True
    via = b",".join(lines).decode("latin-1")
    came = tuple(filter(None, (each.strip() for each in via.split(","))))
    is_new = not set(came) & set(own) and len(came) < MOST_PLATFORMS
    return (*came, *own), is_new and all(map(_PLATFORM.fullmatch, came))
