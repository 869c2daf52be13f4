"""What a wrong question is told: the thing, where, and the mend, in both languages."""

import pytest

from app.api.records_openapi import EXAMPLES
from app.kit.errors import AppError
from app.query.fields import Field, FieldType
from app.query.grouping import read_aggregate
from app.query.params import Known, read_question

FIELDS = {
    name: Field(name, name, name, of_type)
    for name, of_type in (
        ("name", FieldType.TEXT),
        ("ward", FieldType.TEXT),
        ("capacity", FieldType.INTEGER),
        ("latitude", FieldType.LATITUDE),
        ("longitude", FieldType.LONGITUDE),
        ("designated_on", FieldType.DATE),
    )
}
HERE = Known(FIELDS, frozenset(FIELDS) - {"capacity"}, {})


def told(**asked: str) -> tuple[str, str]:
    """What the refusal of a question says, in Japanese and in English."""
    with pytest.raises(AppError) as caught:
        read_question(list(asked.items()), HERE)
    (fault,) = caught.value.faults
    return fault.ja, fault.en


@pytest.mark.parametrize(
    ("asked", "ja", "en"),
    [
        (
            {"near": "34.6,135.4"},
            "lat, lon, radius のことですか。",
            "Did you mean lat, lon, radius?",
        ),
        ({"page": "2"}, "cursor のことですか。", "Did you mean cursor?"),
        ({"zzz": "2"}, "使えるのは as_of, bbox,", "Known are as_of, bbox,"),
        (
            {"filter": "nam = 'x'"},
            "項目 nam はありません。name",
            "There is no field nam. Did you mean",
        ),
        ({"filter": "name = 公園"}, "'公園' と一重引用符で", "in single quotes: '公園'"),
        ({"filter": "name ~ 'x'"}, "6文字目「~ 'x'」", "character 6: ~ 'x'"),
        ({"filter": "name = "}, "末尾で途切れています", "it ends too soon"),
        ({"filter": '{"op":"="}'}, "filter-lang=cql2-json", "filter-lang=cql2-json"),
        (
            {"filter": "name = 'x'", "filter-lang": "cql2-json"},
            "filter-lang=cql2-text",
            "filter-lang=cql2-text",
        ),
        (
            {"filter": "S_INTERSECTS(geometry, POLYGON((135 34"},
            "図形（WKT）は",
            "close its brackets",
        ),
        ({"bbox": "34.6,135.4,34.7,135.5"}, "緯度と経度が逆", "before longitude"),
        ({"bbox": "135.4,34.7,135.5,34.6"}, "南の緯度が北の緯度より", "above the north"),
        ({"bbox": "135.4,34.7,135.5"}, "値が3個です", "3 values"),
        ({"bbox": "1354,34.7,1355,34.9"}, "度の範囲を超えています", "beyond all degrees"),
        ({"lat": "34", "lon": "135", "radius": "1km"}, "メートル", "of metres, without the unit"),
        ({"expand": "stock"}, "結合 stock はありません", "There is no join stock"),
        (
            {"fields": "zzz"},
            "使えるのは designated_on, latitude, longitude, name, ward です",
            "There are designated_on, latitude,",
        ),
    ],
)
def test_a_wrong_question_is_told_what_is_wrong_and_how_to_mend_it(
    asked: dict[str, str], ja: str, en: str
) -> None:
    in_japanese, in_english = told(**asked)

    assert ja in in_japanese
    assert en in in_english
    assert "capacity" not in (in_japanese + in_english).replace("capacity >= 100", "")


@pytest.mark.parametrize(("name", "near"), [("by", "group_by"), ("metric", "metrics")])
def test_an_aggregate_is_told_the_names_of_its_own_parameters(name: str, near: str) -> None:
    with pytest.raises(AppError) as caught:
        read_aggregate([(name, "ward")], HERE)

    (fault,) = caught.value.faults
    assert f"{near} のことですか。" in fault.ja
    assert f"Did you mean {near}?" in fault.en


def test_an_aggregate_is_not_told_of_what_only_records_take() -> None:
    with pytest.raises(AppError) as caught:
        read_aggregate([("labels", "true")], HERE)

    (fault,) = caught.value.faults
    assert "cursor, expand" in fault.en
    assert "fields, " not in fault.en


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_the_document_can_be_asked(name: str) -> None:
    asked = [(name, EXAMPLES[name])]
    everything = Known(FIELDS, frozenset(FIELDS), {})

    if name in ("group_by", "metrics"):
        _, grouping = read_aggregate(asked, everything)
        assert grouping.groups or grouping.metrics
        return
    question = read_question(asked, everything)
    assert question != read_question([], everything)
