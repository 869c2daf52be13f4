"""A file that nobody declared is read as the standard layout it has, and loses no row by it."""

from pathlib import Path

from app.formats.intake import blocks, survey
from app.formats.profiles.layout import LayoutField, ProfileLayout
from app.formats.stored import StoredFile
from app.query.fields import Field, FieldType

LAYOUT = ProfileLayout(
    name="bench",
    version=2,
    fields=tuple(
        LayoutField(Field(name, f"c{at:03d}", label, kind, required=at < 3), variants=variants)
        for at, (name, label, kind, variants) in enumerate(
            [
                ("bench_id", "ベンチID", FieldType.CODE, ()),
                ("seat_count", "座席数", FieldType.INTEGER, ("席数",)),
                ("material", "材質", FieldType.TEXT, ()),
                ("installed_on", "設置日", FieldType.DATE, ("設置年月日",)),
            ],
            1,
        )
    ),
)


def read(folder: Path, text: str) -> "tuple[object, list[dict[str, str]], list[str]]":
    path = folder / "bench.csv"
    path.write_text(text, "utf-8")
    found = survey(StoredFile(path, folder), declared=None, layouts=[LAYOUT])
    accepted = sum(block.accepted for block in blocks(found))
    fields = [{"name": f.name, "label": f.label, "type": f.type.value} for f in found.fields]
    return accepted, fields, [notice.code for notice in found.notices]


def test_known_columns_get_the_standards_names_and_keep_their_own_headings(tmp_path: Path) -> None:
    accepted, fields, notices = read(
        tmp_path, "ベンチＩＤ,席数,材質,設置年月日,管理者\n001,3,木,R5.4.1,公園課\n"
    )

    assert accepted == 1
    assert [(each["name"], each["label"], each["type"]) for each in fields[:4]] == [
        ("bench_id", "ベンチＩＤ", "code"),
        ("seat_count", "席数", "integer"),
        ("material", "材質", "text"),
        ("installed_on", "設置年月日", "date"),
    ]
    assert "profile_recognised" in notices


def test_a_column_that_the_standard_types_otherwise_keeps_its_rows(tmp_path: Path) -> None:
    accepted, fields, notices = read(
        tmp_path, "ベンチID,座席数,材質,設置日\n001,多数,木,R5.4.1\n002,3,石,R5.4.1\n"
    )

    assert accepted == 2
    assert fields[1] == {"name": "seat_count", "label": "座席数", "type": "text"}
    assert "profile_types_differ" in notices


def test_a_likeness_is_only_named(tmp_path: Path) -> None:
    _, fields, notices = read(tmp_path, "座席数,材質,名称,住所\n3,木,甲,北区\n")

    assert [each["label"] for each in fields] == ["座席数", "材質", "名称", "住所"]
    assert "profile_recognised" not in notices
    assert "profile_proposed" in notices
