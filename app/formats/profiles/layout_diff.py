"""What changed from one version of a layout to another; pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.formats.labels import fold
from app.formats.profiles.layout import LayoutField, ProfileLayout


@dataclass(frozen=True, slots=True)
class Changed:
    """One property of a field that both versions have: its value before and after."""

    field: str  # its name in the later version
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class LayoutDiff:
    """From one version to another. A renamed field is neither added nor removed."""

    added: tuple[LayoutField, ...]
    removed: tuple[LayoutField, ...]
    renamed: tuple[tuple[LayoutField, LayoutField], ...]  # the machine name differs
    relabelled: tuple[Changed, ...]  # the name stayed, the Japanese label differs
    retyped: tuple[Changed, ...]
    required: tuple[Changed, ...]
    unit: tuple[Changed, ...]
    code_list: tuple[Changed, ...]


def pairs(old: ProfileLayout, new: ProfileLayout) -> list[tuple[LayoutField, LayoutField]]:
    """Which field of `old` is which of `new`: by name, else by a label that either knows."""
    by_name = {each.field.name: each for each in old.fields}
    found = [
        (by_name.pop(each.field.name), each) for each in new.fields if each.field.name in by_name
    ]
    paired = {each.field.name for _, each in found}
    spelt = {form: each for each in by_name.values() for form in _spellings(each)}
    for each in new.fields:
        if each.field.name in paired:
            continue
        before = next((spelt[form] for form in _spellings(each) if form in spelt), None)
        if before is not None and by_name.pop(before.field.name, None) is not None:
            found.append((before, each))
    return found


def _spellings(each: LayoutField) -> Iterator[str]:
    for label in (each.field.label, *each.variants):
        yield fold(label)


def diff(old: ProfileLayout, new: ProfileLayout) -> LayoutDiff:
    """Added, removed, renamed fields, and what changed of those that stayed."""
    same = pairs(old, new)
    before = {a.field.name for a, _ in same}
    after = {b.field.name for _, b in same}
    return LayoutDiff(
        added=tuple(each for each in new.fields if each.field.name not in after),
        removed=tuple(each for each in old.fields if each.field.name not in before),
        renamed=tuple((a, b) for a, b in same if a.field.name != b.field.name),
        relabelled=tuple(each for each in _changes(same, "label") if each.field in before),
        retyped=_changes(same, "type"),
        required=_changes(same, "required"),
        unit=_changes(same, "unit"),
        code_list=_changes(same, "code_list"),
    )


def _changes(same: list[tuple[LayoutField, LayoutField]], of: str) -> tuple[Changed, ...]:
    return tuple(
        Changed(b.field.name, _plain(getattr(a.field, of)), _plain(getattr(b.field, of)))
        for a, b in same
        if getattr(a.field, of) != getattr(b.field, of)
    )


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, tuple) else value


def as_mapping(made: LayoutDiff) -> Mapping[str, Any]:
    """The difference as JSON shows it."""
    return {
        "added": [_shown(each) for each in made.added],
        "removed": [_shown(each) for each in made.removed],
        "renamed": [{"from": _shown(a), "to": _shown(b)} for a, b in made.renamed],
        **{
            name: [
                {"name": each.field, "from": each.before, "to": each.after}
                for each in getattr(made, name)
            ]
            for name in ("relabelled", "retyped", "required", "unit", "code_list")
        },
    }


def _shown(each: LayoutField) -> dict[str, Any]:
    field = each.field
    return {
        "name": field.name,
        "label": field.label,
        "type": field.type,
        "required": field.required,
    }
