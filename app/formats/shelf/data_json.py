"""Open data as `data.json` (Project Open Data metadata schema 1.1, DCAT-US): pure shapes.

https://resources.data.gov/resources/dcat-us/ What only the government of the United States has
(bureauCode, programCode) is left out, as the schema's form for others allows.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.formats import licences
from app.formats.shelf.dcat import catalogue_address, dataset_address, mail_address
from app.formats.shelf.facts import OpenDataset
from app.formats.shelf.forms import Form, forms_of

_SCHEMA: Final = "https://project-open-data.cio.gov/v1.1/schema"
# ISO 8601 repeating durations, as the schema asks.
FREQUENCIES: Final[Mapping[str, str]] = {
    "continuous": "R/PT1S",
    "hourly": "R/PT1H",
    "daily": "R/P1D",
    "weekly": "R/P1W",
    "monthly": "R/P1M",
    "quarterly": "R/P3M",
    "annual": "R/P1Y",
    "irregular": "irregular",
}


def head(issuer: str) -> dict[str, Any]:
    """The catalogue without its datasets."""
    return {
        "@context": f"{_SCHEMA}/catalog.jsonld",
        "@id": f"{catalogue_address(issuer).removesuffix('/catalog')}/data.json",
        "@type": "dcat:Catalog",
        "conformsTo": _SCHEMA,
        "describedBy": f"{_SCHEMA}/catalog.json",
    }


def entry(dataset: OpenDataset, issuer: str) -> dict[str, Any]:
    """One dataset."""
    made: dict[str, Any] = {
        "@type": "dcat:Dataset",
        "identifier": dataset_address(dataset.id, issuer),
        "title": dataset.title_ja,
        "description": dataset.description_ja or dataset.title_ja,
        "keyword": list(dataset.keywords) or [dataset.publisher_ja],  # the schema asks for one
        "modified": dataset.modified_at.isoformat(),
        "issued": dataset.issued_at.isoformat(),
        "publisher": {"@type": "org:Organization", "name": dataset.publisher_ja},
        "contactPoint": _contact(dataset),
        "accessLevel": "public",
        "language": ["ja"],
        "landingPage": dataset_address(dataset.id, issuer),
        "distribution": [_distribution(form) for form in forms_of(dataset, issuer)],
    }
    made.update(_where_known(dataset, issuer))
    return made


def _where_known(dataset: OpenDataset, issuer: str) -> Iterator[tuple[str, Any]]:
    address = licences.address_of(dataset.license)
    if address is not None:
        yield "license", address
    else:
        yield "rights", dataset.license
    if dataset.update_frequency in FREQUENCIES:
        yield "accrualPeriodicity", FREQUENCIES[dataset.update_frequency]
    if dataset.extent is not None:
        yield "spatial", ",".join(str(edge) for edge in dataset.extent)
    first, last = dataset.temporal
    if first is not None and last is not None:
        yield "temporal", f"{first.isoformat()}/{last.isoformat()}"
    if dataset.profile is not None:
        name, version = dataset.profile
        yield "conformsTo", f"{issuer}/v1/profiles/{name}/{version}"


def _contact(dataset: OpenDataset) -> dict[str, str]:
    made = {"@type": "vcard:Contact", "fn": dataset.steward_name}
    if dataset.steward_email:
        made["hasEmail"] = mail_address(dataset.steward_email)
    return made


def _distribution(form: Form) -> dict[str, str]:
    made = {"@type": "dcat:Distribution", "title": form.name, "format": form.name}
    if form.is_whole:
        return {**made, "downloadURL": form.address, "mediaType": form.media_type}
    return {**made, "accessURL": form.address}
