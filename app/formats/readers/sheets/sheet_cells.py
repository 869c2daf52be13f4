"""Cells of an XLSX sheet's rows as a frame: plain rows by one pattern, all others one by one.

Both ways give the same frame; it holds only cells that say something (or should).
"""

import re
from collections.abc import Callable

import polars as pl

from app.formats.guidance import FileRefused
from app.formats.readers.sheets.xml_part import Attributes

MOST_ROWS = 1 << 20
MOST_COLUMNS = 1 << 14
_FLUSH = 100_000

SCHEMA = {
    "row": pl.Int32,
    "column": pl.Int32,  # from 0
    "style": pl.Int32,
    "type": pl.String,
    "value": pl.String,  # null: a formula that was never calculated
}
# Nearly every cell is of the first kind, which an automaton reads without looking back.
_USUAL_CELL = (
    r'^r="([A-Z]+)([0-9]+)"(?: (?:s="([0-9]+)"(?: t="([A-Za-z]+)")?|t="([A-Za-z]+)"))?'
    r"(?:/>|><(?:v>([^<]*)</v>|is><t>([^<]*)</t></is>)</c>)$"
)
_CELL = (
    r'^r="([A-Z]+)([0-9]+)"(?: s="([0-9]+)")?(?: t="([A-Za-z]+)")?(?: cm="1")?'
    r"(?:/>|>(<f(?: [^<>]*)?(?:/>|>[^<]*</f>))?"
    r'(?:<v(?: xml:space="preserve")?>([^<]*)</v>|<v/>|<is><t(?: xml:space="preserve")?>([^<]*)</t></is>)?</c>)'
    r"\s*$"
)
_NEXT_ROW = re.compile(r"</row>\s*(?:<row(?: [^<>]*)?(?:/>|>\s*</row>)\s*)*<row(?: [^<>]*)?>\s*")
# Possessive: what a hostile file makes of it must not be tried in every way.
_FIRST = re.compile(r"\s*+(?:<row(?:/|\s[^<>]*+)?>\s*+(?:</row>\s*+)?)*+")
_NOT_XML = bytes(set(range(32)) - {9, 10, 13})
_ENTITY = re.compile(r"&(?:#([0-9]{1,7})|#x([0-9A-Fa-f]{1,6})|(amp|lt|gt|quot|apos));|&")
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}


def plain_text(chunk: bytes) -> str | None:
    """The chunk as XML would read it, entities apart; None where only a parser can say."""
    if b"<!" in chunk or b"<?" in chunk or len(chunk.translate(None, _NOT_XML)) < len(chunk):
        return None
    try:
        text = chunk.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise FileRefused("file_damaged") from exc
    # XML 1.0, 2.11: a line end is LF, however it is written.
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def plain_cells(chunk: bytes) -> pl.DataFrame | None:
    """The cells of whole rows as every program writes them; None where there is anything else."""
    text = plain_text(chunk)
    if text is None:
        return None
    first, _, rest = _NEXT_ROW.sub("", text).removesuffix("</row>").partition("<c ")
    if not _FIRST.fullmatch(first):
        return None
    if not rest:
        return pl.DataFrame(schema=SCHEMA)
    return _known(pl.Series([rest]).str.split("<c ").explode())


def _known(cells: pl.Series) -> pl.DataFrame | None:
    """The cells behind their `<c `; None where one is written in a way of its own."""
    found = cells.str.extract_groups(_USUAL_CELL).struct.unnest().select(
        pl.col("1", "2", "3"),
        pl.coalesce("4", "5").alias("type"),
        pl.coalesce("6", "7").alias("value"),
        pl.lit(value=False).alias("has_formula"),
    )  # fmt: skip
    unusual = found["1"].is_null()
    if unusual.any():
        others = cells.filter(unusual).str.extract_groups(_CELL).struct.unnest()
        if others["1"].null_count():
            return None
        found = _put(found, unusual, others.select(
            pl.col("1", "2", "3"),
            pl.col("4").alias("type"),
            pl.coalesce("6", "7").alias("value"),
            pl.col("5").is_not_null().alias("has_formula"),
        ))  # fmt: skip
    value = pl.col("value")
    found = found.filter((value.fill_null("") != "") | pl.col("has_formula"))
    values = unentitied(found["value"].set(found["value"] == "", None))
    if values is None:
        return None
    return _checked(
        pl.DataFrame(
            [
                found["2"].cast(pl.Int32, strict=False).fill_null(MOST_ROWS + 1).alias("row"),
                _column_numbers(found["1"]).alias("column"),
                found["3"].cast(pl.Int32, strict=False).fill_null(0).alias("style"),
                found["type"].fill_null("n"),
                values.alias("value"),
            ]
        )
    )


def _put(found: pl.DataFrame, where: pl.Series, others: pl.DataFrame) -> pl.DataFrame:
    """`found` with the rows that `where` marks taken from `others`, in their order."""
    places = pl.concat([(~where).arg_true(), where.arg_true()])
    both = pl.concat([found.filter(~where), others])
    return both[places.arg_sort()]


def unentitied(texts: pl.Series) -> pl.Series | None:
    """The texts with entities decoded; None where one is not XML's own."""
    marked = texts.str.contains("&", literal=True).fill_null(value=False).arg_true()
    if marked.is_empty():
        return texts
    try:
        plain = [_ENTITY.sub(_character, text) for text in texts.gather(marked).to_list()]
    except ValueError:
        return None
    return texts.scatter(marked, pl.Series(plain, dtype=pl.String))


def _character(found: re.Match[str]) -> str:
    if found[3]:
        return _NAMED[found[3]]
    number = int(found[1]) if found[1] else int(found[2] or "0", 16)
    # XML 1.0, 2.2: what may stand in a document; a parser says what is wrong with the rest.
    if number in (9, 10, 13) or 0x20 <= number < 0xD800 or 0xE000 <= number < 0xFFFE:
        return chr(number)
    if 0x10000 <= number <= 0x10FFFF:
        return chr(number)
    raise ValueError


def _column_numbers(letters: pl.Series) -> pl.Series:
    known = {each: column_number(each) for each in letters.unique().to_list()}
    if not known:
        return pl.Series([], dtype=pl.Int32)
    return letters.replace_strict(known, return_dtype=pl.Int32)


def column_number(letters: str) -> int:
    """A is 0, Z is 25, AA is 26."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return min(number - 1, MOST_COLUMNS)


def column_letters(number: int) -> str:
    """0 is A, 26 is AA."""
    letters, number = "", number + 1
    while number:
        number, digit = divmod(number - 1, 26)
        letters = chr(65 + digit) + letters
    return letters


def _checked(cells: pl.DataFrame) -> pl.DataFrame:
    if cells.height and not (
        1 <= int(cells["row"].min()) <= int(cells["row"].max()) <= MOST_ROWS  # type: ignore[arg-type]
        and int(cells["column"].max()) < MOST_COLUMNS  # type: ignore[arg-type]
    ):
        raise FileRefused("file_damaged")
    return cells


class CellHandlers:
    """Collects cells from a parser's events: rows and cells may leave out where they stand."""

    TEXTS = frozenset({"v", "t"})

    def __init__(self, emit: Callable[[pl.DataFrame], None]) -> None:
        self._emit = emit
        self._cells: list[tuple[int, int, int, str, str | None]] = []
        self._row, self._column = 0, -1
        self._inside = False  # of sheetData
        self._style, self._type = 0, "n"
        self._value: str | None = None
        self._has_formula, self._phonetic = False, False

    def reached(self, row: int) -> None:
        """Rows up to this one were read in another way."""
        self._row = max(self._row, row)

    def start(self, name: str, attributes: Attributes) -> None:
        """An element opens."""
        if name == "sheetData":
            self._inside = True
        elif not self._inside:
            return
        elif name == "row":
            self._row = _number(attributes.get("r"), self._row + 1)
            self._column = -1
        elif name == "c":
            self._open_cell(attributes)
        elif name == "f":
            self._has_formula = True
        elif name == "rPh":
            self._phonetic = True

    def end(self, name: str, text: str) -> None:
        """An element closes."""
        if not self._inside:
            return
        if name == "v":
            self._value = text
        elif name == "t" and not self._phonetic:
            self._value = (self._value or "") + text
        elif name == "rPh":
            self._phonetic = False
        elif name == "c":
            self._close_cell()
        elif name == "sheetData":
            self._inside = False
            self.flush()

    def _open_cell(self, attributes: Attributes) -> None:
        at = re.fullmatch("([A-Z]{1,3})([0-9]{1,7})", attributes.get("r", ""))
        self._column = column_number(at[1]) if at else self._column + 1
        self._row = int(at[2]) if at else self._row
        self._style = _number(attributes.get("s"), 0)
        self._type = attributes.get("t", "n")
        self._value, self._has_formula, self._phonetic = None, False, False

    def _close_cell(self) -> None:
        value = self._value or None
        if value is None and not self._has_formula:
            return
        self._cells.append((self._row, self._column, self._style, self._type, value))
        if len(self._cells) >= _FLUSH:
            self.flush()

    def flush(self) -> None:
        """Hand over what was collected."""
        if self._cells:
            self._emit(_checked(pl.DataFrame(self._cells, schema=SCHEMA, orient="row")))
            self._cells = []


def _number(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not re.fullmatch("[0-9]{1,8}", text):
        raise FileRefused("file_damaged")
    return int(text)
