"""Joins headings that stand in one, two or three rows, merged or not, to one label a column; pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.formats.readers.text.records import Record
from app.formats.text import BLANKS

MOST_ROWS = 3


@dataclass(frozen=True, slots=True, order=True)
class Merge:
    """Cells shown as one: lines, and positions in a record (or columns of a sheet), inclusive."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def is_wide(self) -> bool:
        """Whether it spans columns."""
        return self.right > self.left

    def covers(self, line: int, at: int) -> bool:
        """Whether the cell is one of them."""
        return self.top <= line <= self.bottom and self.left <= at <= self.right


def heading_rows(
    rows: Sequence[Record], at: int, merges: Sequence[Merge], is_data: Callable[[str], bool]
) -> tuple[int, int]:
    """The first and the last (inclusive) of the heading rows around `at`."""
    near = _near(rows, at, merges)
    if not near:
        return _unmerged(rows, at, is_data)
    first, last = at, at
    while last - first + 1 < MOST_ROWS and _heads(rows, first - 1, near, is_data):
        first -= 1
    while last - first + 1 < MOST_ROWS and _continues(rows, first, last, near, is_data):
        last += 1
    return first, last


def joined(rows: Sequence[Record], first: int, last: int, merges: Sequence[Merge]) -> list[str]:
    """One label for each column: the words above it from top to bottom, each once."""
    near = _near(rows, first, merges)
    width = max(len(row.cells) for row in rows[first : last + 1])
    if not near:
        return _filled_forward(rows[first : last + 1], width)
    return ["_".join(_words(rows[first : last + 1], at, near)) for at in range(width)]


def _near(rows: Sequence[Record], at: int, merges: Sequence[Merge]) -> list[Merge]:
    """The merges that may be headings: those that begin in the rows around `at`."""
    top = rows[max(at - MOST_ROWS + 1, 0)].line
    bottom = rows[min(at + MOST_ROWS - 1, len(rows) - 1)].line
    return [merge for merge in merges if top <= merge.top <= bottom]


def cell(row: Record, at: int) -> str:
    """The stripped cell; empty where the row is shorter."""
    return row.cells[at].strip(BLANKS) if at < len(row.cells) else ""


def _filled(row: Record) -> list[int]:
    return [at for at in range(len(row.cells)) if cell(row, at)]


def _merge_at(merges: Sequence[Merge], line: int, at: int) -> Merge | None:
    return next((merge for merge in merges if merge.covers(line, at)), None)


def _heads(
    rows: Sequence[Record], index: int, merges: Sequence[Merge], is_data: Callable[[str], bool]
) -> bool:
    """Whether the row at `index` groups the headings right below it, and is no title of them."""
    if index < 0 or rows[index].line + 1 != rows[index + 1].line:
        return False
    above, below = rows[index], rows[index + 1]
    filled = _filled(above)
    if len(filled) < 2 or any(is_data(cell(above, at)) for at in filled):
        return False
    for at in filled:
        merge = _merge_at(merges, above.line, at)
        if merge is None:
            return False
        reaches = merge.bottom >= below.line
        subs = sum(1 for sub in range(merge.left, merge.right + 1) if cell(below, sub))
        if not reaches and subs < 2:
            return False
    return True


def _continues(
    rows: Sequence[Record],
    first: int,
    last: int,
    merges: Sequence[Merge],
    is_data: Callable[[str], bool],
) -> bool:
    """Whether the row after `last` still holds headings."""
    if last + 1 >= len(rows):
        return False
    below = rows[last + 1]
    if any(rows[first].line <= merge.top < below.line <= merge.bottom for merge in merges):
        return True
    words = _filled(below)
    if not words or any(is_data(cell(below, at)) for at in words):
        return False
    for at in words:  # each stands under a group, or where the rows above leave a gap
        above = [_merge_at(merges, row.line, at) for row in rows[first : last + 1]]
        grouped = any(merge is not None and merge.is_wide for merge in above)
        named = any(cell(row, at) for row in rows[first : last + 1])
        if not grouped and named:
            return False
    wide = [merge for merge in merges if merge.is_wide and merge.bottom == rows[last].line]
    singles = [at for at in _filled(rows[last]) if not _is_in(wide, at)]
    return bool(wide) and all(not cell(below, at) for at in singles) and _fills(wide, below)


def _is_in(merges: Sequence[Merge], at: int) -> bool:
    return any(merge.left <= at <= merge.right for merge in merges)


def _fills(groups: Sequence[Merge], below: Record) -> bool:
    """Whether every group has a name for each of its columns, and something else than data would.

    A row of data fills the groups as well, but it also fills the columns beside them; where there
    are no columns beside, at least two groups must repeat their names (男, 女, 男, 女).
    """
    named = [[cell(below, at) for at in range(group.left, group.right + 1)] for group in groups]
    if not all(all(names) and len(set(names)) == len(names) for names in named):
        return False
    beside = [at for at in range(len(below.cells)) if not _is_in(groups, at)]
    return bool(beside) or len({tuple(names) for names in named}) < len(named)


def _words(rows: Sequence[Record], at: int, merges: Sequence[Merge]) -> list[str]:
    words: list[str] = []
    seen: set[Merge] = set()
    for row in rows:
        merge = _merge_at(merges, row.line, at)
        if merge is None:
            words.append(cell(row, at))
        elif merge not in seen:
            seen.add(merge)
            origin = next((each for each in rows if each.line == merge.top), row)
            words.append(cell(origin, merge.left))
    return [word for word in words if word]


def _unmerged(rows: Sequence[Record], at: int, is_data: Callable[[str], bool]) -> tuple[int, int]:
    """The same for a text, where a merged heading is known only by the gaps that it leaves."""
    first = last = at
    if _is_group_row(rows, at, is_data):
        first = at - 1
    while last - first + 1 < MOST_ROWS and last + 1 < len(rows):
        above = _filled_forward(rows[first : last + 1], len(rows[last].cells), only_own=True)
        if not _has_gaps_filled(above, rows[last + 1], rows[-1], is_data):
            break
        last += 1
    return first, last


def _is_group_row(rows: Sequence[Record], at: int, is_data: Callable[[str], bool]) -> bool:
    """A row of groups over a fuller one whose first heading stands beside the first group."""
    if at == 0:
        return False
    above, below = rows[at - 1], rows[at]
    filled = _filled(above)
    if len(filled) < 2 or filled[0] != 0 or any(is_data(cell(above, each)) for each in filled):
        return False
    own = [each for each in filled if not cell(below, each)]
    ends = [*filled[1:], len(below.cells)]
    groups = [
        sum(1 for sub in range(start, end) if cell(below, sub))
        for start, end in zip(filled, ends, strict=True)
        if start not in own
    ]
    return 0 in own and bool(groups) and min(groups) >= 2


def _has_gaps_filled(
    above: list[str], below: Record, final: Record, is_data: Callable[[str], bool]
) -> bool:
    """A merged heading leaves gaps that the row below fills, and has figures further down."""
    names = [cell(below, at) for at in range(len(below.cells))]
    pairs = list(zip(above, names, strict=False))
    gaps = any(not top and sub for top, sub in pairs)
    merged = any(top and not sub for top, sub in pairs)
    words = not any(map(is_data, names))
    return gaps and merged and words and any(map(is_data, map(str.strip, final.cells)))


def _filled_forward(rows: Sequence[Record], width: int, *, only_own: bool = False) -> list[str]:
    """Labels of rows without merges: a group's name holds up to the next one's."""
    labels = [""] * width
    for number, row in enumerate(rows):
        group = ""
        is_last = number == len(rows) - 1
        for at in range(width):
            word = cell(row, at)
            group = word or group
            if only_own or is_last:
                part = word
            else:
                below = any(cell(each, at) for each in rows[number + 1 :])
                part = group if below else word
            labels[at] = f"{labels[at]}_{part}" if labels[at] and part else labels[at] or part
    return labels
