"""What an entry declares of its fields: joins, subject, suppression. Looks nothing up."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.kit.errors import AppError, Fault
from app.models.datasets import DataClass
from app.query.fields import Field, FieldType
from app.query.grouping import read_group
from app.query.params import Known
from app.tables.layout import sql_type


def check_joins(
    joins: Sequence[Mapping[str, Any]],
    fields: Sequence[Field],
    others: Mapping[str, Sequence[Field]],
    faults: list[Fault],
) -> None:
    """Each join goes by a field of ours to the one key of another dataset, of the same type."""
    here = {field.name: field for field in fields}
    for at, join in enumerate(joins):
        there = others.get(join["dataset"], ())
        names = {field.name for field in there}
        as_of = join.get("as_of")
        if join["here"] not in here or (as_of is not None and as_of not in names):
            faults.append(_fault(f"/joins/{at}", "invalid_join", "結合項目がありません。",
                                 "One of the fields does not exist."))  # fmt: skip
        elif [field.name for field in there if field.key] != [join["there"]]:
            # Anything but the one key could find several records, and double ours.
            faults.append(_fault(f"/joins/{at}/there", "join_not_by_key",
                                 "相手のデータセットのただ一つのキー項目を指定してください。",
                                 "Name the one key field of the other dataset."))  # fmt: skip
        elif not are_joinable(here[join["here"]], *(field for field in there if field.key)):
            faults.append(_fault(f"/joins/{at}/here", "join_of_two_types",
                                 "相手のキー項目と同じ型の項目を指定してください。",
                                 "Name a field of the same type as the other's key."))  # fmt: skip


def are_joinable(here: Field, there: Field) -> bool:
    """Whether the two are stored alike: codes, local government codes and other texts are."""
    return type(sql_type(here.type)) is type(sql_type(there.type))


def checked_suppression(
    given: Mapping[str, Any] | None, fields: Sequence[Field], faults: list[Fault]
) -> dict[str, Any] | None:
    """The declaration with its dimensions as answers name them."""
    if given is None:
        return None
    known = Known({field.name: field for field in fields}, frozenset(f.name for f in fields), {})
    dimensions: list[str] = []
    for at, text in enumerate(given["dimensions"]):
        try:
            dimensions.append(read_group("group_by", text.strip(), known).name)
        except AppError as no:
            told = next(iter(no.faults), None)
            ja, en = (told.ja, told.en) if told else (no.words("ja"), no.words("en"))
            faults.append(_fault(f"/suppression/dimensions/{at}", "invalid_dimension", ja, en))
    count = given.get("count")
    if count is not None and (
        count not in known.fields or known.fields[count].type is not FieldType.INTEGER
    ):
        faults.append(_fault("/suppression/count", "invalid_count",
                             "人数を表す整数の項目を指定してください。",
                             "Name a whole-number field that counts people."))  # fmt: skip
    return {"k": given["k"], "dimensions": list(dict.fromkeys(dimensions)), "count": count}


def check_subject(
    subject: str | None, data_class: str, fields: Sequence[Field] | None, faults: list[Fault]
) -> None:
    """A personal dataset's own word for whom a record is about. `fields` None: not known yet."""
    if subject is None:
        return
    if data_class != DataClass.PERSONAL:
        faults.append(_fault("/subject", "subject_of_no_person",
                             "本人を示す項目は、区分が personal のデータセットだけが宣言できます。",
                             "Only a dataset of the class personal declares a subject."))  # fmt: skip
    known = {field.name: field.type for field in fields or ()}
    if fields is not None and known.get(subject) not in (FieldType.TEXT, FieldType.CODE):
        faults.append(_fault("/subject", "invalid_subject",
                             "本人を示す文字（text か code）の項目を指定してください。",
                             "Name a text or code field that names the person."))  # fmt: skip


def _fault(pointer: str, code: str, ja: str, en: str) -> Fault:
    return Fault(pointer, code, ja, en)
