"""Folds headings for comparison and gives them stable ASCII names; it never alters a label."""

import json
import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from app.query.fields import FieldType

_DASHES = re.compile("[‐‑‒–—―−－ー─ｰ~〜～-]")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
# The records API's own parameters (interface.md): a field of that name could not be asked for.
_RESERVED = frozenset(
    [
        "as_of",
        "bbox",
        "bom",
        "charset",
        "count",
        "cursor",
        "distance",
        "f",
        "fields",
        "filter",
        "filter_lang",
        "labels",
        "lat",
        "limit",
        "lon",
        "purpose",
        "q",
        "radius",
        "sort",
        "version",
    ]
)


def fold(label: str) -> str:
    """`label` for comparison: width, case, blanks, look-alike dashes and a known misprint fold."""
    folded = unicodedata.normalize("NFKC", label.strip("\ufeff")).casefold()
    folded = re.sub(r"[\s\u200b\ufeff]+", "", folded)
    return _DASHES.sub("-", folded).replace("連結標記", "連結表記")


@cache
def _standard() -> dict[str, tuple[str, FieldType | None]]:
    """Folded label of the municipal standard datasets: machine name and type, where it has one."""
    stored = json.loads(Path(__file__).with_name("labels.json").read_text(encoding="utf-8"))
    table = {}
    for label, meaning in stored.items():
        name, _, type_name = meaning.partition(":")
        table[fold(label)] = (name, FieldType(type_name) if type_name else None)
    return table


def standard_name(label: str) -> str | None:
    """The machine name of a standard label, None for any other label."""
    found = _standard().get(fold(label))
    return found[0] if found else None


def standard_type(label: str) -> FieldType | None:
    """The type that a standard label asks for, where it asks for one."""
    found = _standard().get(fold(label))
    return found[1] if found else None


@cache
def _by_name() -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    stored = json.loads(Path(__file__).with_name("labels.json").read_text(encoding="utf-8"))
    for label, meaning in stored.items():
        found.setdefault(meaning.partition(":")[0], []).append(label)
    return {name: tuple(labels) for name, labels in found.items()}


def standard_labels(name: str) -> tuple[str, ...]:
    """The labels of the standard datasets that have this machine name."""
    return _by_name().get(name, ())


def machine_names(labels: Sequence[str]) -> list[str]:
    """A distinct ASCII name for each label, in order: standard name, slug, else `field_007`."""
    taken: set[str] = set()
    names = []
    for position, label in enumerate(labels, 1):
        base = standard_name(label) or _slug(label) or f"field_{position:03d}"
        name, number = base, 2
        while name in taken:
            name, number = f"{base}_{number}", number + 1
        taken.add(name)
        names.append(name)
    return names


def _slug(label: str) -> str | None:
    plain = unicodedata.normalize("NFKC", label)
    if not plain.isascii():
        return None
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", plain)
    slug = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")[:56]
    if slug in _RESERVED:
        return f"{slug}_value"
    if slug and slug[0].isdigit():
        slug = f"n_{slug}"
    return slug if _NAME.fullmatch(slug) else None
