"""A version of a standard layout as a value: its columns and how files spell them; no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.formats.labels import fold, standard_labels
from app.query.fields import Field

MAY_BE_BLANK = "blank"
_MOST_WORDS = 50  # as many as a mapping step takes


@dataclass(frozen=True, slots=True)
class LayoutField:
    """One column of a layout.

    `expected`: a file of this layout has the column. `field.required` is more: no row may leave it
    empty. A mark that is 1 or nothing (災害種別_洪水) is expected and may be empty.
    """

    field: Field
    variants: tuple[str, ...] = ()  # other spellings seen in published files and other editions
    level: str | None = None  # the standard's word: required, recommended, optional, conditional
    format: str | None = None  # the standard's words on how it is written
    may_be_blank: bool = False

    @property
    def expected(self) -> bool:
        """Whether a file of this layout has the column."""
        return self.field.required or self.field.key or self.level == "required"

    def as_json(self) -> dict[str, Any]:
        """As it is stored with a profile; what is not known is left out."""
        own = {
            "variants": list(self.variants),
            "level": self.level,
            "format": self.format,
            MAY_BE_BLANK: self.may_be_blank,
            # jsonb sorts the members of an object; a drop-down keeps the standard's order.
            "code_order": [code for code, _ in self.field.code_list or ()],
        }
        return self.field.as_json() | {name: value for name, value in own.items() if value}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "LayoutField":
        """Read back what `as_json` wrote; the entries of plain datasets too."""
        field = Field.from_json(stored)
        order = stored.get("code_order")
        if order and field.code_list is not None:
            labels = dict(field.code_list)
            field = replace(field, code_list=tuple((code, labels[code]) for code in order))
        return cls(
            field=field,
            variants=tuple(stored.get("variants", ())),
            level=stored.get("level"),
            format=stored.get("format"),
            may_be_blank=bool(stored.get(MAY_BE_BLANK, False)),
        )


@dataclass(frozen=True, slots=True, eq=False)
class ProfileLayout:
    """One version of a profile as far as files and records are concerned."""

    name: str
    version: int
    fields: tuple[LayoutField, ...]
    title_ja: str = ""
    title_en: str | None = None
    edition: str | None = None
    rules: tuple[Mapping[str, Any], ...] = ()
    mapping: tuple[Mapping[str, Any], ...] = ()

    @property
    def plain_fields(self) -> tuple[Field, ...]:
        """The fields as a dataset has them."""
        return tuple(each.field for each in self.fields)

    def find(self, name: str) -> LayoutField | None:
        """The column of that machine name."""
        return next((each for each in self.fields if each.field.name == name), None)


def default_mapping(
    fields: Sequence[LayoutField], own: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """The profile's own steps, and for each other column with variants a step that knows them.

    A step is all that a column is looked for by, so it names the standard's other words too, but
    never the label of another column.
    """
    taken = {step["to"] for step in own}
    labels = {fold(each.field.label): each.field.name for each in fields}
    steps = [dict(step) for step in own]
    for each in fields:
        name = each.field.name
        if not each.variants or name in taken:
            continue
        words = (each.field.label, *each.variants, name, *standard_labels(name))
        mine = [word for word in words if labels.get(fold(word), name) == name]
        steps.append({"to": name, "from": list(dict.fromkeys(mine))[:_MOST_WORDS]})
    return steps
