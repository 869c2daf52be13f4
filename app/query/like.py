"""LIKE, letter by letter: % is any text, _ one character, \\ takes the next as it is.

In time that grows as text times pattern: what follows a % is looked for once, from the left.
"""

import re
from functools import lru_cache
from typing import Final

MOST_WILDCARDS: Final = 100  # of %
MOST_PATTERN: Final = 1_000  # characters: at worst each is compared with each of the text
_PIECE: Final = re.compile(r"\\.|[%_]|[^\\%_]+", re.DOTALL)
Run = tuple[str | None, ...]  # characters, None where any stands


def ends_escaping(pattern: str) -> bool:
    """Whether the last backslash has nothing to take as it is."""
    return (len(pattern) - len(pattern.rstrip("\\"))) % 2 == 1


def wildcards(pattern: str) -> int:
    """How many runs of % a pattern has."""
    return len(_runs(pattern)) - 1


def literally(text: str) -> str:
    """The pattern of a text that stands for itself alone."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def is_like(text: str, pattern: str) -> bool:
    """Whether the text matches the pattern (21-065r2, 7.3)."""
    first, *rest = _runs(pattern)
    if not _stands(text, 0, first):
        return False
    at = len(first)
    if not rest:
        return at == len(text)
    *middle, last = rest
    for run in middle:
        found = _find(text, at, run)
        if found is None:
            return False
        at = found + len(run)
    end = len(text) - len(last)
    return at <= end and _stands(text, end, last)


@lru_cache(maxsize=256)
def _runs(pattern: str) -> tuple[Run, ...]:
    """What stands between the %, those side by side being one."""
    runs: list[list[str | None]] = [[]]
    for piece in _PIECE.findall(pattern):
        if piece == "%":
            if runs[-1] or len(runs) == 1:
                runs.append([])
        elif piece == "_":
            runs[-1].append(None)
        else:
            runs[-1].extend(piece[1:] if piece[0] == "\\" else piece)
    return tuple(tuple(run) for run in runs)


def _stands(text: str, at: int, run: Run) -> bool:
    return at + len(run) <= len(text) and all(
        wanted is None or text[at + place] == wanted for place, wanted in enumerate(run)
    )


def _find(text: str, start: int, run: Run) -> int | None:
    for at in range(start, len(text) - len(run) + 1):
        if _stands(text, at, run):
            return at
    return None
