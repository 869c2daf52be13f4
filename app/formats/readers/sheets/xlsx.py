"""XLSX and XLSM (ECMA-376): its sheets as grids of texts, streamed; it runs no macro."""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from app.formats.guidance import FileRefused
from app.formats.readers.archives.packed import Package
from app.formats.readers.headings import Merge
from app.formats.readers.sheets.cell_values import iso_moments, numbers, unescaped
from app.formats.readers.sheets.grid import Grid
from app.formats.readers.sheets.number_formats import PLAIN, NumberFormat, built_in, number_format
from app.formats.readers.sheets.sheet_cells import (
    CellHandlers,
    column_number,
    plain_cells,
    plain_text,
    unentitied,
)
from app.formats.readers.sheets.xml_part import Attributes, Handlers, Runs, read_part

_MOST_MERGES = 1 << 20
_AREA = re.compile(r"\$?([A-Z]{1,3})\$?([0-9]{1,7}):\$?([A-Z]{1,3})\$?([0-9]{1,7})")
_STRING = (
    r'^<t(?: xml:space="preserve")?(?:/>|>([^<]*)</t>)'
    r"(?:<rPh [^<>]*><t(?: [^<>]*)?>[^<]*</t></rPh>)*(?:<phoneticPr[^<>]*/>)?</si>\s*$"
)


@dataclass(frozen=True, slots=True)
class Sheet:
    """One worksheet as the workbook lists it."""

    name: str
    part: str
    is_hidden: bool


@dataclass(frozen=True, slots=True)
class Book:
    """What its sheets share."""

    package: Package
    sheets: tuple[Sheet, ...]
    formats: tuple[NumberFormat, ...]
    strings: pl.Series
    is_1904: bool
    replaced: int  # characters of shared strings that are no text


def open_book(package: Package, scratch: Path) -> Book:
    """The workbook's lists. Raises `FileRefused`."""
    main = _related(package, "", "officeDocument")
    if not main:
        raise FileRefused("file_damaged")
    path = main[0][1]
    sheets, is_1904 = _sheets(package, path)
    styles = _related(package, path, "styles")
    strings = _related(package, path, "sharedStrings")
    texts, replaced = _strings(package, strings[0][1], scratch) if strings else (_NONE, 0)
    formats = _formats(package, styles[0][1]) if styles else ()
    return Book(package, sheets, formats, texts, is_1904, replaced)


_NONE = pl.Series([], dtype=pl.String)


def _related(package: Package, part: str, kind: str) -> list[tuple[str, str]]:
    """(id, member) of what `part` is related to by `kind` (OPC, ECMA-376 part 2, 6.5)."""
    folder, name = posixpath.split(part)
    member = _member(package, posixpath.join(folder, "_rels", f"{name}.rels"))
    if member is None:
        return []
    found: list[tuple[str, str]] = []

    def start(element: str, told: Attributes) -> None:
        is_meant = element == "Relationship" and told.get("TargetMode") != "External"
        if not is_meant or told.get("Type", "").rpartition("/")[2] != kind:
            return
        target = posixpath.normpath(posixpath.join("/", folder, told.get("Target", "")))
        if (at := _member(package, target.lstrip("/"))) is not None:
            found.append((told.get("Id", ""), at))

    _read(package, member, Handlers(start, _ignore))
    return found


def _member(package: Package, path: str) -> str | None:
    """The member under this name; case and the way of the slashes do not count (OPC, 6.2.2)."""
    wanted = path.lower()
    for name in package.names:
        if name.replace("\\", "/").lstrip("/").lower() == wanted:
            return name
    return None


def _ignore(_name: str, _text: str) -> None:
    return


def _read(package: Package, member: str, handlers: Handlers, runs: Runs | None = None) -> None:
    with package.open(member) as stream:
        read_part(stream, handlers, runs)


def _sheets(package: Package, path: str) -> tuple[tuple[Sheet, ...], bool]:
    parts = dict(_related(package, path, "worksheet"))
    found: list[Sheet] = []
    is_1904 = False

    def start(element: str, told: Attributes) -> None:
        nonlocal is_1904
        if element == "workbookPr":
            # An extension may have an element of the same name, without the attribute.
            is_1904 = is_1904 or told.get("date1904") in ("1", "true")
        elif element == "sheet":
            link = next((told[key] for key in told if key.endswith("relationships}id")), "")
            if link in parts:  # not so for sheets of charts, dialogs and macros
                hidden = told.get("state", "visible") != "visible"
                found.append(Sheet(told.get("name", ""), parts[link], hidden))

    _read(package, path, Handlers(start, _ignore))
    return tuple(found), is_1904


def _formats(package: Package, path: str) -> tuple[NumberFormat, ...]:
    """The number format of each cell style, by its number."""
    own: dict[int, NumberFormat] = {}
    styles: list[int] = []
    inside = False

    def start(element: str, told: Attributes) -> None:
        nonlocal inside
        if element == "numFmt" and told.get("numFmtId", "").isdigit():
            own[int(told["numFmtId"])] = number_format(told.get("formatCode", "")[:255])
        elif element == "cellXfs":
            inside = True
        elif element == "xf" and inside:
            number = told.get("numFmtId", "0")
            styles.append(int(number) if number.isdigit() else 0)

    def end(element: str, _text: str) -> None:
        nonlocal inside
        inside = inside and element != "cellXfs"

    _read(package, path, Handlers(start, end))
    return tuple(own.get(number) or built_in(number) for number in styles)


class _Strings:
    """The shared strings, gathered on disk: a workbook may hold more of them than memory."""

    def __init__(self, scratch: Path) -> None:
        self._folder = scratch / "strings"
        self._folder.mkdir()
        self._files: list[Path] = []
        self._held: list[str] = []
        self._text: list[str] = []
        self._phonetic = 0
        self.replaced = 0

    def take(self, chunk: bytes) -> bool:
        text = plain_text(chunk)
        if text is None:
            return False
        first, *_ = text.split("<si>", 1)
        found = pl.Series([text[len(first) + 4 :]]).str.split("<si>").explode()
        if first.strip() or not found.str.contains(_STRING).all():
            return False
        texts = unentitied(found.str.extract(_STRING, 1).fill_null(""))
        if texts is None:
            return False
        self._keep(texts)
        return True

    def start(self, name: str, _attributes: Attributes) -> None:
        if name == "si":
            self._text = []
        elif name == "rPh":  # how the word is read: no part of it
            self._phonetic += 1

    def end(self, name: str, text: str) -> None:
        if name == "rPh":
            self._phonetic -= 1
        elif name == "t" and not self._phonetic:
            self._text.append(text)
        elif name == "si":
            self._held.append("".join(self._text))
            if len(self._held) >= 100_000:
                self.flush()

    def flush(self) -> None:
        if self._held:
            self._keep(pl.Series(self._held, dtype=pl.String))
            self._held = []

    def _keep(self, texts: pl.Series) -> None:
        texts, replaced = unescaped(texts)
        self.replaced += replaced
        path = self._folder / f"{len(self._files):05}.arrow"
        texts.to_frame("text").write_ipc(path, compat_level=pl.CompatLevel.oldest())
        self._files.append(path)

    def joined(self) -> pl.Series:
        self.flush()
        if not self._files:
            return _NONE
        return pl.concat([pl.read_ipc(path) for path in self._files], rechunk=True)["text"]


def _strings(package: Package, path: str, scratch: Path) -> tuple[pl.Series, int]:
    strings = _Strings(scratch)
    handlers = Handlers(strings.start, strings.end, frozenset({"t"}))
    _read(package, path, handlers, Runs(b"sst", b"si", strings.take))
    return strings.joined(), strings.replaced


def read_sheet(book: Book, sheet: Sheet, folder: Path) -> Grid:
    """The sheet's cells as texts. Raises `FileRefused`."""
    grid = Grid(sheet.name, folder)
    # Strings that were mended are counted where they are first told of, not once more per cell.
    grid.replaced = book.replaced
    cells = CellHandlers(lambda found: _add(grid, book, found))

    def take(chunk: bytes) -> bool:
        found = plain_cells(chunk)
        if found is None:
            return False
        _add(grid, book, found)
        cells.reached(grid.last_row)
        return True

    def start(name: str, told: Attributes) -> None:
        if name == "mergeCell":
            _note_merge(grid, told.get("ref", ""))
        cells.start(name, told)

    handlers = Handlers(start, cells.end, cells.TEXTS)
    _read(book.package, sheet.part, handlers, Runs(b"sheetData", b"row", take))
    grid.merges.sort()
    return grid


def _note_merge(grid: Grid, reference: str) -> None:
    area = _AREA.fullmatch(reference)
    if area is None:
        return
    if len(grid.merges) >= _MOST_MERGES:
        raise FileRefused("file_dangerous")
    left, right = column_number(area[1]), column_number(area[3])
    grid.merges.append(Merge(int(area[2]), left, int(area[4]), right))


def _add(grid: Grid, book: Book, cells: pl.DataFrame) -> None:
    texts = _texts(grid, book, cells)
    grid.add(cells["row"], cells["column"], texts)


def _texts(grid: Grid, book: Book, cells: pl.DataFrame) -> pl.Series:
    """What each cell says (18.18.11: the types of cells); null where it says nothing."""
    empty = cells["value"].is_null()
    if empty.any():
        grid.uncalculated += int((empty & (cells["type"] != "str")).sum())
    parts: list[pl.DataFrame] = []
    at = cells.with_columns(pl.int_range(pl.len(), dtype=pl.UInt32).alias("at"))
    for (kind,), part in at.partition_by("type", as_dict=True, maintain_order=True).items():
        parts += _of_type(grid, book, str(kind), part)
    return pl.concat(parts).sort("at")["text"] if parts else _NONE


def _of_type(grid: Grid, book: Book, kind: str, part: pl.DataFrame) -> Iterator[pl.DataFrame]:
    value = part["value"]
    if kind == "s":
        yield _said(part, _shared(book, value))
    elif kind in ("str", "inlineStr"):
        texts, replaced = unescaped(value)
        grid.replaced += replaced
        yield _said(part, texts)
    elif kind == "b":
        yield _said(part, value.replace_strict({"1": "true", "0": "false"}, default=value))
    elif kind == "e":
        grid.errors += part.height - value.null_count()
        yield _said(part, value.new_from_index(0, 0).extend_constant(None, part.height))
    else:
        yield from _shown(book, part, are_dates=kind == "d")


def _shared(book: Book, value: pl.Series) -> pl.Series:
    at = value.cast(pl.UInt32, strict=False)
    is_known = (at < max(book.strings.len(), 1)).fill_null(value=False)
    if int(is_known.sum()) + value.null_count() < len(value):
        raise FileRefused("file_damaged")
    return book.strings.gather(at) if book.strings.len() else value


def _shown(book: Book, part: pl.DataFrame, *, are_dates: bool) -> Iterator[pl.DataFrame]:
    """Numbers, one number format after the other."""
    styles = part["style"].unique().to_list()
    shown = {style: _format(book, style) for style in styles}
    plain = [style for style in styles if shown[style] is PLAIN or shown[style] == PLAIN]
    groups = [(PLAIN, plain)] if plain else []
    groups += [(shown[style], [style]) for style in styles if style not in plain]
    for number, of in groups:
        chosen = part if len(of) == len(styles) else part.filter(pl.col("style").is_in(of))
        raw = chosen["value"]
        if are_dates:
            yield _said(chosen, iso_moments(raw, number))
        else:
            yield _said(chosen, numbers(raw, number, is_1904=book.is_1904))


def _format(book: Book, style: int) -> NumberFormat:
    return book.formats[style] if style < len(book.formats) else PLAIN


def _said(part: pl.DataFrame, texts: pl.Series) -> pl.DataFrame:
    return pl.DataFrame([part["at"], texts.alias("text")])
