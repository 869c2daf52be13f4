"""Which file is taken, and only once it is whole; what is in an archive, and what is not opened."""

import gzip
import io
import tarfile
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.connectors.errors import SourceBroken
from app.connectors.file import FileConnector, FileSelection
from app.connectors.frame import Known
from app.connectors.places.choosing import dated
from app.connectors.places.folder import FolderPlace
from app.connectors.places.settings import PlaceSettings
from app.formats.guidance import FileRefused
from tests.connectors.farm import Farm
from tests.connectors.places.servers import put
from tests.connectors.sources import Asked, means, reply, web


async def _taken(folder: Path, **told: Any) -> bytes | None:
    async with means("", folder) as ours:
        made = FileConnector(PlaceSettings(base=str(folder)), ours)
        async with made.harvest(FileSelection.model_validate(told)) as got:
            return None if got is None else b"".join([piece async for piece in got.pieces])


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("N_20261129.csv", date(2026, 11, 29)),
        ("N-2026-11-29.csv", date(2026, 11, 29)),
        ("20261129153000_N.csv", date(2026, 11, 29)),
        ("N_20261129T1530.csv", date(2026, 11, 29)),
        ("20250101_to_20261129.csv", date(2026, 11, 29)),
        ("公園R081129.csv", date(2026, 11, 29)),
        ("COR081129.csv", None),
        ("公園_R081129.csv", date(2026, 11, 29)),
        ("N_20261399.csv", None),
        ("12345678901.csv", None),
        ("a.csv", None),
    ],
)
def test_the_date_in_a_name_is_read(name: str, day: date | None) -> None:
    assert dated(name) == day


async def test_newest_is_by_the_date_in_the_name_where_that_is_asked_for(tmp_path: Path) -> None:
    put(tmp_path / "d" / "a_20261129.csv", b"29", 1)
    put(tmp_path / "d" / "a_20261128.csv", b"28", 2)
    put(tmp_path / "e" / "a.csv", b"none", 3)

    by_name = await _taken(tmp_path, path="*/a*.csv", newest_by="name")
    by_time = await _taken(tmp_path, path="[de]/a*.csv")

    assert (by_name, by_time) == (b"29", b"none")


async def test_a_name_with_the_signs_of_a_pattern_can_be_meant(tmp_path: Path) -> None:
    put(tmp_path / "a[1].csv", b"1")
    async with means("", tmp_path) as ours:
        made = FileConnector(PlaceSettings(base=str(tmp_path)), ours)
        (found,) = await made.discover()

    assert found.name == "a[1].csv"
    assert await _taken(tmp_path, **found.selection) == b"1"


@pytest.mark.parametrize("marker", ["{name}.done", "{stem}.END", "_SUCCESS"])
async def test_a_file_counts_once_its_marker_is_there(tmp_path: Path, marker: str) -> None:
    put(tmp_path / "d" / "a.csv", b"a")
    told = {"path": "d/*.csv", "marker": marker}

    before = await _taken(tmp_path, **told)
    put(
        tmp_path / "d" / {"{name}.done": "a.csv.done", "{stem}.END": "a.END"}.get(marker, marker),
        b"",
    )

    assert (before, await _taken(tmp_path, **told)) == (None, b"a")


async def test_a_marker_of_a_web_server_is_asked_for(tmp_path: Path) -> None:
    marked: list[bool] = []

    def answer(asked: Asked) -> bytes:
        if asked.path.endswith(".done") and not marked:
            return reply(b"", "404 Not Found")
        return reply(b"a\n", kind="text/csv")

    async with web(answer) as server, means() as ours:
        made = FileConnector(PlaceSettings(base=server.base), ours)
        told = FileSelection(path="a.csv", marker="{name}.done")
        async with made.harvest(told) as waiting:
            assert waiting is None
        marked.append(True)
        async with made.harvest(told) as got:
            assert got is not None

    assert [asked.path for asked in server.asked] == ["/a.csv.done", "/a.csv.done", "/a.csv"]


async def test_a_harvest_of_what_is_not_done_yet_is_unchanged_and_the_check_says_why(
    farm: Farm, drop: Path
) -> None:
    put(drop / "park.csv", "no,name\n1,架空第一\n".encode())
    feed = {
        "dataset": await farm.dataset(),
        "selection": {"path": "park*.csv", "marker": "{name}.done"},
        "publish": True,
    }
    connector = await farm.add("file", {"base": str(drop)}, feed)

    first = await farm.run(connector)
    tested = (await farm.ask("POST", f"/{connector}/test")).json()["checks"]
    put(drop / "park.csv.done", b"")
    second = await farm.run(connector)

    assert (first["state"], first["version_number"]) == ("unchanged", None)
    assert [each["at"] for each in tested] == [None, "unready"]
    assert (second["state"], second["rows"]) == ("ok", 1)


@pytest.mark.parametrize("change", ["grows", "is renamed"])
async def test_a_file_that_is_not_at_rest_is_left_alone_until_it_is(
    tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path / "a.csv", b"a\n")

    async def meanwhile(_seconds: float) -> None:  # others of this process may sleep, too
        if change == "grows":
            put(path, b"a\nb\n")
        elif path.exists():
            path.rename(tmp_path / "b.csv")

    with monkeypatch.context() as patch:
        patch.setattr("asyncio.sleep", meanwhile)
        left = await _taken(tmp_path, path="a.csv")

    assert left is None
    assert await _taken(tmp_path, path="*.csv") == (b"a\nb\n" if change == "grows" else b"a\n")


async def test_all_parts_of_the_newest_day_are_one_table_and_known_together(tmp_path: Path) -> None:
    put(tmp_path / "p_20261128_1.csv", b"n\n0\n")
    put(tmp_path / "p_20261129_1.csv", b"n\n1")  # without an end of its last line
    put(tmp_path / "p_20261129_2.csv", b"\xef\xbb\xbfn\n2\n")
    put(tmp_path / "p_20261129_3.csv", b"n\n")
    told = FileSelection.model_validate({"path": "p_*.csv", "newest_by": "name", "parts": {}})
    async with means("", tmp_path) as ours:
        made = FileConnector(PlaceSettings(base=str(tmp_path)), ours)
        async with made.harvest(told) as got:
            assert got is not None
            body = b"".join([piece async for piece in got.pieces])
        known = Known(got.validators or {})
        async with made.harvest(told, known) as again:
            assert again is None
        put(tmp_path / "p_20261129_4.csv", b"n\n4\n")
        async with made.harvest(told, known) as more:
            assert more is not None

    assert body == b"n\n1\n2\n"


async def test_parts_wait_for_the_last_of_their_markers(tmp_path: Path) -> None:
    for number in (1, 2):
        put(tmp_path / f"p{number}.csv", b"n\n1\n", number)
    put(tmp_path / "p1.csv.done", b"")
    told = {"path": "p*.csv", "marker": "{name}.done", "parts": {}}

    waiting = await _taken(tmp_path, **told)
    put(tmp_path / "p2.csv.done", b"")

    assert (waiting, await _taken(tmp_path, **told)) == (None, b"n\n1\n1\n")


async def test_a_folder_of_too_many_files_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        put(tmp_path / f"{number}.csv", b"")
    monkeypatch.setattr("app.connectors.places.folder.MOST_ENTRIES", 3)
    with pytest.raises(SourceBroken) as refused:
        await _taken(tmp_path, path="*.csv")

    assert refused.value.at == "crowded"


async def test_a_web_server_is_asked_for_no_pattern(tmp_path: Path) -> None:
    async with web(lambda _: reply(b"a\n", kind="text/csv")) as server, means() as ours:
        made = FileConnector(PlaceSettings(base=server.base), ours)
        with pytest.raises(SourceBroken) as refused:
            await made.check(FileSelection(path="daily/*.csv"))
        await made.check(FileSelection(path="a.csv?x[]=1"))

    assert refused.value.at == "unlisted"


# --- archives ------------------------------------------------------------------------------------


def _zip(members: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return made.getvalue()


def _windows_zip(name: str, body: bytes) -> bytes:
    """As Windows in Japanese packs it: the name in CP932, without the flag for UTF-8."""
    stand_in = "x" * len(name.encode("cp932"))
    return _zip({stand_in: body}).replace(stand_in.encode(), name.encode("cp932"))


def _tar(members: dict[str, bytes], mode: str = "w") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as archive:  # type: ignore[call-overload]
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
        link = tarfile.TarInfo("link.csv")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return made.getvalue()


_TWO = {"d/a.csv": b"a\n", "d/b.txt": b"b\n"}


@pytest.mark.parametrize(
    ("name", "body", "inner"),
    [
        ("x.zip", _zip(_TWO), "*.csv"),
        ("x.zip", _zip(_TWO), "d/a*"),
        ("x.zip", _windows_zip("公園.csv", b"a\n"), "公園*"),
        ("x.tar", _tar(_TWO), "a.csv"),
        ("x.tar.gz", _tar(_TWO, "w:gz"), "*/a.csv"),
        ("x.tar.xz", _tar(_TWO, "w:xz"), "a.*"),
        ("x.csv.gz", gzip.compress(b"a\n", mtime=0), "*.csv"),
    ],
)
async def test_one_file_of_an_archive_is_taken(
    tmp_path: Path, name: str, body: bytes, inner: str
) -> None:
    put(tmp_path / name, body)

    assert await _taken(tmp_path, path="x.*", inner=inner) == b"a\n"


def _long_head(kind: bytes) -> bytes:
    head = tarfile.TarInfo("a.csv")
    head.type, head.size = kind, 2 << 20
    return head.tobuf() + b"\0" * (2 << 20) + _tar({"a.csv": b"a"})


def _bomb() -> bytes:
    return gzip.compress(b"\0" * (60 << 20))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (_zip({"../a.csv": b"a"}), "file_dangerous"),
        (_zip({"/a.csv": b"a"}), "file_dangerous"),
        (_zip({"a.csv": b"a", "d/..\\..\\b": b""}), "file_dangerous"),
        (_tar({"../a.csv": b"a"}), "file_dangerous"),
        (_bomb(), "file_dangerous"),
        (_long_head(tarfile.XHDTYPE), "file_dangerous"),
        (_long_head(tarfile.GNUTYPE_LONGNAME), "file_dangerous"),
        (_zip({"a.csv": b"\0" * (60 << 20)}), "file_dangerous"),
        (_zip({"a.csv": b"a" * 5_000})[:-30], "file_damaged"),
        (_tar({"a.csv": b"a" * 5_000}, "w:gz")[:90], "file_damaged"),
        (_zip({"b.txt": b"b"}), "missing"),
        (_zip({"a.csv": b"a", "b.csv": b"b"}), "many"),
        (b"no,archive\n", "format"),
        (b"7z\xbc\xaf\x27\x1c" + b"\0" * 600, "format"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-",
)
async def test_an_archive_that_is_made_to_harm_or_is_not_what_was_said_is_refused(
    tmp_path: Path, body: bytes, told: str
) -> None:
    put(tmp_path / "a.csv.gz", body)
    with pytest.raises((FileRefused, SourceBroken)) as refused:
        await _taken(tmp_path, path="a.csv.gz", inner="*.csv")

    assert told == getattr(refused.value, "at", refused.value.code)


# --- what may be said ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "told",
    [
        {"path": "a/**"},
        {"path": "../a"},
        {"path": "a\r\nDELE b"},
        {"path": "a", "marker": "../{name}"},
        {"path": "a", "marker": "d/{name}"},
        {"path": "a", "inner": "../b"},
        {"path": "a", "newest_by": "luck"},
    ],
)
def test_a_selection_that_leads_elsewhere_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FileSelection.model_validate(told)


async def test_a_link_in_a_folder_leads_to_no_listing_outside(tmp_path: Path) -> None:
    put(tmp_path / "other" / "a.csv", b"a")
    (tmp_path / "lent").mkdir()
    (tmp_path / "lent" / "out").symlink_to(tmp_path / "other")
    place = FolderPlace(str(tmp_path / "lent"), (tmp_path / "lent",))

    with pytest.raises(SourceBroken):
        _ = [each async for each in place.entries("out")]
