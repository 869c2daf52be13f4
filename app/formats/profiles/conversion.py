"""Records of one version of a layout as records of another; what cannot be said is told, not made up."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from app.formats.profiles.address_parts import split_address, split_government
from app.formats.profiles.layout import ProfileLayout
from app.formats.profiles.layout_diff import pairs
from app.formats.text import CellError
from app.formats.values import normaliser
from app.kit.errors import Fault
from app.query.fields import NUMBER_TYPES, Field, FieldType

ADDRESS: Final = "address"
ADDRESS_PARTS: Final = (
    "address_prefecture", "address_municipality", "address_town", "address_block",
)  # fmt: skip
GOVERNMENT: Final = "local_government_name"
GOVERNMENT_PARTS: Final = ("prefecture_name", "municipality_name")
_INT64: Final = 2**63


@dataclass(slots=True)
class Converted:
    """A record of the other version, and what of the source is not in it."""

    record: dict[str, Any] = field(default_factory=dict)
    notes: list[Fault] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Converter:
    """From one version of a profile to another, either way round. Made once, used for many."""

    source: ProfileLayout
    target: ProfileLayout
    moves: tuple[tuple[Field, Field], ...]

    @classmethod
    def between(cls, source: ProfileLayout, target: ProfileLayout) -> "Converter":
        """The converter of two versions of one profile."""
        moves = tuple((a.field, b.field) for a, b in pairs(source, target))
        return cls(source, target, moves)

    def convert(self, record: object) -> Converted:
        """One record. Every field of the target is there, null where nothing is known."""
        made = Converted()
        if not isinstance(record, Mapping):
            made.notes.append(
                _note("", "not_an_object", "レコードはオブジェクトです。", "A record is an object.")
            )
            return made
        made.record = {each.field.name: None for each in self.target.fields}
        used = set()
        for old, new in self.moves:
            used.add(old.name)
            if record.get(old.name) is not None:
                self._move(old, new, record[old.name], made)
        used |= self._compounds(record, made)
        known = {each.field.name for each in self.source.fields}
        for name, value in record.items():
            if value is None or value == "" or name in used:
                continue
            made.notes.append(_no_place(str(name)) if name in known else _unknown(str(name)))
        made.notes += self._lacking(made.record)
        return made

    @staticmethod
    def _move(old: Field, new: Field, value: Any, made: Converted) -> None:
        if not isinstance(value, str | int | float | bool):
            made.notes.append(
                _note(
                    old.name,
                    f"invalid_{old.type}",
                    "単純な値ではありません。",
                    "Not a plain value.",
                )
            )
            return
        if (old.type, old.unit, old.code_list) == (new.type, new.unit, new.code_list):
            made.record[new.name] = value
            return
        try:
            made.record[new.name] = retyped(value, old, new)
        except CellError as refused:
            made.notes.append(
                _note(
                    old.name,
                    refused.code,
                    f"{new.name} の値に変換できません。",
                    f"It cannot become a value of {new.name}.",
                )
            )

    def _compounds(self, record: Mapping[str, Any], made: Converted) -> set[str]:
        """Structured to text and back, where only one of the two has which."""
        used: set[str] = set()
        for whole, parts, split in (
            (ADDRESS, ADDRESS_PARTS, self._split_address),
            (GOVERNMENT, GOVERNMENT_PARTS, self._split_government),
        ):
            has_parts = [self.target.find(name) for name in parts]
            if self.target.find(whole):
                used |= self._joined(record, whole, parts, made)
            if all(has_parts) and all(made.record[name] is None for name in parts):
                used |= split(record, made)
        return used

    def _joined(
        self, record: Mapping[str, Any], whole: str, parts: Sequence[str], made: Converted
    ) -> set[str]:
        """The parts as one text; where there is one already, whether it says what they say."""
        given = {name: record.get(name) for name in parts if self.source.find(name)}
        if not all(isinstance(value, str | None) for value in given.values()):
            return set()
        text = "".join(value or "" for value in given.values())
        if not text or record.get(parts[1]) in (None, ""):
            return set()  # without the municipality it is no address
        if made.record[whole] is None:
            made.record[whole] = text
        return set(given) if text in str(made.record[whole]) else set()

    def _split_address(self, record: Mapping[str, Any], made: Converted) -> set[str]:
        text = record.get(ADDRESS)
        if not isinstance(text, str) or not text:
            return set()
        prefecture, municipality = (_text(record.get(name)) for name in GOVERNMENT_PARTS)
        parts = split_address(text, prefecture=prefecture, municipality=municipality)
        if parts is None:
            made.notes.append(
                _note(
                    ADDRESS,
                    "address_not_split",
                    "住所を都道府県・市区町村・町字に確実に分けられません。",
                    "The address cannot be parted for sure.",
                )
            )
            return set()
        values = (parts.prefecture, parts.municipality, parts.town, parts.block)
        made.record.update(zip(ADDRESS_PARTS, values, strict=True))
        return {ADDRESS}

    @staticmethod
    def _split_government(record: Mapping[str, Any], made: Converted) -> set[str]:
        text = record.get(GOVERNMENT)
        parts = split_government(text) if isinstance(text, str) else None
        if parts is None:
            return set()
        made.record.update(zip(GOVERNMENT_PARTS, parts, strict=True))
        return {GOVERNMENT}

    def _lacking(self, record: Mapping[str, Any]) -> Iterator[Fault]:
        for each in self.target.fields:
            name = each.field.name
            if (each.field.required or each.field.key) and record[name] in (None, ""):
                yield _note(name, "required_missing", "変換先で必須ですが、元のレコードにありません。",
                            "Required in the target, and not in the source.")  # fmt: skip


def retyped(value: Any, old: Field, new: Field) -> Any:
    """A JSON value of one type as one of another. Raises `CellError`."""
    text = _as_text(value, old, new)
    canonical = normaliser(new)(text)
    return _as_json(canonical, new)


def _as_text(value: Any, old: Field, new: Field) -> str:
    if isinstance(value, bool):
        if new.type is FieldType.BOOLEAN:
            return "true" if value else "false"
        return "有" if value else "無"  # the words of the standard's own drop-downs
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    label = dict(old.code_list or ()).get(str(value))
    if label is not None and new.code_list is not None and str(value) not in dict(new.code_list):
        return label  # the code is gone; its word may still be there
    if label is not None and new.code_list is None and new.type is not old.type:
        return label
    return str(value)


_READERS: Final[Mapping[FieldType, Callable[[str], Any]]] = {
    FieldType.BOOLEAN: lambda text: text == "t",
    FieldType.INTEGER: int,
}


def _as_json(canonical: str, new: Field) -> Any:
    reader = _READERS.get(new.type)
    if reader is not None:
        return reader(canonical)
    return _number(canonical) if new.type in NUMBER_TYPES else canonical


def _number(canonical: str) -> int | float:
    whole = Decimal(canonical)
    if whole == whole.to_integral_value() and abs(whole) < _INT64:
        return int(whole)
    if Decimal(repr(float(whole))) != whole:
        raise CellError("too_precise")  # JSON's reader would round it
    return float(whole)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _no_place(name: str) -> Fault:
    return _note(
        name,
        "no_place",
        "変換先の版にこの項目はありません。",
        "The target version has no such field.",
    )


def _unknown(name: str) -> Fault:
    return _note(
        name, "unknown_field", "元の版にない項目です。", "The source version has no such field."
    )


def _note(name: str, code: str, ja: str, en: str) -> Fault:
    plain = name[:80].replace("~", "~0").replace("/", "~1")
    return Fault(f"/{plain}" if plain else "", code, ja, en)
