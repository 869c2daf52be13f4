"""Open data as DCAT 3, conforming to DCAT-AP 3.0: facts in, a JSON-LD tree out. Decides nothing.

DCAT 3 (https://www.w3.org/TR/vocab-dcat-3/), DCAT-AP 3.0 (https://semiceu.github.io/DCAT-AP/).
The context holds prefixes only, so that the document reads without fetching anything, and every
value says its type or language: `rdf` writes the same graph in the other syntaxes. Every thing has
a name, so that a client who adds document to document has each thing once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from urllib.parse import quote, urlsplit

from app.formats import licences
from app.formats.shelf import themes
from app.formats.shelf.facts import EarlierVersion, OpenDataset, Service
from app.formats.shelf.forms import Form, forms_of

Node = dict[str, Any]
CONTEXT: Final[Mapping[str, str]] = {
    "dcat": "http://www.w3.org/ns/dcat#",
    "dct": "http://purl.org/dc/terms/",
    "dqv": "http://www.w3.org/ns/dqv#",
    "foaf": "http://xmlns.com/foaf/0.1/",
    "gsp": "http://www.opengis.net/ont/geosparql#",
    "hydra": "http://www.w3.org/ns/hydra/core#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "spdx": "http://spdx.org/rdf/terms#",
    "vcard": "http://www.w3.org/2006/vcard/ns#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
_EU: Final = "http://publications.europa.eu/resource/authority"
_IANA: Final = "https://www.iana.org/assignments/media-types"
_JAPANESE: Final = {"@id": f"{_EU}/language/JPN"}
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


@dataclass(frozen=True, slots=True)
class CataloguePage:
    """One page. `here` and `following` are its own and the next page's address."""

    datasets: Sequence[OpenDataset]
    here: str
    following: str | None


def catalogue(page: CataloguePage, issuer: str, services: Sequence[Service]) -> Node:
    """A page of the catalogue."""
    view: Node = {"@id": page.here, "@type": "hydra:PartialCollectionView"}
    if page.following is not None:
        view["hydra:next"] = {"@id": page.following}
    address = catalogue_address(issuer)
    host = urlsplit(issuer).netloc
    return {
        "@context": dict(CONTEXT),
        "@id": address,
        "@type": ["dcat:Catalog", "hydra:Collection"],
        "dct:title": _texts("オープンデータカタログ", "Open data catalogue"),
        "dct:description": _texts(
            "都市OSで公開しているデータセットの一覧です。", "The datasets that are public here."
        ),
        "dct:publisher": {
            "@id": f"{address}#publisher",
            "@type": "foaf:Agent",
            "foaf:name": _texts(f"{host} の運営者", f"The operator of {host}"),
        },
        "dct:language": [_JAPANESE, {"@id": f"{_EU}/language/ENG"}],
        "foaf:homepage": {"@id": f"{issuer}/"},
        "dcat:themeTaxonomy": {"@id": f"{_EU}/data-theme"},
        "hydra:view": view,
        "dcat:service": [_service(each, issuer) for each in services],
        "dcat:dataset": [_dataset(each, issuer, services) for each in page.datasets],
    }


def document(dataset: OpenDataset, issuer: str, services: Sequence[Service]) -> Node:
    """One dataset as a document of its own, with its versions and the door to its records."""
    node = _dataset(dataset, issuer, services)
    if dataset.versions:
        about = dataset_address(dataset.id, issuer)
        node["dcat:hasVersion"] = [
            _version(dataset, each, issuer, about) for each in dataset.versions
        ]
    doors = {_service_address(each, issuer): _service(each, issuer) for each in services}
    for form in node["dcat:distribution"]:
        if "dcat:accessService" in form:
            form["dcat:accessService"] = doors[form["dcat:accessService"]["@id"]]
    return {"@context": dict(CONTEXT), **node}


def catalogue_address(issuer: str) -> str:
    """What names the catalogue for ever."""
    return f"{issuer}/opendata/catalog"


def dataset_address(dataset_id: str, issuer: str) -> str:
    """What names a dataset for ever: never changed, never given to another."""
    return f"{issuer}/opendata/datasets/{dataset_id}"


def _dataset(dataset: OpenDataset, issuer: str, services: Sequence[Service]) -> Node:
    about = dataset_address(dataset.id, issuer)
    description = dataset.description_ja or dataset.title_ja  # DCAT-AP: mandatory
    node: Node = {
        "@id": about,
        "@type": "dcat:Dataset",
        "dct:identifier": dataset.id,
        "dct:title": _texts(dataset.title_ja, dataset.title_en),
        "dct:description": _texts(description, dataset.description_en),
        "dct:publisher": _publisher(dataset, issuer),
        "dcat:contactPoint": _contact(dataset, about),
        "dct:issued": _typed(dataset.issued_at),
        "dct:modified": _typed(dataset.modified_at),
        "dct:accrualPeriodicity": {
            "@id": f"{_EU}/frequency/{FREQUENCIES.get(dataset.update_frequency, 'UNKNOWN')}"
        },
        "dct:language": _JAPANESE,
        "dcat:version": str(dataset.version),
        "dcat:landingPage": {"@id": about},
        "dct:accessRights": {"@id": f"{_EU}/access-right/PUBLIC"},
        **_licence(dataset.license, dataset_address(dataset.id, issuer)),
        "dcat:distribution": [
            _distribution(dataset, form, issuer, services) for form in forms_of(dataset, issuer)
        ],
    }
    node.update(_where_known(dataset, issuer, about))
    return node


def _where_known(dataset: OpenDataset, issuer: str, about: str) -> Iterator[tuple[str, Any]]:
    """What not every dataset has."""
    if dataset.keywords:
        yield "dcat:keyword", [{"@value": each, "@language": "ja"} for each in dataset.keywords]
    codes = themes.codes_of(dataset.keywords)
    if codes:
        yield "dcat:theme", [{"@id": f"{_EU}/data-theme/{code}"} for code in codes]
    if dataset.profile is not None:
        name, version = dataset.profile
        yield "dct:conformsTo", {"@id": f"{issuer}/v1/profiles/{name}/{version}"}
    origin = list(_origin(dataset))
    if origin:
        yield (
            "dct:provenance",
            {
                "@id": f"{about}#provenance",
                "@type": "dct:ProvenanceStatement",
                "rdfs:label": _texts("。".join(origin), None),
            },
        )
    if dataset.score is not None:
        yield "dqv:hasQualityMeasurement", _score(dataset, issuer, about)
    yield from _span(dataset, about)


def _span(dataset: OpenDataset, about: str) -> Iterator[tuple[str, Any]]:
    """The time and the place that the data speak of."""
    bounds = {
        key: _typed(day)
        for key, day in zip(("dcat:startDate", "dcat:endDate"), dataset.temporal, strict=True)
        if day is not None
    }
    if bounds:
        yield "dct:temporal", {"@id": f"{about}#period", "@type": "dct:PeriodOfTime", **bounds}
    if dataset.extent is not None:
        box = _box(*dataset.extent)
        yield "dct:spatial", {"@id": f"{about}#place", "@type": "dct:Location", "dcat:bbox": box}


def _origin(dataset: OpenDataset) -> Iterator[str]:
    if dataset.legal_basis:
        yield f"根拠: {dataset.legal_basis}"
    if dataset.source_system:
        yield f"作成元のシステム: {dataset.source_system}"


def _score(dataset: OpenDataset, issuer: str, about: str) -> Node:
    return {
        "@id": f"{about}#quality",
        "@type": "dqv:QualityMeasurement",
        "dqv:value": {"@value": str(dataset.score), "@type": "xsd:decimal"},
        "dqv:isMeasurementOf": {
            "@id": f"{catalogue_address(issuer)}#quality",
            "@type": "dqv:Metric",
            "skos:definition": _texts(
                "読み込んだ日の品質の点数（0〜100）",
                "Score of quality on the day of loading, 0 to 100",
            ),
            "dqv:expectedDataType": {"@id": f"{CONTEXT['xsd']}decimal"},
        },
    }


def _distribution(
    dataset: OpenDataset, form: Form, issuer: str, services: Sequence[Service]
) -> Node:
    """`@id` and addresses are permanent. What is asked for at a door names the door."""
    address = {"@id": form.address}
    node: Node = {
        "@id": f"{dataset_address(dataset.id, issuer)}#{form.id}",
        "@type": "dcat:Distribution",
        "dct:title": _texts(f"{dataset.title_ja}（{form.name}）", None),
        "dcat:accessURL": address,
        "dcat:mediaType": {"@id": f"{_IANA}/{form.media_type}"},
        "dct:modified": _typed(dataset.modified_at),
        "dct:language": _JAPANESE,
        **_licence(dataset.license, dataset_address(dataset.id, issuer)),
    }
    if form.is_whole:
        node["dcat:downloadURL"] = address
    if form.file_type is not None:
        node["dct:format"] = {"@id": f"{_EU}/file-type/{form.file_type}"}
    if form.sha256 is not None:
        node["dcat:byteSize"] = {"@value": str(form.size), "@type": "xsd:decimal"}
        node["spdx:checksum"] = {
            "@id": f"{node['@id']}-checksum",
            "@type": "spdx:Checksum",
            "spdx:algorithm": {"@id": "http://spdx.org/rdf/terms#checksumAlgorithm_sha256"},
            "spdx:checksumValue": {"@value": form.sha256, "@type": "xsd:hexBinary"},
        }
    elif services:
        node["dcat:accessService"] = {"@id": _service_address(services[0], issuer)}
    return node


def _version(dataset: OpenDataset, version: EarlierVersion, issuer: str, about: str) -> Node:
    """An earlier state, which stays readable by number until its rows are let go."""
    records = f"{issuer}/v1/datasets/{dataset.id}/records"
    title = f"{dataset.title_ja}（第{version.number}版）"
    name = f"{about}#v{version.number}"
    return {
        "@id": name,
        "@type": "dcat:Dataset",
        "dct:title": _texts(title, None),
        "dct:description": _texts(title, None),
        "dct:publisher": {"@id": _publisher_address(dataset, issuer)},
        "dcat:version": str(version.number),
        "dct:issued": _typed(version.issued_at),
        "dcat:isVersionOf": {"@id": about},
        "dcat:distribution": {
            "@id": f"{name}-csv",
            "@type": "dcat:Distribution",
            "dct:title": _texts(f"{title}（CSV）", None),
            "dcat:accessURL": {"@id": f"{records}?f=csv&version={version.number}"},
            "dcat:downloadURL": {"@id": f"{records}?f=csv&version={version.number}"},
            "dcat:mediaType": {"@id": f"{_IANA}/text/csv"},
            "dct:format": {"@id": f"{_EU}/file-type/CSV"},
            **_licence(dataset.license, dataset_address(dataset.id, issuer)),
        },
    }


def _service(service: Service, issuer: str) -> Node:
    node: Node = {
        "@id": _service_address(service, issuer),
        "@type": "dcat:DataService",
        "dct:title": _texts(service.title_ja, service.title_en),
        "dcat:endpointURL": {"@id": f"{issuer}{service.path}"},
        "dcat:endpointDescription": {"@id": f"{issuer}{service.description_path}"},
        "dct:accessRights": {"@id": f"{_EU}/access-right/PUBLIC"},
    }
    if service.conforms_to:
        node["dct:conformsTo"] = [{"@id": each} for each in service.conforms_to]
    return node


def _service_address(service: Service, issuer: str) -> str:
    return f"{catalogue_address(issuer)}#service-{service.id}"


def _licence(name: str, about: str) -> Node:
    """The licence by its address; what has none we know is told as a statement of rights."""
    address = licences.address_of(name)
    if address is not None:
        return {"dct:license": {"@id": address}}
    label = _texts(name, None)
    return {
        "dct:rights": {
            "@id": f"{about}#rights",
            "@type": "dct:RightsStatement",
            "rdfs:label": label,
        }
    }


def _publisher(dataset: OpenDataset, issuer: str) -> Node:
    return {
        "@id": _publisher_address(dataset, issuer),
        "@type": "foaf:Agent",
        "dct:identifier": dataset.publisher_id,
        "foaf:name": _texts(dataset.publisher_ja, dataset.publisher_en),
    }


def _publisher_address(dataset: OpenDataset, issuer: str) -> str:
    return f"{catalogue_address(issuer)}#organization-{dataset.publisher_id}"


def _contact(dataset: OpenDataset, about: str) -> Node:
    node: Node = {
        "@id": f"{about}#contact",
        "@type": "vcard:Organization",
        "vcard:fn": _texts(dataset.steward_name, None),
    }
    if dataset.steward_email:
        node["vcard:hasEmail"] = {"@id": mail_address(dataset.steward_email)}
    return node


def mail_address(email: str) -> str:
    """RFC 6068: what an address may not hold as it is, percent-encoded."""
    return "mailto:" + quote(email, safe="@!$&'*+,;=:~")


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
