"""Open data as schema.org's Dataset and DataCatalog, for search engines: pure shapes.

https://schema.org/Dataset
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from app.formats import licences
from app.formats.shelf.dcat import catalogue_address, dataset_address, mail_address
from app.formats.shelf.facts import OpenDataset
from app.formats.shelf.forms import Form, forms_of
from app.query.fields import Field

_CONTEXT: Final = "https://schema.org/"
_CATALOGUE: Final = "オープンデータカタログ"


def dataset(told: OpenDataset, issuer: str) -> dict[str, Any]:
    """One dataset as a document."""
    about = dataset_address(told.id, issuer)
    made: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "Dataset",
        "@id": about,
        "url": about,
        "identifier": told.id,
        "name": told.title_ja,
        "description": told.description_ja or told.title_ja,
        "license": licences.address_of(told.license) or told.license,
        "isAccessibleForFree": True,
        "inLanguage": "ja",
        "version": str(told.version),
        "datePublished": told.issued_at.isoformat(),
        "dateModified": told.modified_at.isoformat(),
        "publisher": _publisher(told),
        "includedInDataCatalog": {
            "@type": "DataCatalog",
            "@id": catalogue_address(issuer),
            "name": _CATALOGUE,
            "url": catalogue_address(issuer),
        },
        "distribution": [_download(form) for form in forms_of(told, issuer) if form.is_whole],
    }
    made.update(_where_known(told))
    return made


def catalogue(datasets: Sequence[OpenDataset], issuer: str) -> dict[str, Any]:
    """A page of the catalogue, which names its datasets."""
    return {
        "@context": _CONTEXT,
        "@type": "DataCatalog",
        "@id": catalogue_address(issuer),
        "url": catalogue_address(issuer),
        "name": _CATALOGUE,
        "dataset": [
            {
                "@type": "Dataset",
                "@id": dataset_address(each.id, issuer),
                "url": dataset_address(each.id, issuer),
                "name": each.title_ja,
                "description": each.description_ja or each.title_ja,
                "license": licences.address_of(each.license) or each.license,
            }
            for each in datasets
        ],
    }


def _where_known(told: OpenDataset) -> Iterator[tuple[str, Any]]:
    if told.title_en:
        yield "alternateName", told.title_en
    if told.keywords:
        yield "keywords", list(told.keywords)
    first, last = told.temporal
    if first is not None or last is not None:
        ends = (day.isoformat() if day is not None else ".." for day in (first, last))
        yield "temporalCoverage", "/".join(ends)
    if told.extent is not None:
        west, south, east, north = told.extent
        yield (
            "spatialCoverage",
            {
                "@type": "Place",
                "geo": {"@type": "GeoShape", "box": f"{south} {west} {north} {east}"},
            },
        )
    if told.fields:
        yield "variableMeasured", [_variable(field) for field in told.fields]


def _variable(field: Field) -> dict[str, str]:
    made = {"@type": "PropertyValue", "name": field.label, "alternateName": field.name}
    if field.description:
        made["description"] = field.description
    if field.unit:
        made["unitText"] = field.unit
    return made


def _publisher(told: OpenDataset) -> dict[str, Any]:
    made: dict[str, Any] = {"@type": "Organization", "name": told.publisher_ja}
    if told.publisher_en:
        made["alternateName"] = told.publisher_en
    contact = {"@type": "ContactPoint", "name": told.steward_name}
    if told.steward_email:
        contact["email"] = mail_address(told.steward_email).removeprefix("mailto:")
    return {**made, "contactPoint": contact}


def _download(form: Form) -> dict[str, Any]:
    made: dict[str, Any] = {
        "@type": "DataDownload",
        "name": form.name,
        "encodingFormat": form.media_type,
        "contentUrl": form.address,
    }
    if form.sha256 is not None:
        made |= {"contentSize": f"{form.size} B", "sha256": form.sha256}
    return made
