"""Changes between the fields of two versions: all are told, and only what breaks readers stops."""

from dataclasses import replace

import pytest

from app.catalogue.schema_changes import Change, incompatible, schema_changes
from app.query.fields import Field, FieldType, Visibility

NO = Field("no", "c001", "番号", FieldType.CODE, key=True)
SIZE = Field("size", "c002", "定員", FieldType.INTEGER, unit="人")
NOTE = Field("note", "c003", "備考", FieldType.TEXT)


def test_the_same_fields_in_another_order_and_column_have_not_changed() -> None:
    moved = [replace(NOTE, column="c001"), replace(NO, column="c002"), SIZE]

    assert schema_changes([NO, SIZE, NOTE], moved) == []


@pytest.mark.parametrize(
    ("new", "change", "compatible"),
    [
        ([NO, SIZE, NOTE], Change.ADDED, True),
        ([NO], Change.REMOVED, False),
        ([NO, replace(SIZE, type=FieldType.TEXT)], Change.RETYPED, False),
        ([NO, replace(SIZE, key=True)], Change.REKEYED, False),
        ([NO, replace(SIZE, unit="世帯")], Change.UNIT_CHANGED, False),
        ([NO, replace(SIZE, visibility=Visibility.PERSONAL)], Change.VISIBILITY_CHANGED, False),
        ([NO, replace(SIZE, label="収容人数")], Change.RELABELLED, True),
    ],
)
def test_a_change_is_told_and_stops_where_readers_would_break(
    new: list[Field], change: Change, compatible: bool
) -> None:
    found = schema_changes([NO, SIZE], new)

    assert [each.change for each in found] == [change]
    assert (incompatible(found) == []) is compatible


def test_a_new_field_of_the_key_makes_other_records() -> None:
    found = schema_changes([NO], [NO, replace(NOTE, key=True)])

    assert [each.change for each in incompatible(found)] == [Change.REKEYED]


def test_a_renamed_field_is_one_that_went_and_one_that_came() -> None:
    found = schema_changes([NO, SIZE], [NO, replace(SIZE, name="capacity")])

    assert [(each.change, each.field) for each in found] == [
        (Change.ADDED, "capacity"),
        (Change.REMOVED, "size"),
    ]
