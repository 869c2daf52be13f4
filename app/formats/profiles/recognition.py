"""Reads a file that nobody declared as the standard layout that its headings speak for.

Only names and meanings come from the layout: a type that the file's own rows do not bear out is
never forced on them, for recognising a file may not cost it a row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from app.formats.guidance import Notice
from app.formats.mapping import Source
from app.formats.profiles.layout import ProfileLayout
from app.formats.profiles.matching import Match, match
from app.formats.survey import Survey
from app.query.fields import Field, FieldType

_WORTH_SAYING = 0.5  # of a profile's columns


def recognised(found: Survey, layouts: Sequence[ProfileLayout]) -> Survey:
    """The survey with the profile that was found: taken where it is sure, else only named."""
    matches = match(found.head.labels, layouts, [chosen.filled > 0 for chosen in found.chosen])
    if not matches:
        return found
    best = matches[0]
    details = {"profile": best.profile, "version": best.version, "share": round(100 * best.share)}
    told = {**details, "accepted": best.accepted, "missing": list(best.missing)}
    if not best.accepted:
        if best.share < _WORTH_SAYING:
            return found
        notice = Notice("profile_proposed", details)
        return replace(found, profile=told, notices=(*found.notices, notice))
    layout = next(one for one in layouts if (one.name, one.version) == (best.profile, best.version))
    sources, differing = _named(found, best, layout)
    notices = [Notice("profile_recognised", details)]
    if differing:
        notices.append(Notice("profile_types_differ", {"labels": "、".join(differing)}))
    names = {source.field.column: source.field for source in sources}
    chosen = tuple(
        replace(one, field=names[source.field.column].name, type=names[source.field.column].type)
        for one, source in zip(found.chosen, found.sources, strict=False)
    )
    return replace(
        found,
        sources=sources,
        profile=told,
        chosen=chosen,
        orders=_renamed(found, sources),
        notices=(*found.notices, *notices),
    )


def _named(
    found: Survey, best: Match, layout: ProfileLayout
) -> tuple[tuple[Source, ...], list[str]]:
    """The sources under the layout's names, and the headings whose types the rows contradict."""
    by_label: dict[str, str] = {one.label: one.field for one in best.matched}
    taken = set(by_label.values())
    differing, made = [], []
    for source in found.sources:
        name = by_label.pop(source.field.label, None)
        known = layout.find(name) if name is not None else None
        if known is None:
            made.append(replace(source, field=_apart(source.field, taken)))
            continue
        if known.field.type not in (source.field.type, FieldType.TEXT):
            differing.append(source.field.label)
        made.append(replace(source, field=_as_known(source.field, known.field)))
    return tuple(made), differing


def _as_known(own: Field, known: Field) -> Field:
    return replace(
        own,
        name=known.name,
        type=FieldType.TEXT if known.type is FieldType.TEXT else own.type,
        unit=own.unit or known.unit,
        description=known.description,
    )


def _apart(own: Field, taken: set[str]) -> Field:
    """A field beside the layout's keeps its name, unless the layout has that name."""
    name, number = own.name, 2
    while name in taken:
        name, number = f"{own.name}_{number}", number + 1
    taken.add(name)
    return replace(own, name=name)


def _renamed(found: Survey, sources: Sequence[Source]) -> Mapping[str, Any]:
    """The date orders under the fields' new names."""
    names = {
        old.field.name: new.field.name for old, new in zip(found.sources, sources, strict=True)
    }
    return {names.get(name, name): order for name, order in found.orders.items()}
