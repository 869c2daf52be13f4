"""Which rows may leave: the conditions of a verdict, read for one version. Reads no row.

It never guesses: what cannot be read for a version, or applied at a door, refuses the whole of it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

from app.agreements.rows import read_rows
from app.catalogue.entries import VersionEntry
from app.kit.errors import AppError, Kind
from app.policy.verdicts import Allow
from app.query.fields import Field, FieldType
from app.query.question import Both, Condition, Consented, Either, Not, Spatial

_MOST_READ: Final = 1_024
_NAMES: Final = frozenset({FieldType.TEXT, FieldType.CODE})  # that can name a person


class RowsNotTold(AppError):
    """The rows that may leave cannot be told from the others, so that none does.

    It does not say by what: the condition may name a field that the caller may not see.
    """

    kind = Kind.FORBIDDEN
    code = "rows_not_told"
    ja = (
        "データセット {dataset} は一部のレコードだけを利用できますが、ここではそのレコードを見分けられません"
        "（この版に条件の項目がない、またはこの取得方法では条件を適用できません）。"
        "公開中の版を /v1/datasets/{dataset}/records で取得するか、提供者に確認してください。"
    )
    en = (
        "Only some records of the dataset {dataset} may be used, and here they cannot be told from"
        " the others: the version lacks a field of the condition, or it cannot be applied at this"
        " door. Ask /v1/datasets/{dataset}/records for the version in force, or ask its publisher."
    )


def permitted(dataset: str, version: VersionEntry, allow: Allow) -> Condition | None:
    """What every row of the version must meet to leave; None: all may. Raises `RowsNotTold`."""
    if not allow.bounds:
        return None
    try:
        read = _read_once(version, allow.rows) if allow.rows else None
    except AppError:
        raise RowsNotTold(dataset=dataset) from None
    return read if allow.consent is None else _with_consent(dataset, version.fields, allow, read)


def _with_consent(
    dataset: str, fields: Mapping[str, Field], allow: Allow, read: Condition | None
) -> Condition:
    """And whom the row is about consents to all that may leave of it, no less."""
    asked = allow.consent
    subject = fields.get(asked.subject) if asked is not None else None
    if asked is None or subject is None or subject.type not in _NAMES:
        raise RowsNotTold(dataset=dataset)
    columns = tuple(sorted(allow.shown))
    consented = Consented(subject, dataset, asked.consumer_id, asked.purpose, columns)
    return consented if read is None else Both((consented, read))


def permitted_among(dataset: str, fields: Sequence[Field], allow: Allow) -> Condition:
    """The same of a version that is only known by its fields. Raises `RowsNotTold`."""
    if allow.consent is not None:
        raise RowsNotTold(dataset=dataset)
    try:
        return _read({field.name: field for field in fields}, allow.rows)
    except AppError:
        raise RowsNotTold(dataset=dataset) from None


def permitted_beside(
    dataset: str, version: VersionEntry, allow: Allow, join: str
) -> Condition | None:
    """The same of a dataset that is looked up beside another one, its fields named `join.field`.

    Raises `RowsNotTold`, also for a condition on places, or consent: none is judged beneath a join.
    """
    if not allow.bounds:
        return None
    if allow.consent is not None:
        raise RowsNotTold(dataset=dataset)
    fields = [replace(each, name=f"{join}.{each.name}") for each in version.fields.values()]
    named = dict(zip(version.fields, fields, strict=True))
    try:
        condition = _read(named, allow.rows)
    except AppError:
        raise RowsNotTold(dataset=dataset) from None
    if not is_plain(condition):
        raise RowsNotTold(dataset=dataset)
    return condition


@lru_cache(maxsize=_MOST_READ)
def _read_once(version: VersionEntry, rows: tuple[str, ...]) -> Condition:
    return _read(version.fields, rows)


def _read(fields: Mapping[str, Field], rows: Sequence[str]) -> Condition:
    return Both(tuple([read_rows(each, fields) for each in rows]))


def is_plain(condition: Condition | None) -> bool:
    """Whether PostgreSQL alone can judge it, once for all: shapes are related outside, and who
    consents changes.
    """
    return not any(isinstance(part, Spatial | Consented) for part in _parts(condition))


def _parts(condition: Condition | None) -> Iterator[Condition]:
    match condition:
        case None:
            return
        case Both(parts) | Either(parts):
            for part in parts:
                yield from _parts(part)
        case Not(part):
            yield from _parts(part)
        case _:
            yield condition


def seen_as(columns: frozenset[str], rows: Iterable[str]) -> frozenset[str]:
    """The columns and the conditions on rows as one set: who is given less sees something else."""
    return columns | {f"rows {each}" for each in rows}  # no field's name has a space
