"""Archives: each table inside is one by its path; what is none is named, what is a trap refused."""

import bz2
import gzip
import io
import lzma
import struct
import zipfile
from pathlib import Path

import pytest

from app.formats.guidance import FileRefused
from app.formats.intake import blocks, survey
from app.formats.opening import open_tables
from app.formats.readers.archives import members
from app.formats.readers.archives.packed import check_directory
from app.formats.stored import StoredFile
from app.formats.told import Told
from tests.formats.reading import fields, take

CSV = "番号,名称\n01,公園\n02,学校\n"


def packed(files: dict[str, bytes | str], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def named_in_cp932(name: str, data: bytes) -> bytes:
    """A zip as Windows writes it: the name in CP932, without the flag for UTF-8."""
    raw = name.encode("cp932")
    stand_in = "x" * len(raw)
    return packed({stand_in: data}).replace(stand_in.encode(), raw)


@pytest.mark.parametrize(
    "pack", [lambda data: packed({"a.csv": data}), gzip.compress, bz2.compress, lzma.compress]
)
def test_one_packed_table_is_read_as_if_it_were_bare(pack: object) -> None:
    taken = take(pack(CSV.encode("cp932")))  # type: ignore[operator]

    assert taken.survey.table.encoding == "cp932"
    assert [list(row.values())[4:] for row in taken.rows] == [["01", "公園"], ["02", "学校"]]


def test_each_member_is_a_table_by_its_path() -> None:
    data = packed(
        {"年度/2023.csv": b"\xef\xbb\xbf" + CSV.encode(), "年度/2024.csv": CSV + "03,橋\n"}
    )

    with pytest.raises(FileRefused) as refused:
        take(data)

    assert refused.value.code == "several_tables"
    assert refused.value.details["names"] == "年度/2023.csv、年度/2024.csv"
    assert take(data, table="年度/2023.csv").survey.table.encoding == "utf-8 with BOM"
    assert take(data, table="2").counts[0] == 3


def test_names_in_cp932_with_backslashes_are_paths() -> None:
    taken = take(named_in_cp932("公園\\一覧表.csv", CSV.encode()))

    assert taken.survey.table.name == "公園/一覧表.csv"


def test_what_is_no_table_is_left_out_by_name() -> None:
    taken = take(
        packed(
            {
                "data.csv": CSV,
                "format.html": "<html><body>説明</body></html>",
                "META.xml": "<meta><a x='1'/><a x='2'/></meta>",
                "説明.pdf": b"%PDF-1.4",
                "readme.txt": "説明です。\n二行目です。\n三行目です。\n",
                "__MACOSX/._data.csv": b"\0\5\x16\7",
                "empty.csv": b"",
                "folder/": b"",
            }
        )
    )

    notices = [notice for notice in taken.survey.notices if notice.code == "members_left_out"]
    assert taken.survey.table.name == "data.csv"
    assert notices[0].details == {
        "count": 5,
        "names": "format.html、説明.pdf、empty.csv、META.xml、readme.txt",
    }


def test_an_archive_in_an_archive_is_opened_and_no_deeper() -> None:
    inner = packed({"deep.csv": CSV})

    assert take(packed({"inner.zip": inner})).survey.table.name == "inner.zip/deep.csv"
    with pytest.raises(FileRefused) as refused:
        take(packed({"outer.zip": packed({"inner.zip": inner})}))
    assert refused.value.code == "archive_too_deep"


def test_json_and_ndjson_inside_are_tables_too() -> None:
    assert take(packed({"a.json": '[{"a":1}]'})).values("a") == ["1"]
    assert take(gzip.compress(b'{"a":1}\n{"a":2}\n')).survey.table.format == "ndjson"


def test_no_member_is_written_by_its_own_name(tmp_path: Path) -> None:
    inner = packed({"x.csv": CSV})
    path = tmp_path / "upload"
    path.write_bytes(packed({"../../evil.zip": inner, "/etc/evil.zip": inner}))
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    tables = open_tables(StoredFile(path, scratch), Told())

    assert len(tables) == 2
    assert {each.name[:6] for each in scratch.iterdir()} == {"member"}
    assert sorted(each.name for each in tmp_path.iterdir()) == ["scratch", "upload"]


def test_a_text_member_is_streamed_and_never_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(packed({"a.csv": CSV}))
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    found = survey(StoredFile(path, scratch), declared=fields(番号="code", 名称="text"))

    assert sum(block.rows for block in blocks(found)) == 2
    assert list(scratch.iterdir()) == []


def test_two_members_of_one_name_are_both_there() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("a.csv", CSV)
        archive.writestr("a.csv", CSV + "03,橋\n")

    assert take(out.getvalue(), table="2").counts[0] == 3


def test_a_bomb_is_stopped_while_it_unpacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "FREE_BYTES", 1 << 20)
    line = b"a,b\n" * 1000
    bomb = b"".join(line for _ in range(3000))

    for data in (packed({"a.csv": bomb}), gzip.compress(bomb), lzma.compress(bomb)):
        with pytest.raises(FileRefused) as refused:
            take(data)
        assert refused.value.code == "file_dangerous"


def test_a_zip_that_says_it_unpacks_to_terabytes_is_not_even_begun() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for at in range(6):
            archive.writestr(f"{at}.csv", CSV)
    size = struct.pack("<I", len(CSV.encode()))
    data = out.getvalue().replace(size, struct.pack("<I", 0xF0000000))

    with pytest.raises(FileRefused) as refused:
        take(data)

    assert refused.value.code == "file_dangerous"


def test_a_locked_member_is_refused_as_locked() -> None:
    data = bytearray(packed({"a.csv": CSV}))
    data[6] |= 1
    data[data.rindex(b"PK\x01\x02") + 8] |= 1

    with pytest.raises(FileRefused) as refused:
        take(bytes(data))

    assert refused.value.code == "file_encrypted"


@pytest.mark.parametrize("cut", [30, 60, -60, -10])
def test_a_damaged_archive_is_refused_as_damaged(cut: int) -> None:
    rows = "".join(f"{at:05d},施設{at * 7919}\n" for at in range(2000))

    with pytest.raises(FileRefused) as refused:
        take(packed({"a.csv": "番号,名称\n" + rows})[:cut])

    assert refused.value.code == "file_damaged"


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_cut_stream_is_refused_as_damaged(pack: object) -> None:
    rows = "".join(f"{at:05d},施設{at * 7919}\n" for at in range(2000))

    with pytest.raises(FileRefused) as refused:
        take(pack(("番号,名称\n" + rows).encode())[:-20])  # type: ignore[operator]

    assert refused.value.code == "file_damaged"


def test_a_flipped_byte_is_noticed_by_its_checksum() -> None:
    data = bytearray(packed({"a.csv": CSV}, zipfile.ZIP_STORED))
    data[data.index(b"01,")] ^= 2

    with pytest.raises(FileRefused) as refused:
        take(bytes(data))

    assert refused.value.code == "file_damaged"


def test_an_unknown_method_and_an_empty_archive_are_told() -> None:
    data = bytearray(packed({"a.csv": CSV}))
    data[8] = data[data.rindex(b"PK\x01\x02") + 10] = 9  # Deflate64

    with pytest.raises(FileRefused) as refused:
        take(bytes(data))
    assert refused.value.code == "archive_method_unknown"

    with pytest.raises(FileRefused) as refused:
        take(packed({}))
    assert refused.value.code == "file_empty"


def test_an_archive_without_a_table_says_what_each_member_is() -> None:
    with pytest.raises(FileRefused) as refused:
        take(packed({"a.pdf": b"%PDF-1.4", "b.html": "<html></html>"}))

    assert refused.value.code == "archive_no_table"
    assert refused.value.details["names"] == "a.pdf（file_is_pdf）、b.html（file_is_html）"


@pytest.mark.parametrize(
    ("head", "kind"), [(b"7z\xbc\xaf\x27\x1c", "7z"), (b"Rar!\x1a\x07", "rar")]
)
def test_other_archives_are_refused_by_name(head: bytes, kind: str) -> None:
    with pytest.raises(FileRefused) as refused:
        take(head + bytes(100))

    assert (refused.value.code, refused.value.details) == ("file_is_compressed", {"kind": kind})


@pytest.mark.parametrize("pack", [lambda data: packed({"a.csv": data}), gzip.compress])
def test_progress_is_told_in_bytes_of_the_archive(pack: object) -> None:
    rows = "".join(f"{at:07d},施設その{at % 10}\n" for at in range(100_000))
    data = pack(("番号,名称\n" + rows).encode())  # type: ignore[operator]

    done = [block.bytes_read for block in take(data, chunk_bytes=1 << 16).blocks]

    assert done == sorted(done)
    assert done[-1] == len(data)


def test_a_long_list_of_members_hides_behind_no_short_one(tmp_path: Path) -> None:
    kept = tmp_path / "a.zip"
    with zipfile.ZipFile(kept, "w") as archive:
        for at in range(3):
            info = zipfile.ZipInfo(f"{at}.csv")
            info.comment = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 1, 1, 47, 0)
            archive.writestr(info, b"a\n1\n")

    with pytest.raises(FileRefused) as refusal:
        check_directory(StoredFile(kept, tmp_path), most_members=2)

    assert refusal.value.code == "file_dangerous"
