"""Open data as DCAT 3 in JSON-LD: facts in, plain JSON out. Looks nothing up and decides nothing.

DCAT 3 (https://www.w3.org/TR/vocab-dcat-3/), with the properties that DCAT-AP 3.0 asks for. The
context holds prefixes only, so that the document reads without fetching anything.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

from app.formats.shelf.facts import OpenDataset
from app.query.params import MOST_ROWS

Node = dict[str, Any]
CONTEXT: Final[Mapping[str, str]] = {
    "dcat": "http://www.w3.org/ns/dcat#",
    "dct": "http://purl.org/dc/terms/",
    "foaf": "http://xmlns.com/foaf/0.1/",
    "gsp": "http://www.opengis.net/ont/geosparql#",
    "hydra": "http://www.w3.org/ns/hydra/core#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "vcard": "http://www.w3.org/2006/vcard/ns#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
_EU: Final = "http://publications.europa.eu/resource/authority"
_IANA: Final = "https://www.iana.org/assignments/media-types"
# The EU's frequency vocabulary, which DCAT-AP 3.0 asks for (dct:accrualPeriodicity).
FREQUENCIES: Final[Mapping[str, str]] = {
    "continuous": "CONT",
    "hourly": "HOURLY",
    "daily": "DAILY",
    "weekly": "WEEKLY",
    "monthly": "MONTHLY",
    "quarterly": "QUARTERLY",
    "annual": "ANNUAL",
    "irregular": "IRREG",
    "once": "NEVER",
}
# By SPDX id, and what Japanese bodies use besides.
LICENCES: Final[Mapping[str, str]] = {
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC-BY-SA-4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
    "CC-BY-2.1-JP": "https://creativecommons.org/licenses/by/2.1/jp/",
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "PDL-1.0": "https://www.digital.go.jp/resources/open_data/public_data_license_v1.0",
    "ODBL-1.0": "https://opendatacommons.org/licenses/odbl/1-0/",
}


def catalogue(
    datasets: Sequence[OpenDataset], issuer: str, *, here: str, following: str | None
) -> Node:
    """A page of the catalogue. `here` and `following` are its own and the next page's address."""
    address = f"{issuer}/opendata/catalog.jsonld"
    view: Node = {"@id": here, "@type": "hydra:PartialCollectionView"}
    if following is not None:
        view["hydra:next"] = {"@id": following}
    return {
        "@context": dict(CONTEXT),
        "@id": address,
        "@type": ["dcat:Catalog", "hydra:Collection"],
        "dct:title": _texts("オープンデータカタログ", "Open data catalogue"),
        "dct:description": _texts(
            "都市OSで公開しているデータセットの一覧です。", "The datasets that are public here."
        ),
        "foaf:homepage": {"@id": f"{issuer}/"},
        "hydra:view": view,
        "dcat:dataset": [_dataset(each, issuer) for each in datasets],
    }


def document(dataset: OpenDataset, issuer: str) -> Node:
    """One dataset as a document of its own."""
    return {"@context": dict(CONTEXT), **_dataset(dataset, issuer)}


def _dataset(dataset: OpenDataset, issuer: str) -> Node:
    about = f"{issuer}/opendata/datasets/{dataset.id}"
    description = dataset.description_ja or dataset.title_ja  # DCAT-AP: mandatory
    node: Node = {
        "@id": about,
        "@type": "dcat:Dataset",
        "dct:identifier": dataset.id,
        "dct:title": _texts(dataset.title_ja, dataset.title_en),
        "dct:description": _texts(description, dataset.description_en),
        "dct:publisher": _publisher(dataset, issuer),
        "dcat:contactPoint": _contact(dataset),
        "dct:issued": _typed(dataset.issued_at),
        "dct:modified": _typed(dataset.modified_at),
        "dct:accrualPeriodicity": {
            "@id": f"{_EU}/frequency/{FREQUENCIES.get(dataset.update_frequency, 'UNKNOWN')}"
        },
        "dcat:version": str(dataset.version),
        "dcat:landingPage": {"@id": f"{issuer}/v1/datasets/{dataset.id}"},
        "dct:accessRights": {"@id": f"{_EU}/access-right/PUBLIC"},
        **_licence(dataset.license),
        "dcat:distribution": list(_distributions(dataset, issuer, about)),
    }
    node.update(_where_known(dataset, issuer))
    return node


def _where_known(dataset: OpenDataset, issuer: str) -> Iterator[tuple[str, Any]]:
    """What not every dataset has."""
    if dataset.keywords:
        yield "dcat:keyword", [{"@value": each, "@language": "ja"} for each in dataset.keywords]
    if dataset.profile is not None:
        name, version = dataset.profile
        yield "dct:conformsTo", {"@id": f"{issuer}/v1/profiles/{name}/{version}"}
    bounds = {
        key: _typed(day)
        for key, day in zip(("dcat:startDate", "dcat:endDate"), dataset.temporal, strict=True)
        if day is not None
    }
    if bounds:
        yield "dct:temporal", {"@type": "dct:PeriodOfTime", **bounds}
    if dataset.extent is not None:
        yield "dct:spatial", {"@type": "dct:Location", "dcat:bbox": _box(*dataset.extent)}


def _distributions(dataset: OpenDataset, issuer: str, about: str) -> Iterator[Node]:
    """Each form in which anyone gets the records. `@id` and addresses are permanent.

    JSON comes in pages: where one page holds all rows, its address is the download's.
    """
    records = f"{issuer}/v1/datasets/{dataset.id}/records"
    in_one = dataset.rows <= MOST_ROWS
    paged = f"&limit={MOST_ROWS}" if in_one else ""
    forms = [
        ("csv", "CSV", "text/csv", "", True),
        ("json", "JSON", "application/json", paged, in_one),
    ]
    if dataset.extent is not None:
        forms.append(("geojson", "GEOJSON", "application/geo+json", paged, in_one))
    for form, name, media_type, more, whole in forms:
        address = {"@id": f"{records}?f={form}{more}"}
        yield {
            "@id": f"{about}#{form}",
            "@type": "dcat:Distribution",
            "dct:title": _texts(f"{dataset.title_ja}（{name}）", None),
            "dcat:accessURL": address,
            **({"dcat:downloadURL": address} if whole else {}),
            "dcat:mediaType": {"@id": f"{_IANA}/{media_type}"},
            "dct:format": {"@id": f"{_EU}/file-type/{name}"},
            "dct:modified": _typed(dataset.modified_at),
            **_licence(dataset.license),
        }


def _licence(name: str) -> Node:
    """The licence by its address; what has none we know is told as a statement of rights."""
    address = LICENCES.get(name.upper()) or (
        name if name.startswith(("https://", "http://")) else None
    )
    if address is not None:
        return {"dct:license": {"@id": address}}
    return {"dct:rights": {"@type": "dct:RightsStatement", "rdfs:label": name}}


def _publisher(dataset: OpenDataset, issuer: str) -> Node:
    return {
        "@id": f"{issuer}/opendata/catalog.jsonld#{dataset.publisher_id}",
        "@type": "foaf:Organization",
        "dct:identifier": dataset.publisher_id,
        "foaf:name": _texts(dataset.publisher_ja, dataset.publisher_en),
    }


def _contact(dataset: OpenDataset) -> Node:
    node: Node = {"@type": "vcard:Organization", "vcard:fn": dataset.steward_name}
    if dataset.steward_email:
        node["vcard:hasEmail"] = {"@id": f"mailto:{dataset.steward_email}"}
    return node


def _texts(ja: str, en: str | None) -> list[Node]:
    told = [{"@value": ja, "@language": "ja"}]
    return [*told, {"@value": en, "@language": "en"}] if en else told


def _typed(when: date | datetime) -> Node:
    kind = "dateTime" if isinstance(when, datetime) else "date"
    return {"@value": when.isoformat(), "@type": f"xsd:{kind}"}


def _box(west: float, south: float, east: float, north: float) -> Node:
    """GeoSPARQL's WKT, whose default is CRS84: longitude first."""
    corners = ((west, south), (east, south), (east, north), (west, north), (west, south))
    ring = ", ".join(f"{x} {y}" for x, y in corners)
    return {"@value": f"POLYGON(({ring}))", "@type": "gsp:wktLiteral"}
