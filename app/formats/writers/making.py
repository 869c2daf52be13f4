"""From one file of cells to the files of a version, one after the other: the work of a child process.

It runs beside the worker and the server, so that neither grows by it or falls with it. Run as
`python -m app.formats.writers.making [NICENESS]`, it takes an order from stdin and tells each file
on stdout.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import orjson

from app.formats.writers.order import Layout, Order
from app.formats.writers.survey import Survey, survey

_GENTLY: Final = 5  # whoever waits for an answer goes before


def make(order: Order) -> Iterator[tuple[str, str | None]]:
    """Make the files; tell of each whether it is there, or why it cannot be."""
    found = survey(order.layout, order.cells)
    for name, target in order.wanted:
        reason = _why_not(name, order.layout, found)
        if reason is None:
            _write(name, order, found, target)
        yield name, reason


def _why_not(name: str, layout: Layout, found: Survey) -> str | None:
    if name in ("geopackage", "pmtiles"):
        if not layout.has_place:
            return "no_geometry"
        if name == "pmtiles" and not found.kinds:
            return "no_place_given"
    if name == "xlsx":
        from app.formats.writers import xlsx  # noqa: PLC0415

        return xlsx.why_not(layout, found)
    return None


def _write(name: str, order: Order, found: Survey, target: Path) -> None:
    """Each writer is imported only when it is needed: they are heavy."""
    match name:
        case "csv-excel":
            from app.formats.writers.excel_csv import write_excel_csv  # noqa: PLC0415

            write_excel_csv(order.layout, order.cells, target)
        case "parquet":
            from app.formats.writers.parquet import write_parquet  # noqa: PLC0415

            write_parquet(order.layout, found, order.cells, target)
        case "xlsx":
            from app.formats.writers.xlsx import write_xlsx  # noqa: PLC0415

            write_xlsx(order.layout, found, order.cells, target)
        case "geopackage":
            from app.formats.writers.geopackage import write_geopackage  # noqa: PLC0415

            layer, changed_at = order.layer, order.changed_at
            write_geopackage(
                order.layout, found, order.cells, target, layer=layer, changed_at=changed_at
            )
        case "pmtiles":
            from app.formats.writers.tiles import write_tiles  # noqa: PLC0415

            layer, title = order.layer, order.title
            write_tiles(order.layout, found, order.cells, target, layer=layer, title=title)
        case _:
            raise LookupError(f"nobody writes {name}")


def main() -> None:
    """Read the order, make its files, tell of each on a line."""
    os.nice(int(sys.argv[1]) if len(sys.argv) > 1 else _GENTLY)
    order = Order.from_json(sys.stdin.buffer.read())
    for name, reason in make(order):
        sys.stdout.buffer.write(orjson.dumps([name, reason]) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
