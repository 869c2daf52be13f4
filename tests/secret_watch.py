"""Reads every line that the suite logs, at DEBUG, and says which hold a secret."""

import logging
import re
from collections.abc import Mapping
from typing import Any, Final

from app.formats.individual_number import holds_number

_TOLD_BY: Final = (
    re.compile(r"eyJ[\w-]{6,}\.[\w-]+\.[\w-]+"),  # a JWT: access token, assertion or proof
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    re.compile(r"""["']d["']\s*:\s*b?["'][\w-]{20,}"""),  # the private half of a JWK
)
# Writes each statement with its values when it may, which takes a multiple of the tests' own time.
_TOO_MUCH: Final = "sqlalchemy"


def holds_secret(line: str) -> bool:
    """Whether a line holds what looks like a token, a private key or an individual number."""
    return any(pattern.search(line) for pattern in _TOLD_BY) or holds_number(
        line.encode("utf-8", "replace")
    )


class SecretWatch(logging.Handler):
    """Keeps where a secret was logged, and not the secret. Takes structlog's events too."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(message)s"))
        self.found: list[str] = []

    def start(self) -> None:
        """Hear everything from now on."""
        root = logging.getLogger()
        root.addHandler(self)
        root.setLevel(logging.DEBUG)
        logging.getLogger(_TOO_MUCH).setLevel(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        """One record of the standard library's logging, with its traceback."""
        if holds_secret(self.format(record)):
            self.found.append(f"{record.name}, {record.pathname}:{record.lineno}")

    def event(self, _logger: Any, _method: str, said: Mapping[str, Any]) -> Mapping[str, Any]:
        """One event of structlog, on its way to where it is written."""
        if holds_secret(repr(said)):
            self.found.append(f"structlog, event {str(said.get('event'))[:40]!r}")
        return said

    def take(self) -> list[str]:
        """Where secrets were logged since this was last asked."""
        found, self.found = self.found, []
        return found
