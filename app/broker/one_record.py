"""One record among many: conditions on its key, or on the id of its feature. Asks nothing."""

from collections.abc import Sequence
from urllib.parse import unquote

from app.broker.ask import Ask
from app.catalogue.entries import VersionEntry
from app.catalogue.refusals import NoKey
from app.query.fields import Field
from app.query.literals import NotOfType, read_literal
from app.query.question import Compare, Condition, Constant, Literal
from app.query.refusals import ColumnNotVisible, wrong
from app.tables.encode import ID_SEPARATOR, unescaped
from app.tables.layout import ROW_NUMBER


def one_record(
    ask: Ask, version: VersionEntry, visible: frozenset[str], identity: tuple[Field, ...]
) -> list[Condition]:
    """What only the record asked for meets, where one is: by its key, by the id of its feature."""
    found = [] if ask.key is None else _same_key(version, visible, ask.dataset_id, ask.key)
    return found if ask.item is None else [*found, *_same_item(identity, ask.item)]


def _same_key(
    version: VersionEntry, visible: frozenset[str], dataset_id: str, key: str
) -> list[Condition]:
    """Equality on the key. Raises `ColumnNotVisible`: who may not see a key may not try it."""
    fields = list(version.fields.values())
    hidden = [field.name for field in fields if field.key and field.name not in visible]
    if hidden:
        raise ColumnNotVisible(names=", ".join(hidden))
    values = key_values(fields, dataset_id, key)
    return [Compare(f, "=", values[f.column]) for f in fields if f.key]


def identity_of(
    version: VersionEntry, visible: frozenset[str], *, apart: bool
) -> tuple[Field, ...]:
    """The key, by which features are told apart; the row number where there is none to see.

    `apart`: no two readers are to join what they are given. Then it is nothing: all would be given
    the same numbers of rows.
    """
    keys = tuple(field for field in version.fields.values() if field.key)
    if keys and all(key.name in visible for key in keys):
        return keys
    return () if apart else (ROW_NUMBER,)


def _same_item(identity: tuple[Field, ...], item: str) -> list[Condition]:
    """Equality with the id of a feature. What cannot be an id is nobody's id."""
    parts = [item] if len(identity) == 1 else [unescaped(p) for p in item.split(ID_SEPARATOR)]
    if len(parts) != len(identity):
        return [Constant(False)]
    try:
        values = [read_literal(field, part) for field, part in zip(identity, parts, strict=True)]
    except NotOfType:
        return [Constant(False)]
    return [Compare(f, "=", value) for f, value in zip(identity, values, strict=True)]


def key_values(fields: Sequence[Field], dataset_id: str, key: str) -> dict[str, Literal]:
    """The values of the key's columns; `key` is percent-encoded, commas part its fields.

    Raises `NoKey`, `InvalidQuestion`.
    """
    keys = [field for field in fields if field.key]
    if not keys:
        raise NoKey(dataset=dataset_id)
    values = [unquote(part) for part in ([key] if len(keys) == 1 else key.split(","))]
    if len(values) != len(keys):
        names = ",".join(field.name for field in keys)
        raise wrong("key", f"{names} の形で指定してください。", f"write it as {names}.")
    try:
        return {f.column: read_literal(f, v) for f, v in zip(keys, values, strict=True)}
    except NotOfType as exc:
        raise wrong("key", exc.ja, exc.en) from None
