"""The forms in which anyone gets an open dataset's records, with their permanent addresses."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from app.formats.shelf.facts import OpenDataset
from app.query.params import MOST_ROWS


@dataclass(frozen=True, slots=True)
class Form:
    """One form. `file_type` is the EU vocabulary's word; `is_whole`: one download has all rows."""

    id: str
    name: str
    media_type: str
    file_type: str | None
    address: str
    is_whole: bool
    size: int | None = None
    sha256: str | None = None


# What a ready-made file may be: its name, media type and the EU's word for it.
FILE_KINDS: Final[Mapping[str, tuple[str, str, str | None]]] = {
    "csv": ("CSV", "text/csv", "CSV"),
    "csv-excel": ("CSV（Excel用）", "text/csv", "CSV"),
    "geojson": ("GeoJSON", "application/geo+json", "GEOJSON"),
    "parquet": ("Parquet", "application/vnd.apache.parquet", "PARQUET"),
    "geopackage": ("GeoPackage", "application/geopackage+sqlite3", "GPKG"),
    "xlsx": (
        "XLSX",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "XLSX",
    ),
    "pmtiles": ("PMTiles", "application/vnd.pmtiles", None),
}


def forms_of(dataset: OpenDataset, issuer: str) -> Iterator[Form]:
    """Files first, then what the interface answers with and no file holds."""
    base = f"{issuer}/v1/datasets/{dataset.id}"
    for file in dataset.files:
        name, media_type, file_type = FILE_KINDS[file.kind]
        address = f"{base}/files/{file.name}"
        yield Form(
            file.kind, name, media_type, file_type, address, True, file.size, file.sha256
        )  # fmt: skip
    kept = {file.kind for file in dataset.files}
    yield from (form for form in _asked_for(dataset, f"{base}/records") if form.id not in kept)


def _asked_for(dataset: OpenDataset, records: str) -> Iterator[Form]:
    """JSON comes in pages: where one page holds all rows, its address is the download's."""
    in_one = dataset.rows <= MOST_ROWS
    paged = f"&limit={MOST_ROWS}" if in_one else ""
    yield Form("csv", "CSV", "text/csv", "CSV", f"{records}?f=csv", True)
    yield Form("json", "JSON", "application/json", "JSON", f"{records}?f=json{paged}", in_one)
    if dataset.extent is not None:
        address = f"{records}?f=geojson{paged}"
        yield Form("geojson", "GeoJSON", "application/geo+json", "GEOJSON", address, in_one)


def table_of(dataset: OpenDataset, issuer: str) -> Form:
    """The one form that every dataset has as a table: CSV."""
    return next(form for form in forms_of(dataset, issuer) if form.id == "csv")
