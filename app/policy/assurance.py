"""How surely somebody is who they say (levels of assurance). Knows no provider and asks nobody."""

from enum import StrEnum
from typing import Final

_URN: Final = "urn:urbanos:loa:"


class Level(StrEnum):
    """How surely a citizen signed in, the least sure first."""

    LOW = "low"
    SUBSTANTIAL = "substantial"
    HIGH = "high"

    @property
    def acr(self) -> str:
        """As tokens and requests name it (OpenID Connect Core, 2)."""
        return _URN + self.value

    def reaches(self, wanted: "Level") -> bool:
        """Whether it is at least what is wanted."""
        return _ORDER.index(self) >= _ORDER.index(wanted)


_ORDER: Final = tuple(Level)
BY_ACR: Final = {level.acr: level for level in Level}
