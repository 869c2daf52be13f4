"""XML: rows by a mapping, or a proposal where something repeats; traps are refused unopened."""

from typing import Any

import pytest

from app.formats.guidance import FileRefused
from tests.formats.reading import take

PARKS = """<?xml version="1.0" encoding="UTF-8"?>
<r:report xmlns:r="urn:report" xmlns="urn:parks">
  <head><title>公園一覧</title><date>2024-04-01</date></head>
  <!-- two wards -->
  <ward code="271004" name="北区">
    <park no="001"><name>扇町公園</name><area unit="ha">7.3</area><tag>芝生</tag><tag>遊具</tag></park>
    <park no="002"><name>中之島公園</name><area unit="ha">10.6</area></park>
  </ward>
  <ward code="271021" name="都島区">
    <park no="003"><name>桜之宮公園</name><area unit="ha"/></park>
  </ward>
</r:report>
"""


def test_rows_and_columns_are_found_by_the_mapping() -> None:
    taken = take(
        PARKS,
        rows={
            "rows": "//park",
            "columns": {
                "番号": "@no",
                "名称": "name",
                "面積": "area",
                "特徴": "tag",
                "区": "../@name",
                "区コード": "ancestor::ward/@code",
                "調査日": "/report/head/date",
            },
        },
    )

    assert taken.survey.table.format == "xml"
    assert taken.survey.table.encoding == "utf-8"
    assert [list(row.values())[4:] for row in taken.rows] == [
        ["001", "扇町公園", "7.3", "芝生;遊具", "北区", "271004", "2024-04-01"],
        ["002", "中之島公園", "10.6", "", "北区", "271004", "2024-04-01"],
        ["003", "桜之宮公園", "", "", "都島区", "271021", "2024-04-01"],
    ]
    assert taken.types["調査日"] == "date"


def test_prefixes_are_those_of_the_mapping_and_names_without_one_match_any() -> None:
    spaces = {"p": "urn:parks"}
    columns = {"name": "p:name"}

    found = take(
        PARKS, rows={"rows": "/report/p:ward/p:park", "columns": columns, "namespaces": spaces}
    )

    assert found.counts[0] == 3
    with pytest.raises(FileRefused) as refused:
        take(
            PARKS,
            rows={"rows": "//p:park", "columns": columns, "namespaces": {"p": "urn:other"}},
        )
    assert refused.value.code == "xml_rows_unknown"


def test_without_a_mapping_what_repeats_most_is_proposed() -> None:
    taken = take(PARKS)

    notice = next(each for each in taken.survey.notices if each.code == "xml_rows_proposed")
    assert notice.details["path"] == "/report/ward/park"
    assert taken.survey.head.labels == ("no", "name", "area@unit", "area", "tag")
    assert taken.values("name")[:2] == ["扇町公園", "中之島公園"]


def test_rows_told_without_columns_have_all_that_stands_in_them() -> None:
    taken = take(PARKS, rows={"rows": "//ward"})

    assert taken.survey.head.labels == (
        "code", "name", "park@no", "park.name", "park.area@unit", "park.area", "park.tag",
    )  # fmt: skip
    assert taken.values("park_name")[0] == "扇町公園;中之島公園"


@pytest.mark.parametrize(
    "document",
    [
        "<a><b>1</b><c>2</c></a>",
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><b/><b/></s:Envelope>',
        '<definitions xmlns="http://schemas.xmlsoap.org/wsdl/"><m n="1"/><m n="2"/></definitions>',
    ],
)
def test_a_document_without_rows_is_refused_with_the_way_to_say_them(document: str) -> None:
    with pytest.raises(FileRefused) as refused:
        take(document)

    assert refused.value.code == "xml_rows_unknown"
    assert '"rows":"//Item"' in refused.value.words("ja")


@pytest.mark.parametrize(
    ("rows", "where"),
    [
        ({"columns": {"a": "b"}}, "rows"),
        ({"rows": "//a[1]", "columns": {"a": "b"}}, "rows"),
        ({"rows": "//x:a", "columns": {"a": "b"}}, "rows"),
        ({"rows": "//a", "columns": {}}, "columns"),
        ({"rows": "//a", "columns": {"a": "document('/etc/passwd')"}}, "columns.a"),
        ({"rows": "//a", "columns": {"a": "//b//c//d"}}, "columns.a"),
        ({"rows": "//a", "columns": {"a": "following::b"}}, "columns.a"),
        ({"rows": "//a", "columns": {"a": "b["}}, "columns.a"),
        ({"rows": "//a", "columns": {"a": "b"}, "namespaces": ["x"]}, "namespaces"),
    ],
)
def test_a_wrong_mapping_is_refused_at_its_place(rows: dict[str, Any], where: str) -> None:
    with pytest.raises(FileRefused) as refused:
        take("<r><a><b>1</b></a></r>", rows=rows)

    assert (refused.value.code, refused.value.details) == ("rows_wrong", {"name": where})


_LOL = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    "document",
    [
        f'<!DOCTYPE r [<!ENTITY l0 "lol">{_LOL}]><r><a>&l9;</a><a>x</a></r>',
        '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r><a>&x;</a><a>y</a></r>',
        '<!DOCTYPE r SYSTEM "http://127.0.0.1:9/x.dtd"><r><a>1</a><a>2</a></r>',
        "<r>" + "<a>" * 5000 + "</a>" * 5000 + "</r>",
        "<r><a>" + "x" * (11 << 20) + "</a><a>y</a></r>",
    ],
    ids=["laughs", "external", "dtd", "depth", "huge text"],
)
@pytest.mark.parametrize("told", [None, {"rows": "//a", "columns": {"a": "."}}])
def test_traps_are_refused(document: str, told: dict[str, Any] | None) -> None:
    with pytest.raises(FileRefused) as refused:
        take(document, rows=told)

    assert refused.value.code == "file_dangerous"


@pytest.mark.parametrize(
    "document", ["<r><a>1</a><a>2</r>", "<r><a>1</a>", "<r><a>\x01</a></r>", "<r/><r/>"]
)
def test_what_is_no_xml_is_refused_with_its_line(document: str) -> None:
    with pytest.raises(FileRefused) as refused:
        take(document)

    assert refused.value.code == "xml_invalid"
    assert refused.value.details == {"line": 1}


@pytest.mark.parametrize(
    ("declared", "codec"), [("Shift_JIS", "cp932"), ("EUC-JP", "euc_jp"), ("UTF-16", "utf-16")]
)
def test_the_encoding_that_the_document_declares_is_read(declared: str, codec: str) -> None:
    document = f'<?xml version="1.0" encoding="{declared}"?><r><a n="1">公園</a><a n="2">橋</a></r>'

    taken = take(document.encode(codec))

    assert taken.rows[0]["_line"] == "1"
    assert list(taken.rows[0].values())[4:] == ["1", "公園"]


def test_an_encoding_that_the_publisher_tells_is_used() -> None:
    document = '<r><a n="1">①公園</a><a n="2">橋</a></r>'.encode("cp932")

    assert "①公園" in take(document, encoding="cp932").rows[0].values()


def test_a_web_page_is_still_a_web_page() -> None:
    for page in ("<!DOCTYPE html><html></html>", '<?xml version="1.0"?><html xmlns="x"></html>'):
        with pytest.raises(FileRefused) as refused:
            take(page)
        assert refused.value.code == "file_is_html"


def test_many_rows_stream() -> None:
    rows = "".join(f"<row><id>{at}</id><name>施設{at}</name></row>" for at in range(60_000))

    taken = take(f"<rows>{rows}</rows>")

    assert taken.counts[0] == 60_000
    assert taken.values("id")[-1] == "59999"
    assert len(taken.blocks) == 2
