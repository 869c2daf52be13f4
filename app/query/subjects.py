"""Conditions on the field that names a person, by one's own names. It knows no name and no person.

Such a field is asked by equality alone: an order, a part or a pattern of names that are stored
would tell what they are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from app.kit.errors import AppError, Kind
from app.query.fields import Field
from app.query.grouping import Grouping, Work
from app.query.question import (
    Arithmetic,
    Both,
    Compare,
    Condition,
    Constant,
    Edge,
    Either,
    Folded,
    Given,
    IsNull,
    Like,
    Match,
    Not,
    OneOf,
    Operand,
    Question,
    Words,
)

Stored = Mapping[str, frozenset[str]]  # what each of the asker's names is called where it is stored


class SubjectByNameOnly(AppError):
    """The field that names the person is used otherwise than by whole names of one's own."""

    kind = Kind.FORBIDDEN
    code = "subject_by_name_only"
    ja = (
        "項目 {name} は本人を示し、組織ごとに異なる名前で提供されます。条件には自組織の名前との一致"
        "（{name}=… か filter の = と IN）だけを使えます。並べ替え、範囲、部分一致、集計、結合には使えません。"
    )
    en = (
        "The field {name} names the person, for each organisation by names of its own. Ask it by"
        " your own names only ({name}=…, or = and IN of a filter): it cannot be sorted, ranged over,"
        " matched in part, grouped, worked out or joined by."
    )


def names_asked(question: Question, subject: str) -> frozenset[str]:
    """The names that a question asks by. Raises `SubjectByNameOnly`."""
    if any(by.field.name == subject for by in question.order):
        raise SubjectByNameOnly(name=subject)
    return frozenset(_asked(question.where, subject))


def check_grouping(grouping: Grouping, subject: str) -> None:
    """People may be counted, and nothing else be told of their names. Raises `SubjectByNameOnly`."""
    used = [each.field for each in grouping.groups]
    used += [each.field for each in grouping.metrics if each.work is not Work.DISTINCT]
    if any(field is not None and field.name == subject for field in used):
        raise SubjectByNameOnly(name=subject)


def _asked(condition: Condition | None, subject: str) -> Iterator[str]:
    match condition:
        case Both(parts) | Either(parts):
            for part in parts:
                yield from _asked(part, subject)
        case Not(part):
            yield from _asked(part, subject)
        case Compare(Field(name=name), "=", str(value)) if name == subject:
            yield value
        case OneOf(Field(name=name), values) if name == subject:
            yield from (str(value) for value in values)
        case Words(fields) if [field.name for field in fields] == [subject]:
            raise SubjectByNameOnly(name=subject)
        case _ if _is_told(condition, subject):
            raise SubjectByNameOnly(name=subject)


def _is_told(condition: Condition | None, subject: str) -> bool:
    """Whether a condition that is no equality looks at the field."""
    match condition:
        case Match(left, _, right):
            return _is_in(left, subject) or _is_in(right, subject)
        case OneOf(operand) | Like(operand) | IsNull(operand):
            return _is_in(operand, subject)
        case _:
            return _is_in(getattr(condition, "field", None), subject)


def _is_in(operand: Operand | None, subject: str) -> bool:
    match operand:
        case Field(name=name) | Edge(Field(name=name)):
            return name == subject
        case Arithmetic(_, left, right):
            return _is_in(left, subject) or _is_in(right, subject)
        case Folded(_, part):
            return _is_in(part, subject)
        case Given() | None:
            return False


def by_stored_names(question: Question, subject: str, stored: Stored) -> Question:
    """The question by the names that are stored. A name of nobody's is met by no record."""
    if question.where is None:
        return question
    return replace(question, where=_converted(question.where, subject, stored))


def _converted(condition: Condition, subject: str, stored: Stored) -> Condition:
    match condition:
        case Both(parts):
            return Both(tuple([_converted(part, subject, stored) for part in parts]))
        case Either(parts):
            return Either(tuple([_converted(part, subject, stored) for part in parts]))
        case Not(part):
            return Not(_converted(part, subject, stored))
        case Compare(Field(name=name) as field, _, value) if name == subject:
            return _one_of(field, (str(value),), stored)
        case OneOf(Field(name=name) as field, values) if name == subject:
            return _one_of(field, tuple([str(value) for value in values]), stored)
        case Words(fields):
            # What is stored is no word that may be found.
            others = tuple([field for field in fields if field.name != subject])
            return replace(condition, fields=others)
        case _:
            return condition


def _one_of(field: Field, names: tuple[str, ...], stored: Stored) -> Condition:
    found = {each for name in names for each in stored.get(name, ())}
    return OneOf(field, tuple(sorted(found))) if found else Constant(False)
