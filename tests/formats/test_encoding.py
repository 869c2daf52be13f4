"""Which encoding a file is in, decided by strict decoding of every byte."""

import io
import tracemalloc
from typing import Any

import pytest

from app.formats.guidance import FileRefused
from app.formats.readers.text.encoding import probe

TEXT = "番号,名称\r\n1,髙橋①号館～\r\n"
NAMES = "氏名\r\n髙橋\r\n山﨑\r\n"
LATE = "id,name\r\n" + "".join(f"{n},plain\r\n" for n in range(3000)) + "3001,大阪\r\n"
KANA = "名称\r\nｷﾀｳﾒﾀﾞ内科\r\n"
ADDRESSES = "住所\r\n" + "大阪市北区中之島一丁目3番20号\r\n" * 100


def told(data: bytes) -> tuple[str, int, bool]:
    found = probe(lambda: io.BytesIO(data))
    return found.name, found.bom, found.ambiguous


@pytest.mark.parametrize(
    "text",
    ["番号,名称\r\n", "名称\r\n中央\r\n", "a,あ\r\n", NAMES, KANA, LATE, TEXT, ADDRESSES],
    ids=["header", "one row", "short", "names", "half kana", "late", "NEC", "addresses"],
)
def test_the_eight_small_cp932_files_are_all_told_right(text: Any) -> None:
    assert told(text.encode("cp932"))[0] == "cp932"


@pytest.mark.parametrize(
    "text", ["番号,名称\n", "名称\n中央\n", "氏名\n高橋\n", KANA, LATE, ADDRESSES]
)
def test_euc_jp_is_tried_before_cp932_and_wins(text: Any) -> None:
    assert told(text.encode("euc_jp"))[0] == "euc_jp"


@pytest.mark.parametrize(
    ("codec", "told_as"),
    [
        ("utf-8", ("utf-8", 0, False)),
        ("utf-8-sig", ("utf-8", 3, False)),
        ("utf-16", ("utf-16-le", 2, False)),
        ("utf-16-le", ("utf-16-le", 0, False)),
        ("utf-16-be", ("utf-16-be", 0, False)),
    ],
)
def test_unicode_is_told_with_and_without_a_mark(codec: Any, told_as: Any) -> None:
    assert told(TEXT.encode(codec)) == told_as


def test_text_that_both_decode_is_reported_as_ambiguous() -> None:
    data = "名称\nアイ\n".encode("euc_jp")
    data.decode("cp932")  # half-width-kana rubbish, yet valid

    assert told(data) == ("euc_jp", 0, True)


def test_the_publishers_word_decides_an_ambiguous_file() -> None:
    data = "ｱｲｳｴ\nｱｲｳｴ\n".encode("cp932")

    assert told(data) == ("euc_jp", 0, True)
    assert probe(lambda: io.BytesIO(data), told="cp932").name == "cp932"


@pytest.mark.parametrize("cut", [1, 2])
def test_a_truncated_utf8_file_is_refused_and_never_read_as_cp932(cut: int) -> None:
    data = "名称,x\n大阪".encode()[:-cut]

    with pytest.raises(FileRefused) as refused:
        told(data)

    assert (refused.value.code, refused.value.details["offset"]) == ("file_truncated", 12)


def test_a_file_joined_of_two_encodings_is_refused_with_the_place() -> None:
    first = "名称,所在地\n大阪市役所,北区中之島\n".encode()

    with pytest.raises(FileRefused) as refused:
        told(first + "福島区役所,福島区\n".encode("cp932"))

    assert (refused.value.code, refused.value.details["offset"]) == ("encoding_mixed", len(first))


def test_an_encoding_that_is_not_offered_cannot_be_asked_for() -> None:
    with pytest.raises(FileRefused) as refused:
        probe(lambda: io.BytesIO(b"a,b"), told="cp1252")

    assert refused.value.code == "encoding_unknown"


def test_when_nothing_fits_the_closest_encoding_and_its_line_are_named() -> None:
    with pytest.raises(FileRefused) as refused:
        told("番号,名称\r\n1,避難所\r\n2,".encode("cp932") + b"\xff\xff\r\n")

    assert refused.value.code == "undecodable"
    assert "CP932" in str(refused.value)
    assert "line 3 (byte 23)" in str(refused.value)


@pytest.mark.parametrize("at", [0, 5, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_the_offset_of_a_bad_byte_is_right_across_chunks(at: Any) -> None:
    with pytest.raises(FileRefused) as refused:
        told(b"a" * at + b"\xff" + b"a" * 10)

    assert f"line 1 (byte {at})" in str(refused.value)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "file_empty"),
        (b"\xef\xbb\xbf", "file_empty"),
        (b"\xff\xfe", "file_empty"),
        (b" \r\n\r\n", "file_empty"),
        ("　\n".encode(), "file_empty"),
        (b"%PDF-1.7\n", "file_is_pdf"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "file_is_office"),
        (b"7z\xbc\xaf\x27\x1c", "file_is_compressed"),
        (bytes(257) + b"ustar\x0000", "file_is_compressed"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "file_is_lfs_pointer"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html><html>", "file_is_html"),
        (b"<HTML><body>", "file_is_html"),
        (b"a,b\n1,\0\n", "nul_bytes"),
        (b"\x89PNG\r\n", "file_is_image"),
    ],
)
def test_what_is_no_delimited_text_is_refused_with_its_mend_in_two_languages(
    data: Any, code: Any
) -> None:
    with pytest.raises(FileRefused) as refused:
        told(data)

    assert refused.value.code == code
    assert refused.value.words("ja") != refused.value.words("en")


def test_a_list_in_brackets_at_the_start_of_a_csv_is_not_json() -> None:
    assert told(b"[note],x\n1,2\n")[0] == "utf-8"


def test_probing_holds_no_more_than_a_few_chunks() -> None:
    data = "大阪,1\n".encode("cp932") * 3_000_000
    tracemalloc.start()

    told(data)

    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()
