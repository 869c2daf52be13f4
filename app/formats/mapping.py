"""A publisher's mapping from headings to fields, as data; it never runs a pattern itself."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from app.formats.expressions import LONGEST, Expression, NotExpression, read_expression
from app.formats.guidance import FileRefused, MappingRefused, Notice
from app.formats.labels import fold, standard_name
from app.formats.units import ratio
from app.query.fields import Field, FieldType

_KEYS = frozenset(
    ("to", "from", "expression", "pattern", "codes", "default", "constant", "unit", "normalize")
)
_ORIGINS = ("from", "expression", "constant")
_AMOUNTS = frozenset((FieldType.INTEGER, FieldType.DECIMAL))
_NORMALIZE = frozenset({"address"})
_PATTERN_LENGTH = 500
_SHOWN_LABELS = 60


@dataclass(frozen=True, slots=True)
class Source:
    """How one field is made from a row."""

    field: Field
    column: int | None = None  # index of the source column
    constant: str | None = None
    expression: Expression | None = None
    inputs: tuple[tuple[int, tuple[str, ...]], ...] = ()  # columns that it may ask for, and as what
    named: frozenset[int] = frozenset()  # of those, the ones that it names
    pattern: str | None = None
    codes: tuple[tuple[str, str], ...] | None = None
    default: str | None = None  # for a value that `codes` does not list
    has_default: bool = False
    unit: tuple[str, Fraction] | None = None  # of the source, and how many of the field's one is
    normalize: str | None = None
    exact: bool = False  # the format has typed the column as an id: it is kept letter by letter
    own_column: int | None = None  # its own heading's column, where it is read from its partner's
    refused: frozenset[str] = frozenset()  # rules by which the steward lets no cell be repaired

    @property
    def is_derived(self) -> bool:
        """Whether a mapping step makes the value, so that it is not the cell itself."""
        is_cut = self.pattern or self.codes is not None or self.unit or self.normalize
        return bool(is_cut or self.expression)

    @property
    def has_origin(self) -> bool:
        """Whether there is anything that it is made from."""
        return self.column is not None or self.constant is not None or bool(self.inputs)

    @property
    def columns(self) -> frozenset[int]:
        """The columns that it takes."""
        return self.named if self.column is None else self.named | {self.column}


def refusing(
    sources: Sequence[Source], refused: Mapping[str, frozenset[str]]
) -> tuple[Source, ...]:
    """The sources with the rules, by field, that the steward has refused."""
    return tuple(
        replace(source, refused=refused.get(source.field.name, frozenset())) for source in sources
    )


def check_mapping(
    fields: Sequence[Field], mapping: Sequence[Mapping[str, Any]] | None
) -> tuple[dict[str, Mapping[str, Any]], list[MappingRefused]]:
    """The steps by target, and every fault found (for a form to show all at once)."""
    names = {field.name: field for field in fields}
    steps: dict[str, Mapping[str, Any]] = {}
    faults: list[MappingRefused] = []
    for number, step in enumerate(mapping or (), 1):
        fault = _fault(number, step, names, steps)
        if fault is not None:
            faults.append(fault)
            continue
        steps[step["to"]] = step
    return steps, faults


def _fault(
    number: int, step: Mapping[str, Any], names: Mapping[str, Field], steps: Mapping[str, Any]
) -> MappingRefused | None:
    unknown = sorted(set(step) - _KEYS)
    if unknown:
        return MappingRefused("mapping_unknown_key", step=number, name=unknown[0])
    target = str(step.get("to"))
    if target not in names:
        return MappingRefused("mapping_unknown_target", step=number, name=target)
    if target in steps:
        return MappingRefused("mapping_target_twice", step=number, name=target)
    for key, is_right in _SHAPES.items():
        if key in step and not is_right(step[key]):
            return MappingRefused("mapping_bad_step", step=number, name=key)
    if sum(origin in step for origin in _ORIGINS) != 1:
        return MappingRefused("mapping_bad_step", step=number, name="from")
    return _unreadable(number, step) or _wrong_unit(number, step, names[target])


def _unreadable(number: int, step: Mapping[str, Any]) -> MappingRefused | None:
    if "pattern" in step and (why := _bad_pattern(step["pattern"])):
        return MappingRefused("mapping_bad_regex", step=number, name=why)
    if "expression" in step and (why := _bad_expression(step["expression"])):
        return MappingRefused("mapping_bad_expression", step=number, name=why)
    return None


def _wrong_unit(number: int, step: Mapping[str, Any], field: Field) -> MappingRefused | None:
    if "unit" not in step:
        return None
    if field.unit is None or field.type not in _AMOUNTS:
        return MappingRefused("mapping_without_unit", step=number, name=field.name)
    if ratio(step["unit"], field.unit) is None:
        said = {"name": step["unit"], "other": field.unit}
        return MappingRefused("mapping_other_unit", step=number, **said)
    return None


_SHAPES: dict[str, Callable[[Any], bool]] = {
    "from": lambda value: (
        isinstance(value, list) and bool(value) and all(isinstance(label, str) for label in value)
    ),
    "pattern": lambda value: isinstance(value, str) and len(value) <= _PATTERN_LENGTH,
    "codes": lambda value: (
        isinstance(value, Mapping)
        and all(isinstance(text, str) for pair in value.items() for text in pair)
    ),
    "default": lambda value: value is None or isinstance(value, str),
    "constant": lambda value: isinstance(value, str),
    "expression": lambda value: isinstance(value, str) and 0 < len(value) <= LONGEST,
    "unit": lambda value: isinstance(value, str) and bool(value),
    "normalize": lambda value: value in _NORMALIZE,
}


def _bad_pattern(pattern: str) -> str | None:
    """Why a pattern is refused: only what a linear-time engine can run is taken."""
    try:
        compiled = re.compile(pattern)
    except re.error as exc:
        return str(exc)
    if re.search(r"\(\?(?:[=!]|<[=!])|\\[1-9]|\(\?P=", pattern):
        return "look-around and back-references are not allowed"
    return "more than one group" if compiled.groups > 1 else None


def _bad_expression(text: str) -> str | None:
    """Why an expression is refused."""
    try:
        read_expression(text)
    except NotExpression as why:
        return str(why)
    return None


def plan(
    fields: Sequence[Field],
    mapping: Sequence[Mapping[str, Any]] | None,
    labels: Sequence[str],
) -> tuple[tuple[Source, ...], tuple[Notice, ...]]:
    """Which column makes which field. Raises for a bad mapping or a missing required column."""
    headings = _Headings(labels)
    made = _assigned(fields, mapping, headings)
    return made, _notices(made, headings)


def found_share(
    fields: Sequence[Field],
    mapping: Sequence[Mapping[str, Any]] | None,
    labels: Sequence[str],
) -> float:
    """The part of the fields that have a column under these headings, 0 to 1.

    Raises `MappingRefused`.
    """
    made = _assigned(fields, mapping, _Headings(labels))
    return sum(bool(source.columns) for source in made) / len(made)


def _assigned(
    fields: Sequence[Field],
    mapping: Sequence[Mapping[str, Any]] | None,
    headings: "_Headings",
) -> tuple[Source, ...]:
    steps, faults = check_mapping(fields, mapping)
    if faults:
        raise faults[0]
    # Steps choose first, then labels, then names: a vague match never takes a sure one's column.
    sources = {name: _by_step(step, fields, headings) for name, step in steps.items()}
    for match in (_by_label, _by_name, _by_standard):
        for field in fields:
            if field.name not in sources:
                found = match(field, headings)
                if found is not None:
                    sources[field.name] = Source(field, column=headings.take(found))
    return tuple(sources.get(field.name) or Source(field) for field in fields)


class _Headings:
    """The file's headings by their folded form, and which are taken."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = labels
        self.folded = [fold(label) for label in labels]
        self.taken: set[int] = set()
        self.used: set[int] = set()

    def find(self, label: str, *, free: bool = True) -> int | None:
        """The first column of that heading."""
        wanted = fold(label)
        for index, heading in enumerate(self.folded):
            if heading and heading == wanted and not (free and index in self.taken):
                return index
        return None

    def take(self, index: int) -> int:
        self.taken.add(index)
        return index


def _by_step(step: Mapping[str, Any], fields: Sequence[Field], headings: _Headings) -> Source:
    field = next(field for field in fields if field.name == step["to"])
    source = Source(
        field,
        constant=step.get("constant"),
        pattern=step.get("pattern"),
        codes=tuple(step["codes"].items()) if "codes" in step else None,
        default=step.get("default"),
        has_default="default" in step,
        unit=_unit_of(step, field),
        normalize=step.get("normalize"),
    )
    if "expression" in step:
        return _by_expression(source, read_expression(step["expression"]), headings)
    for label in step.get("from", ()):
        found = headings.find(label, free=False)
        if found is not None:
            # A derived value leaves the column free for the field that keeps it as it is.
            headings.used.add(found)
            if not source.is_derived:
                headings.take(found)
            return replace(source, column=found)
    return source


def _by_expression(source: Source, expression: Expression, headings: _Headings) -> Source:
    """A dotted heading stands for a member of a member, as the readers of documents write it."""
    inputs, named = [], set()
    for index, label in enumerate(headings.labels):
        path = tuple(label.split("."))
        is_named = label in expression.names or path[0] in expression.names
        if label and (is_named or expression.whole):
            inputs.append((index, path))
            named |= {index} if is_named else set()
    headings.used |= named
    return replace(source, expression=expression, inputs=tuple(inputs), named=frozenset(named))


def _unit_of(step: Mapping[str, Any], field: Field) -> tuple[str, Fraction] | None:
    factor = ratio(step["unit"], field.unit) if "unit" in step and field.unit else None
    return None if factor is None else (step["unit"], factor)


def _by_label(field: Field, headings: _Headings) -> int | None:
    return headings.find(field.label) if field.label else None


def _by_name(field: Field, headings: _Headings) -> int | None:
    return headings.find(field.name)


def _by_standard(field: Field, headings: _Headings) -> int | None:
    """Two generations of one standard layout: 住所 and 所在地_連結表記 are both `address`."""
    for index, label in enumerate(headings.labels):
        if index not in headings.taken and standard_name(label) == field.name:
            return index
    return None


def _notices(sources: Sequence[Source], headings: _Headings) -> tuple[Notice, ...]:
    empty = [source for source in sources if not source.has_origin]
    missing = [source.field for source in empty if source.field.required or source.field.key]
    if missing:
        found = "、".join(filter(None, headings.labels[:_SHOWN_LABELS])) or "-"
        raise FileRefused(
            "column_missing", missing="、".join(field.label for field in missing), found=found
        )
    unused = [
        Notice("unknown_column", {"label": label})
        for index, label in enumerate(headings.labels)
        if index not in headings.taken | headings.used and label
    ]
    return (
        *unused,
        *(Notice("field_without_column", {"label": source.field.label}) for source in empty),
    )


def coordinate_pairs(sources: Sequence[Source]) -> Iterator[tuple[int, int]]:
    """The n-th latitude goes with the n-th longitude."""
    kinds = [source.field.type for source in sources]
    lats = [at for at, kind in enumerate(kinds) if kind is FieldType.LATITUDE]
    lons = [at for at, kind in enumerate(kinds) if kind is FieldType.LONGITUDE]
    return zip(lats, lons, strict=False)
