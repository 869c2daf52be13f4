"""Loads of other formats than CSV through a real worker: a workbook, and a zip read as it streams."""

import asyncio
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import xlsxwriter

from tests.bench import facilities
from tests.bench.figures import ROUNDS, Figure
from tests.bench.stage import Stage

_WORKBOOK_ROWS = 200_000
_PARCEL_ROWS = 367_519
_DATA = Path(os.environ.get("URBANOS_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
_PARCELS = _DATA / "addresses/abr/mt_parcel_city302015.csv.zip"
_PARCEL_FIELDS: list[dict[str, Any]] = [
    {"name": "lg_code", "label": "lg_code", "type": "code", "key": True},
    {"name": "machiaza_id", "label": "machiaza_id", "type": "code", "key": True},
    {"name": "prc_id", "label": "prc_id", "type": "code", "key": True},
    {"name": "city", "label": "city", "type": "text"},
    {"name": "oaza_cho", "label": "oaza_cho", "type": "text"},
    {"name": "prc_num1", "label": "prc_num1", "type": "code"},
    {"name": "efct_date", "label": "efct_date", "type": "date"},
]


async def workbook(stage: Stage) -> list[Figure]:
    """An XLSX of 200,000 rows and ten columns, from the run's start to its end."""
    await stage.register("bench-workbook", "public")
    worker = stage.spawn("worker")
    paces = []
    try:
        for at in range(ROUNDS):
            path = stage.folder / f"facilities-{at}.xlsx"
            await asyncio.to_thread(_write, path, 200 + at)
            paces.append(_pace(await stage.load("bench-workbook", path)))
            path.unlink()
    finally:
        worker.stop()
    return [Figure("XLSX load, ten columns", "rows/s", tuple(paces), wanted_above=50_000)]


def _write(path: Path, seed: int) -> None:
    with xlsxwriter.Workbook(path, {"constant_memory": True}) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, facilities.HEADER.strip().split(","))
        for at, line in zip(range(1, _WORKBOOK_ROWS + 1), facilities.lines(seed), strict=False):
            cells = line.strip().split(",")
            numbers = [int(cells[6]), float(cells[7]), float(cells[8])]
            sheet.write_row(at, 0, [*cells[:6], *numbers, cells[9]])


async def parcels(stage: Stage) -> list[Figure]:
    """All parcels of a city from a published zip, where the real files are there."""
    if not _PARCELS.exists():
        print(f"parcels left out: the real files are not at {_DATA} (URBANOS_REAL_DATA)")
        return []
    worker = stage.spawn("worker")
    paces = []
    try:
        for at in range(ROUNDS):
            await stage.register(f"bench-parcels-{at}", "public", _PARCEL_FIELDS)
            run = await stage.load(f"bench-parcels-{at}", _PARCELS)
            assert run["rows_read"] == _PARCEL_ROWS, run
            paces.append(_pace(run))
    finally:
        worker.stop()
    return [Figure("parcels from a zip", "rows/s", tuple(paces))]


def _pace(run: dict[str, Any]) -> float:
    began, ended = (datetime.fromisoformat(run[name]) for name in ("started_at", "finished_at"))
    return float(run["rows_read"] / (ended - began).total_seconds())
