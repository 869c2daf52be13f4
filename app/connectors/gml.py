"""GML of features (3.1.1, 3.2 and the simple shapes of 2) to rows, as it comes. Opens nothing else.

No entity, no document type and nothing of another address is read; an arc is no line and is refused.
"""

from collections.abc import Iterator
from typing import Any, Final

from app.connectors.documents import MOST_PAGE
from app.connectors.errors import SourceBroken, SourceChanged
from app.connectors.ogc_places import Axis, NoPlace, Reference, reference

# Members hold one feature each, and featureMembers any number.
_ONE: Final = frozenset({"member", "featureMember"})
_MANY: Final = "featureMembers"
_SHAPES: Final = frozenset(
    ("Point", "LineString", "LinearRing", "Curve", "CompositeCurve", "Polygon", "Surface",
     "CompositeSurface", "MultiPoint", "MultiCurve", "MultiLineString", "MultiSurface", "MultiPolygon",
     "MultiGeometry")
)  # fmt: skip
_LINES: Final = frozenset({"LineString", "Curve", "CompositeCurve", "OrientableCurve"})
_POSITIONS: Final = frozenset({"pos", "posList", "coordinates"})
_REFUSED: Final = frozenset({"ExceptionReport", "ServiceExceptionReport"})
# What a server says of a type that it has not; all else is told as a refusal (OWS Common, 06-121r9, 8).
_MISSING: Final = frozenset({"InvalidParameterValue", "LayerNotDefined", "NotFound"})
_NIL: Final = "{http://www.w3.org/2001/XMLSchema-instance}nil"
_INNER: Final = frozenset({"FeatureCollection", "Tuple"})
_GML: Final = "http://www.opengis.net/gml"
# By their spaces: a property may be called as a member is.
_HEARD: Final = [
    "{http://www.opengis.net/wfs/2.0}member",
    *(f"{{{_GML}{more}}}{name}" for more in ("", "/3.2") for name in ("featureMember", _MANY)),
    *(f"{{*}}{name}" for name in ("FeatureCollection", "html", *_REFUSED)),
]
_CRS84: Final = "urn:ogc:def:crs:OGC:1.3:CRS84"
Row = dict[str, Any]


class Features:
    """Reads one answer piece by piece. `geometry` is what a row calls its place; None: it has none."""

    def __init__(self, host: str, geometry: str | None, id_: str | None, axis: Axis) -> None:
        from lxml.etree import XMLPullParser  # noqa: PLC0415 - most processes never meet XML

        self._host = host
        self._geometry = geometry
        self._id = id_
        self._axis = axis
        self._parser = XMLPullParser(
            events=("start", "end"), tag=_HEARD, resolve_entities=False, no_network=True,
            load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True,
        )  # fmt: skip
        self._open: Any = None  # what holds many features, while they come
        self._begun = self._ended = False
        self._held = 0  # bytes since the last feature: what is no feature is held
        self.matched: int | None = None  # as the answer says

    def feed(self, piece: bytes) -> list[Row]:
        """The features that this piece ends. Raises `SourceError`."""
        from lxml.etree import XMLSyntaxError  # noqa: PLC0415

        try:
            self._parser.feed(piece)
            rows = list(self._read())
        except (XMLSyntaxError, UnicodeError) as exc:
            raise SourceBroken(source=self._host, at="format", detail="GML") from exc
        except (NoPlace, RecursionError) as exc:
            raise SourceChanged(source=self._host, at="shape", detail="GML") from exc
        self._held = 0 if rows else self._held + len(piece)
        if self._held > MOST_PAGE:
            raise SourceBroken(source=self._host, at="too_long", detail=MOST_PAGE)
        return rows

    def close(self) -> None:
        """Raises `SourceBroken` where it ended too soon, or never began."""
        if not self._begun:
            raise SourceBroken(source=self._host, at="format", detail="GML")
        if not self._ended:
            raise SourceBroken(source=self._host, at="cut_off")

    def _read(self) -> Iterator[Row]:
        for event, element in self._parser.read_events():
            name, parent = _local(element), element.getparent()
            if event == "start" and parent is None:
                self._begin(element)
            elif event == "start":
                self._open = element if name == _MANY else self._open
            elif name in _ONE:
                # A collection in a collection has its features in members of their own.
                yield from (self._row(each) for each in element if _local(each) not in _INNER)
                _let_go(element, parent)
            elif name == _MANY:
                yield from self._drained(list(element))
                self._open = None
            elif parent is None:
                self._end(element)
        if self._open is not None:
            yield from self._drained(self._open[:-1])  # the last one may still be coming

    def _drained(self, features: list[Any]) -> Iterator[Row]:
        for each in features:
            yield self._row(each)
            each.getparent().remove(each)

    def _begin(self, root: Any) -> None:
        self._begun = True
        if root.getroottree().docinfo.doctype:
            raise SourceBroken(source=self._host, at="format", detail="GML")
        if _local(root) == "html":
            raise SourceBroken(source=self._host, at="html")
        told = root.get("numberMatched") or ""  # or "unknown"
        self.matched = int(told) if told.isascii() and told.isdigit() else None

    def _end(self, root: Any) -> None:
        self._ended = True
        if _local(root) in _REFUSED:
            codes = {each.get("exceptionCode") or each.get("code") for each in root.iter()}
            if codes & _MISSING:
                raise SourceBroken(source=self._host, at="missing", detail="typeName")
            raise SourceBroken(source=self._host, at="status", detail="ExceptionReport")

    def _row(self, feature: Any) -> Row:
        row: Row = {}
        if self._id is not None:
            row[self._id] = (
                feature.get(f"{{{_GML}/3.2}}id")
                or feature.get(f"{{{_GML}}}id")
                or feature.get("fid")
            )
        place: Any = None
        for each in feature:
            name, shape = _local(each), _shape_in(each)
            if name == "boundedBy":
                continue
            if shape is not None:
                place = place or self._placed(shape)
            elif name in row:
                held = row[name]
                row[name] = [*(held if isinstance(held, list) else [held]), _value(each)]
            else:
                row[name] = _value(each)
        if self._geometry is not None:
            row[self._geometry] = place
        return row

    def _placed(self, shape: Any) -> dict[str, Any] | None:
        return None if self._geometry is None else _geometry(shape, _name_of(shape), self._axis)


def _local(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _let_go(element: Any, parent: Any) -> None:
    """Forget what has been read, but for the bounds of all, which name the system."""
    element.clear()
    before = element.getprevious()
    if before is not None and _local(before) != "boundedBy":
        parent.remove(before)


def _shape_in(element: Any) -> Any:
    """The geometry that a property holds; None where it holds none."""
    for each in element:
        if _local(each) in _SHAPES and str(each.tag).startswith(f"{{{_GML}"):
            return each
    return None


def _value(element: Any) -> Any:
    """A text, None where it is empty, or members by name."""
    if len(element):
        return {_local(each): _value(each) for each in element}
    if element.get(_NIL) in ("true", "1"):
        return None
    return element.text.strip() or None if element.text is not None else None


def _name_of(shape: Any) -> str:
    """What its system is called: by itself, by what it lies in, or by the bounds of all."""
    at = shape
    while at is not None:
        if name := at.get("srsName"):
            return str(name)
        if _local(at) == "FeatureCollection":
            bounds = at.find("{*}boundedBy/{*}Envelope")
            if bounds is not None and bounds.get("srsName"):
                return str(bounds.get("srsName"))
        at = at.getparent()
    return _CRS84


def _geometry(shape: Any, name: str, axis: Axis) -> dict[str, Any]:
    its = _Shape(reference(shape.get("srsName") or name, axis), name, axis)
    kind = _local(shape)
    if kind == "Point":
        return {"type": "Point", "coordinates": its.positions(shape)[0]}
    if kind in _LINES or kind == "LinearRing":
        return {"type": "LineString", "coordinates": its.line(shape)}
    if kind in ("Polygon", "PolygonPatch"):
        return {"type": "Polygon", "coordinates": its.rings(shape)}
    if kind == "MultiPoint":
        points = [its.positions(each)[0] for each in _within(shape, frozenset({"Point"}))]
        return {"type": kind, "coordinates": points}
    if kind in ("MultiCurve", "MultiLineString"):
        lines = [its.line(each) for each in _members(shape)]
        return {"type": "MultiLineString", "coordinates": lines}
    if kind in ("Surface", "CompositeSurface", "MultiSurface", "MultiPolygon"):
        flat = _within(shape, frozenset({"Polygon", "PolygonPatch"}))
        return {"type": "MultiPolygon", "coordinates": [its.rings(each) for each in flat]}
    if kind == "MultiGeometry":
        parts = [_geometry(each, name, axis) for each in _members(shape)]
        return {"type": "GeometryCollection", "geometries": parts}
    raise NoPlace


class _Shape:
    """Reads the positions of one geometry."""

    def __init__(self, by: Reference, name: str, axis: Axis) -> None:
        self._by = by
        self._name = name
        self._axis = axis

    def positions(self, shape: Any) -> list[tuple[float, float]]:
        """All positions right in an element. Raises `NoPlace` where there is none."""
        found: list[tuple[float, float]] = []
        for each in shape:
            if _local(each) in _POSITIONS:
                dimension = int(_dimension(each))
                found += self._by.lonlat(_numbers(each), dimension)
        if not found:
            raise NoPlace
        return found

    def line(self, shape: Any) -> list[tuple[float, float]]:
        """A line, its segments one behind the other."""
        if any(_local(each) in _POSITIONS for each in shape):
            return self.positions(shape)
        found: list[tuple[float, float]] = []
        for each in shape:
            if _local(each) not in ("segments", "curveMember", "LineStringSegment", *_LINES):
                raise NoPlace  # an arc, a circle, a spline
            part = self.line(each)
            found += part[1:] if found and part and found[-1] == part[0] else part
        if not found:
            raise NoPlace
        return found

    def rings(self, shape: Any) -> list[list[tuple[float, float]]]:
        """The outer ring, then those of holes."""
        outer: list[list[tuple[float, float]]] = []
        inner: list[list[tuple[float, float]]] = []
        for each in shape:
            role = _local(each)
            if role not in ("exterior", "outerBoundaryIs", "interior", "innerBoundaryIs"):
                continue
            ring = [self._ring(one) for one in each]
            (outer if role in ("exterior", "outerBoundaryIs") else inner).extend(ring)
        if len(outer) != 1:
            raise NoPlace
        return [*outer, *inner]

    def _ring(self, ring: Any) -> list[tuple[float, float]]:
        return self.positions(ring) if _local(ring) == "LinearRing" else self.line(ring)


def _dimension(element: Any) -> str:
    at = element
    while at is not None:
        if told := at.get("srsDimension") or at.get("dimension"):
            return str(told) if str(told) in ("2", "3") else "2"
        at = at.getparent()
    return str(len((element.text or "").split())) if _local(element) == "pos" else "2"


def _numbers(element: Any) -> list[float]:
    text = element.text or ""
    if _local(element) == "coordinates":  # GML 2: x,y x,y by signs that may be others
        between = element.get("ts") or " "
        text = text.replace(element.get("cs") or ",", " ").replace(between, " ")
    try:
        return [float(each) for each in text.split()]
    except ValueError as exc:
        raise NoPlace from exc


def _members(shape: Any) -> Iterator[Any]:
    for member in shape:
        yield from (each for each in member if _local(each) in _SHAPES)


def _within(shape: Any, kinds: frozenset[str]) -> Iterator[Any]:
    return (each for each in shape.iterdescendants() if _local(each) in kinds)
