"""Opens a file of any format and says which of its tables is meant; it takes no row in.

The bytes decide, never the name: what is published as .csv may be a workbook.
"""

import re
from collections.abc import Callable, Sequence
from importlib import import_module

from app.formats.guidance import FileRefused, Notice
from app.formats.labels import fold
from app.formats.readers import sniff as structured_sniff
from app.formats.readers.fixed.guess import is_fixed_width_text
from app.formats.readers.geo import sniff as geo_sniff
from app.formats.readers.sheets import sniff as workbook_sniff
from app.formats.readers.text.delimited import delimited_table
from app.formats.stored import StoredFile
from app.formats.table import Table
from app.formats.told import Told

_SHOWN_TABLES = 40
_HEAD = 4096
# Of several sheets the first is what its author looks at; of the members of an archive or the
# layers of a database none comes first.
_FIRST_IS_MEANT = frozenset({"xlsx", "xls", "xlsb", "ods"})
_EXPLAINS = re.compile("説明|手順|記入|凡例|注意|使い方|表紙|目次|はじめに|readme", re.IGNORECASE)
_LEAST_FIT = 0.5

Reader = Callable[[StoredFile, Told], list[Table]]
# Whether the head of a file (4,096 bytes) is this reader's, and the reader. Imported when needed:
# most workers never meet most formats. In this order; what nobody knows is read as text.
_READERS: tuple[tuple[Callable[[bytes, StoredFile, Told], bool], str], ...] = (
    (structured_sniff.is_fixed_width, "fixed.width"),
    (workbook_sniff.is_office, "sheets.workbook"),
    (geo_sniff.is_geojson, "geo.json"),
    (geo_sniff.is_topojson, "geo.topojson"),
    (geo_sniff.is_kml, "geo.kml"),
    (geo_sniff.is_geopackage, "geo.package"),
    (geo_sniff.is_shapefile, "geo.shapefile"),
    (structured_sniff.is_feed, "archives.gtfs"),
    (structured_sniff.is_archive, "archives.archives"),
    (structured_sniff.is_parquet, "documents.parquet"),
    (structured_sniff.is_json, "documents.json_rows"),
    (structured_sniff.is_xml, "documents.xml_rows"),
)


def open_tables(file: StoredFile, told: Told) -> list[Table]:
    """All tables of the file, in its order. Raises `FileRefused`."""
    with file.open() as stream:
        head = stream.read(_HEAD)
    for is_its, module in _READERS:
        if is_its(head, file, told):
            reader: Reader = import_module(f"app.formats.readers.{module}").tables
            return reader(file, told)
    table = delimited_table(file.open, told=told.encoding)
    if is_fixed_width_text(table):
        raise FileRefused("fixed_width_unknown")
    return [table]


def choose(
    tables: Sequence[Table], told: Told, fit: Callable[[Sequence[str]], float]
) -> tuple[Table, tuple[Notice, ...]]:
    """The table that is meant, and a notice that names the others.

    `fit` says how well headings agree with what is known of the dataset, 0 to 1: the table that
    agrees best, and at least half, is meant. Raises `FileRefused` where none is, or where it cannot be told.
    """
    if not tables:
        raise FileRefused("no_data_rows")
    if told.table is not None:
        return _named(tables, told.table), ()
    if len(tables) == 1:
        return tables[0], ()
    chosen = _fitting(tables, fit)
    if chosen is None and all(table.format in _FIRST_IS_MEANT for table in tables):
        chosen = next((each for each in tables if not _EXPLAINS.search(each.name)), tables[0])
    if chosen is None:
        raise FileRefused("several_tables", names=_names(tables))
    others = [table for table in tables if table is not chosen]
    details = {"name": chosen.name, "others": _names(others)}
    return chosen, (Notice("tables_left_out", details),)


def _named(tables: Sequence[Table], wanted: str) -> Table:
    for table in tables:
        if table.name == wanted:
            return table
    for table in tables:
        # stops.txt of a feed is the table stops
        if table.name and fold(table.name) in (fold(wanted), fold(wanted.rpartition(".")[0])):
            return table
    if wanted.isascii() and wanted.isdigit() and 1 <= int(wanted) <= len(tables):
        return tables[int(wanted) - 1]
    raise FileRefused("table_not_found", name=wanted, names=_names(tables))


def _fitting(tables: Sequence[Table], fit: Callable[[Sequence[str]], float]) -> Table | None:
    """The one table that fits better than any other, and at least half."""
    found = [fit(table.head.labels) for table in tables]
    best = max(found)
    if best < _LEAST_FIT or found.count(best) > 1:
        return None
    return tables[found.index(best)]


def _names(tables: Sequence[Table]) -> str:
    names = [table.name for table in tables]
    more = f" …（{len(names)}）" if len(names) > _SHOWN_TABLES else ""
    return "、".join(names[:_SHOWN_TABLES]) + more
