"""A file's headings find their profile across editions, spellings and width, or nothing is claimed (R04)."""

import random
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.formats.profiles.layout import LayoutField, ProfileLayout
from app.formats.profiles.matching import Match, match
from app.formats.profiles.municipal import built_in
from app.query.fields import Field, FieldType

LAYOUTS = [each.layout for each in built_in()]
BY_KEY = {(layout.name, layout.version): layout for layout in LAYOUTS}


def labels_of(name: str, version: int) -> list[str]:
    return [each.field.label for each in BY_KEY[name, version].fields]


def best(labels: Sequence[str], candidates: Sequence[ProfileLayout] = LAYOUTS) -> Match:
    return match(labels, candidates)[0]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda each: f"{each.name}-{each.version}")
def test_every_built_in_layout_recognises_its_own_headings(layout: ProfileLayout) -> None:
    found = best([each.field.label for each in layout.fields])

    assert (found.profile, found.version, found.accepted) == (layout.name, layout.version, True)
    assert (found.share, found.known, found.missing, found.unknown) == (1, 1, (), ())
    assert [step["to"] for step in found.mapping] == [each.field.name for each in layout.fields]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda each: f"{each.name}-{each.version}")
def test_a_list_whose_own_profile_is_unknown_is_not_taken_for_another(
    layout: ProfileLayout,
) -> None:
    others = [each for each in LAYOUTS if each.name != layout.name]
    columns = [each.field.label for each in layout.fields]
    chance = random.Random(layout.name)
    samples = [chance.sample(columns, chance.randint(5, len(columns))) for _ in range(20)]

    taken = [
        (found.profile, sample)
        for sample in [columns, *samples]
        for found in match(sample, others)
        if found.accepted
    ]

    assert taken == []


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda each: f"{each.name}-{each.version}")
def test_names_and_labels_of_a_layout_are_distinct_and_say_something(layout: ProfileLayout) -> None:
    names = [each.field.name for each in layout.fields]

    assert len(set(names)) == len(names)
    assert not [name for name in names if name.startswith("field_") or not name.isascii()]
    assert {each.field.column for each in layout.fields} == {
        f"c{at:03}" for at in range(1, len(names) + 1)
    }


@pytest.mark.parametrize(
    "spelt",
    [
        lambda label: label.replace("_", "＿").replace("(", "（").replace(")", "）"),
        lambda label: label.replace("ー", "―"),
        lambda label: f"\ufeff {label}\u3000",
        lambda label: label.replace("連結表記", "連結標記"),
        lambda label: f"公衆トイレ一覧_{label}",
    ],
    ids=["full width", "look-alike dashes", "blanks", "a known misprint", "a prefix"],
)
def test_spellings_fold(spelt: object) -> None:
    assert callable(spelt)
    labels = [str(spelt(label)) for label in labels_of("public-toilet", 2)]

    found = best(labels)

    assert (found.profile, found.version, found.accepted) == ("public-toilet", 2, True)
    assert found.share == 1
    assert found.mapping[0]["from"] == [labels[0]]


def test_a_file_of_both_generations_is_read_as_the_one_it_is_nearer_to() -> None:
    labels = labels_of("public-toilet", 2)
    labels[labels.index("所在地_連結表記")] = "住所"
    labels[labels.index("ID")] = "NO"

    found = best(labels)

    assert (found.profile, found.version, found.accepted) == ("public-toilet", 2, True)
    assert {(each.label, each.field, each.how.value) for each in found.matched} >= {
        ("住所", "address", "variant"),
        ("NO", "id", "variant"),
    }


def test_columns_that_every_list_has_are_not_enough() -> None:
    common = ["NO", "都道府県名", "市区町村名", "名称", "名称_カナ", "住所", "緯度", "経度", "備考"]

    found = match(common, LAYOUTS)

    assert found
    assert [each for each in found if each.accepted] == []
    assert found[0].missing == ()


def test_all_required_columns_and_few_strange_ones_are_enough() -> None:
    columns = [
        "名称",
        "名称_カナ",
        "住所",
        "設置位置",
        "小児対応設備の有無",
        "緯度",
        "経度",
        "電話番号",
    ]

    sure = best([*columns, "点検日"])
    unsure = best([*columns, *(f"独自{at}" for at in range(8))])
    lacking = best([label for label in columns if label != "設置位置"])

    assert (sure.profile, sure.version, sure.accepted, sure.unknown) == (
        "aed",
        1,
        True,
        ("点検日",),
    )
    assert sure.share < 0.5
    assert (unsure.profile, unsure.accepted) == ("aed", False)
    assert (lacking.accepted, lacking.missing) == (False, ("設置位置",))


def test_a_required_column_without_any_value_is_missing() -> None:
    labels = [
        "名称",
        "名称_カナ",
        "住所",
        "設置位置",
        "小児対応設備の有無",
        "緯度",
        "経度",
        "電話番号",
    ]

    found = match(labels, LAYOUTS, [True, False, *[True] * 6])[0]

    assert (found.accepted, found.missing) == (False, ("名称_カナ",))


def test_of_two_equal_profiles_none_is_taken() -> None:
    twin = ProfileLayout("twin", 1, BY_KEY["aed", 1].fields, title_ja="双子")

    found = match(labels_of("aed", 1), [*LAYOUTS, twin])

    assert {found[0].profile, found[1].profile} == {"aed", "twin"}
    assert not any(each.accepted for each in found)


def test_a_tiny_profile_does_not_take_every_file() -> None:
    field = LayoutField(Field("no", "c001", "番号", FieldType.CODE, key=True))
    tiny = ProfileLayout("tiny", 1, (field,))

    assert not best(["番号", "品名", "数量"], [tiny]).accepted
    assert best(["番号"], [tiny]).accepted


def test_no_headings_and_strange_headings_match_nothing() -> None:
    assert match([], LAYOUTS) == []
    assert match(["", "  ", "#property"], LAYOUTS) == []
    assert match(["lunchDay", "menuName"], LAYOUTS) == []


@given(st.lists(st.one_of(st.text(max_size=12), st.sampled_from(labels_of("aed", 1))), max_size=30))
def test_any_headings_get_an_orderly_answer(labels: list[str]) -> None:
    found = match(labels, LAYOUTS)

    assert sum(each.accepted for each in found) <= 1
    assert not any(each.accepted for each in found[1:])
    for each in found:
        assert len({one.field for one in each.matched}) == len(each.matched)
        assert 0 <= each.share <= 1
        assert 0 <= each.known <= 1
        assert 0 <= each.score <= 1


def test_all_profiles_are_matched_within_fifty_milliseconds() -> None:
    labels = labels_of("public-facility", 2)
    match(labels, LAYOUTS)

    begun = time.process_time()
    for _ in range(5):
        match(labels, LAYOUTS)

    assert (time.process_time() - begun) / 5 < 0.05
