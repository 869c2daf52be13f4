"""Which candidates a condition of place holds for: arithmetic on arrays, and no I/O.

It brings NumPy and GEOS along, so it is imported by the first question that needs it, in a thread.
"""

from array import array
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray

from app.query.geojson import Shape
from app.query.geometry import boxes_of
from app.query.question import Box, Relation, Spatial
from app.query.relations import read_shape, relate
from app.tables.found import MOST_LISTED, NOTHING, Found, TooManyCandidates

MOST_UNDECIDED: Final = 500_000  # geometries that GEOS looks at for one condition
MOST_UNDECIDED_BYTES: Final = 1 << 30
_MOST_PENDING: Final = 200_000
_HAIR: Final = 1e-9  # degrees: a tenth of a millimetre
_BATCH_ROWS: Final = 2_000
_BATCH_BYTES: Final = 4 << 20
# A row, its bounds, the bytes of its geometry: as PostgreSQL sends them, and as COPY writes them.
_NAMES: Final = ("row", "west", "south", "east", "north", "size")
_KINDS: Final = ("i8", "f8", "f8", "f8", "f8", "i8")
_CANDIDATE: Final = np.dtype(list(zip(_NAMES, _KINDS, strict=True)))
_COPIED: Final = np.dtype(
    {
        "names": list(_NAMES),
        "formats": [f">{kind}" for kind in _KINDS],
        "offsets": [6 + 12 * at for at in range(len(_NAMES))],
        "itemsize": 2 + 12 * len(_NAMES),  # the number of columns; of each its length, its bytes
    }
)
_COPY_HEAD: Final = 19  # the signature, flags, an extension of no length

Candidates = NDArray[Any]  # of _CANDIDATE
Rows = NDArray[np.int64]
_TRUE_INSIDE: Final = frozenset({Relation.INTERSECTS, Relation.WITHIN, Relation.DWITHIN})


class Sieve:
    """Takes the candidates of one condition and parts them, then what was seen of the open ones.

    Many rows are collected in a byte each, however often and in whatever order they come.
    """

    def __init__(self, part: Spatial | Box) -> None:
        self._part = part
        self._rows: list[Rows] = []
        self._rows_number = 0
        self._is_found = np.zeros(0, dtype=bool)
        self._open: list[Candidates] = []
        self._open_number = self._open_bytes = 0
        self._tail = b""
        self._is_begun = False

    def take_few(self, records: Sequence[Sequence[Any]]) -> None:
        """Candidates with the texts of the smaller ones. Raises `TooManyCandidates`."""
        seen = [record for record in records if record[-1] is not None]
        if isinstance(self._part, Box):  # bounds leave all of them open
            unseen = [record for record in records if record[-1] is None]
        else:
            sure, undecided = _sorted_out(self._part, _listed(records))
            self._add(sure)
            rows = set(undecided["row"].tolist())
            seen = [record for record in seen if record[0] in rows]
            unseen = [record for record in records if record[-1] is None and record[0] in rows]
        if seen:
            self.take_texts([(record[0], record[-1]) for record in seen])
        if unseen:
            self._leave_open(_listed(unseen))

    def take_copied(self, piece: bytes) -> None:
        """Some bytes of COPY's binary format. Raises `TooManyCandidates`."""
        if not self._is_begun:
            piece, self._is_begun = piece[_COPY_HEAD:], True
        held = self._tail + piece
        whole = len(held) // _COPIED.itemsize * _COPIED.itemsize
        self._tail = held[whole:]  # at the end the two bytes of its mark
        self._sort(np.frombuffer(held[:whole], dtype=_COPIED).astype(_CANDIDATE))

    def _sort(self, candidates: Candidates) -> None:
        sure, undecided = _sorted_out(self._part, candidates)
        self._add(sure)
        self._leave_open(undecided)

    def _leave_open(self, undecided: Candidates) -> None:
        self._open.append(undecided)
        self._open_number += len(undecided)
        self._open_bytes += int(undecided["size"].sum())
        if self._open_number > MOST_UNDECIDED or self._open_bytes > MOST_UNDECIDED_BYTES:
            raise TooManyCandidates

    @property
    def has_open(self) -> bool:
        """Whether bounds have left any geometry to be seen."""
        return self._open_number > 0

    def batches(self) -> list[list[int]]:
        """The rows whose geometries must be seen, so many at a time as fit into a few megabytes."""
        undecided = np.concatenate(self._open)
        undecided = undecided[np.argsort(undecided["row"])]
        by_bytes = np.cumsum(undecided["size"]) // _BATCH_BYTES
        by_number = np.arange(len(undecided)) // _BATCH_ROWS
        cuts = np.flatnonzero(np.diff(by_bytes) | np.diff(by_number)) + 1
        return [each.tolist() for each in np.split(_rows(undecided), cuts)]

    def take_texts(self, records: Iterable[Sequence[Any]]) -> None:
        """Rows with their geometries: those that the condition is to be held for are found."""
        rows, texts = zip(*records, strict=True)
        geometries = shapely.from_geojson(np.array(texts, dtype=object))
        self._add(np.array(rows, np.int64)[_judged(self._part, geometries)])

    def _add(self, rows: Rows) -> None:
        self._rows.append(rows)
        self._rows_number += len(rows)
        if self._rows_number > _MOST_PENDING:
            self._mark()

    def _mark(self) -> None:
        """Put the rows that were added down in their places."""
        rows = np.concatenate([*self._rows, np.zeros(1, np.int64)])
        highest = int(rows.max())
        if highest >= len(self._is_found):
            longer = np.zeros(max(2 * len(self._is_found), highest + 1), dtype=bool)
            longer[: len(self._is_found)] = self._is_found
            self._is_found = longer
        self._is_found[rows] = True
        self._rows, self._rows_number = [], 0

    def found(self) -> Found:
        """All rows that were found."""
        if not self._rows_number and not len(self._is_found):
            return NOTHING
        if not len(self._is_found) and self._rows_number <= MOST_LISTED:
            return Found(array("q", np.unique(np.concatenate(self._rows)).tobytes()))
        self._mark()
        self._is_found[0] = False  # rows are numbered from 1
        rows = np.flatnonzero(self._is_found)
        if len(rows) <= MOST_LISTED:
            return Found(array("q", rows.tobytes()))
        first, last = int(rows[0]), int(rows[-1])
        bits = np.packbits(self._is_found[first : last + 1], bitorder="little")
        return Found(array("q"), first, last, bits.tobytes())


def _listed(records: Iterable[Sequence[Any]]) -> Candidates:
    return np.array([tuple(record[: len(_NAMES)]) for record in records], dtype=_CANDIDATE)


def _sorted_out(part: Spatial | Box, of: Candidates) -> tuple[Rows, Candidates]:
    """The rows that bounds alone settle for the condition, and those whose geometry must be seen.

    Points are their own bounds, so none of them is left.
    """
    if isinstance(part, Box):
        return _rows(of[:0]), of
    if part.field is None:
        points = shapely.points(of["west"], of["south"])
        return _rows(of[relate(part.relation, points, part.shape, part.metres)]), of[:0]
    of = of[_can_be(part.relation, part.shape, of)]
    inside, outside = _sides(part.shape, of, reaching=part.relation is Relation.DWITHIN)
    sure = of[inside] if part.relation in _TRUE_INSIDE else of[:0]
    return _rows(sure), of[~inside & ~outside]


def _rows(candidates: Candidates) -> Rows:
    return candidates["row"].astype(np.int64)


def _can_be(relation: Relation, shape: Shape, of: Candidates) -> NDArray[np.bool_]:
    """What follows from bounds for geometries that hold the shape, or lie in it, or are it."""
    holds = (of["west"] <= shape.west) & (of["south"] <= shape.south)
    holds &= (of["east"] >= shape.east) & (of["north"] >= shape.north)
    lies = (of["west"] >= shape.west) & (of["south"] >= shape.south)
    lies &= (of["east"] <= shape.east) & (of["north"] <= shape.north)
    match relation:
        case Relation.CONTAINS:
            return holds
        case Relation.WITHIN:
            return lies
        case Relation.EQUALS:
            return holds & lies
        case _:
            return np.ones(len(of), dtype=bool)


def _sides(
    shape: Shape, of: Candidates, *, reaching: bool
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Candidates whose bounds lie in the shape's inside, and those that do not meet it at all.

    A shape that crosses itself has no inside to be sure of; a distance reaches what is not met.
    """
    wanted = read_shape(shape.text)
    none = np.zeros(len(of), dtype=bool)
    if not shapely.is_valid(wanted):
        return none, none
    shapely.prepare(wanted)
    # A box without area is no polygon to GEOS; a hair too large it is one, and no answer wrong.
    west, south, east, north = of["west"], of["south"], of["east"], of["north"]
    bounds = shapely.box(west - _HAIR, south - _HAIR, east + _HAIR, north + _HAIR)
    try:
        inside = shapely.contains_properly(wanted, bounds)
        return inside, none if reaching else ~inside & shapely.disjoint(wanted, bounds)
    except shapely.errors.GEOSException:
        return none, none


def _judged(part: Spatial | Box, geometries: NDArray[Any]) -> NDArray[np.bool_]:
    """Which of them the condition is to be held for: of a box, those that do not meet it."""
    if isinstance(part, Spatial):
        return relate(part.relation, geometries, part.shape, part.metres)
    return ~_meets(part, geometries)


def outside(box: Box, texts: Sequence[str]) -> list[bool]:
    """Which geometries do not meet the box."""
    geometries = shapely.from_geojson(np.array(texts, dtype=object))
    found: list[bool] = (~_meets(box, geometries)).tolist()
    return found


def _meets(box: Box, geometries: NDArray[Any]) -> NDArray[np.bool_]:
    found = np.zeros(len(geometries), dtype=bool)
    for each in boxes_of(box):
        area = _area(each)
        try:
            found |= shapely.intersects(area, geometries)
        except shapely.errors.GEOSException:  # one is too broken: all are asked with more care
            text = shapely.to_geojson(area)
            found |= relate(Relation.INTERSECTS, geometries, Shape(text, *area.bounds))
    return found


def _area(box: Box) -> Any:
    """The box as a geometry: one without width is a line, one without any side a point."""
    west, south, east, north = box.west, box.south, box.east, box.north
    if west == east and south == north:
        return shapely.Point(west, south)
    if west == east or south == north:
        return shapely.LineString([(west, south), (east, north)])
    return shapely.box(west, south, east, north)
