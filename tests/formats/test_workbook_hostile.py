"""Workbooks that are damaged, locked or made to harm end in a clear refusal, in bounded memory."""

import io
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from openpyxl import Workbook
from openpyxl.worksheet.worksheet import Worksheet

from app.formats.guidance import FileRefused, guidance
from app.formats.readers.sheets import sheet_cells
from tests.formats.reading import take
from tests.formats.workbooks import HEAD, cells, opened, raw_xlsx, saved, sheet_part, texts, zipped


def refusal(data: bytes) -> str:
    with pytest.raises(FileRefused) as refused:
        take(data, name="表.xlsx")
    assert guidance(refused.value.code, "ja", **refused.value.details)
    return refused.value.code


def _locked() -> bytes:
    """The beginning of an OLE document whose directory has an entry EncryptedPackage."""
    entry = "EncryptedPackage".encode("utf-16-le").ljust(64, b"\0")
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1016) + entry + bytes(448)


GOOD = raw_xlsx(texts(HEAD, ("1", "甲", "10")))


def test_a_damaged_locked_or_foreign_file_is_refused_with_its_mend() -> None:
    assert refusal(GOOD[: len(GOOD) // 2]) == "file_damaged"
    assert refusal(raw_xlsx(b"<worksheet><sheetData><row>")) == "file_damaged"
    assert refusal(_locked()) == "workbook_encrypted"
    assert refusal(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(4000)) == "file_is_office"
    assert (
        refusal(zipped({"[Content_Types].xml": b"<Types/>", "word/document.xml": b"<w/>"}))
        == "file_is_office"
    )
    assert (
        refusal(zipped({"mimetype": b"application/vnd.oasis.opendocument.text"}))
        == "file_is_office"
    )
    assert refusal(b"") == "file_empty"
    assert (
        refusal(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
        == "file_is_lfs_pointer"
    )


def test_a_flipped_byte_in_a_part_is_found_by_its_checksum() -> None:
    stored = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(GOOD)) as source, zipfile.ZipFile(stored, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    data = stored.getvalue().replace("甲".encode(), "乙".encode())

    assert refusal(data) == "file_damaged"


def test_a_workbook_without_a_row_is_refused() -> None:
    assert refusal(raw_xlsx("")) == "no_data_rows"
    assert refusal(raw_xlsx(texts(HEAD))) == "no_data_rows"


def test_entities_and_document_types_are_refused_in_every_part() -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    sheet = bomb + sheet_part(texts(HEAD))
    workbook = f"{bomb}<workbook/>"

    assert refusal(raw_xlsx(sheet.encode())) == "file_dangerous"
    assert refusal(raw_xlsx(texts(HEAD), workbook=workbook)) == "file_dangerous"
    mime = b"application/vnd.oasis.opendocument.spreadsheet"
    assert (
        refusal(zipped({"mimetype": mime, "content.xml": f"{bomb}<a/>".encode()}))
        == "file_dangerous"
    )


def test_a_part_that_unpacks_beyond_measure_is_refused_while_it_unpacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.formats.readers.archives.packed._FREE", 1 << 20)
    blank = "<row/>" * 3_000_000

    assert refusal(raw_xlsx(texts(HEAD, ("1", "甲", "1")) + blank)) == "file_dangerous"


def test_two_members_of_one_name_are_refused() -> None:
    out = io.BytesIO(GOOD)
    with pytest.warns(UserWarning), zipfile.ZipFile(out, "a") as archive:
        archive.writestr("xl/workbook.xml", b"<workbook/>")

    assert refusal(out.getvalue()) == "file_dangerous"


def test_names_that_lead_out_of_the_archive_lead_nowhere(tmp_path: Path) -> None:
    data = raw_xlsx(
        texts(HEAD, ("1", "甲", "10")),
        more={"../../evil.xml": b"x", "/etc/evil": b"x", "xl\\..\\..\\evil": b"x"},
    )

    assert len(cells(opened(data, tmp_path)[0])) == 1
    assert not any(path.name.startswith("evil") for path in tmp_path.parent.rglob("*"))


def test_rows_that_go_back_or_cells_beyond_the_sheet_are_damage() -> None:
    back = "".join(
        f'<row r="{row}"><c r="A{row}" t="str"><v>{"x" * 100}</v></c></row>'
        for row in (*range(2, 50_000), 9)
    )
    beyond = texts(HEAD) + '<row r="1048577"><c r="A1048577"><v>1</v></c></row>'
    missing = '<row r="1"><c r="A1" t="s"><v>7</v></c></row>'

    assert refusal(raw_xlsx(beyond)) == "file_damaged"
    assert refusal(raw_xlsx(missing, strings="<si><t>a</t></si>")) == "file_damaged"
    assert refusal(raw_xlsx(texts(HEAD) + back)) == "file_damaged"


def test_a_sheet_of_too_many_columns_is_refused_and_spoils_no_other() -> None:
    book = Workbook()
    sheet = book.active
    assert isinstance(sheet, Worksheet)
    sheet.append([f"列{at}" for at in range(2500)])
    sheet.append(list(range(2500)))
    alone = saved(book)
    other = book.create_sheet("よい")
    other.append(HEAD)
    other.append((1, "甲", 10))

    assert refusal(alone) == "too_many_columns"
    taken = take(saved(book))
    assert (taken.survey.table.name, "sheets_left_out" in taken.notices) == ("よい", True)


def test_an_encoding_that_is_none_is_damage() -> None:
    part = '<?xml version="1.0" encoding="sTF-8"?>' + sheet_part(texts(HEAD))

    assert refusal(raw_xlsx(part.encode())) == "file_damaged"


def test_row_tags_without_end_are_not_tried_in_every_way() -> None:
    began = time.process_time()

    assert sheet_cells.plain_cells(b"<row a/>" * 5_000 + b"x</row>") is None
    assert time.process_time() - began < 2


def test_control_characters_that_xml_forbids_are_damage(tmp_path: Path) -> None:
    assert refusal(raw_xlsx(texts(HEAD, ("1", "a\x01b", "3")))) == "file_damaged"
    assert refusal(raw_xlsx(texts(HEAD, ("1", "&#1;", "3")))) == "file_damaged"
    assert refusal(raw_xlsx(texts(HEAD, ("1", "&foo;", "3")))) == "file_damaged"


_MEASURE = """
import resource, sys, tempfile
from pathlib import Path
from app.formats.intake import blocks, survey
from app.formats.stored import StoredFile
survey(StoredFile(Path(sys.argv[2]), Path(tempfile.mkdtemp(dir=sys.argv[3]))), declared=None)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = survey(StoredFile(Path(sys.argv[1]), Path(tempfile.mkdtemp(dir=sys.argv[3]))), declared=None)
rows = sum(block.rows for block in blocks(found))
print(rows, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_sheet_of_200000_rows_is_read_in_bounded_memory(tmp_path: Path) -> None:
    big, small = tmp_path / "big", tmp_path / "small"
    small.write_bytes(GOOD)
    rows = "".join(
        f'<row r="{row}"><c r="A{row}"><v>{row}</v></c><c r="B{row}" t="inlineStr"><is><t>施設{row}</t></is></c>'
        f'<c r="C{row}"><v>{row / 7}</v></c></row>'
        for row in range(2, 200_002)
    )
    big.write_bytes(raw_xlsx(texts(HEAD) + rows))

    ran = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(big), str(small), str(tmp_path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    read, megabytes = map(int, ran.stdout.split())
    assert read == 200_000
    assert megabytes < 250
