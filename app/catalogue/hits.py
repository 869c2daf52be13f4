"""The place of a hit in the order of a search, as a page's cursor tells it. Knows no text."""

from dataclasses import dataclass

from app.query.refusals import InvalidCursor


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a hit stands in the order; whole and unique, so that a page can go on behind it."""

    level: int
    length: int
    id: str

    def __str__(self) -> str:
        return f"{self.level}:{self.length}:{self.id}"

    @classmethod
    def read(cls, text: str) -> "Place":
        """What `str` wrote. Raises `InvalidCursor`."""
        level, _, rest = text.partition(":")
        length, _, id_ = rest.partition(":")
        if not (id_ and _is_small(level) and _is_small(length)):
            raise InvalidCursor
        return cls(int(level), int(length), id_)


def _is_small(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 9
