"""Open data as Croissant 1.0, for machine learning: its table, and what each column holds. Pure.

https://docs.mlcommons.org/croissant/docs/croissant-spec.html The table is the CSV: a ready-made
file with its digest, or else the interface's own, which changes with the dataset.
"""

from collections.abc import Mapping
from typing import Any, Final

from app.formats import licences
from app.formats.shelf.dcat import dataset_address
from app.formats.shelf.facts import OpenDataset
from app.formats.shelf.forms import Form, table_of
from app.query.fields import Field, FieldType

_TABLE: Final = "table"
_CROISSANT: Final = "http://mlcommons.org/croissant/1.0"
# The context that the specification's 1.0 prescribes word for word; only the language is ours.
_CONTEXT: Final[Mapping[str, Any]] = {
    "@language": "ja",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
# Everything else is text: codes keep their zeros, months and years are no days.
_TYPES: Final[Mapping[FieldType, str]] = {
    FieldType.URL: "sc:URL",
    FieldType.INTEGER: "sc:Integer",
    FieldType.DECIMAL: "sc:Float",
    FieldType.LATITUDE: "sc:Float",
    FieldType.LONGITUDE: "sc:Float",
    FieldType.BOOLEAN: "sc:Boolean",
    FieldType.DATE: "sc:Date",
    FieldType.DATETIME: "sc:DateTime",
}


def document(dataset: OpenDataset, issuer: str) -> dict[str, Any]:
    """One dataset."""
    table = table_of(dataset, issuer)
    about = dataset_address(dataset.id, issuer)
    made: dict[str, Any] = {
        "@context": dict(_CONTEXT),
        "@type": "sc:Dataset",
        "@id": about,
        "conformsTo": _CROISSANT,
        "name": dataset.id,
        "alternateName": dataset.title_ja,
        "description": dataset.description_ja or dataset.title_ja,
        "url": about,
        "license": licences.address_of(dataset.license) or dataset.license,
        "creator": {"@type": "sc:Organization", "name": dataset.publisher_ja},
        "datePublished": dataset.issued_at.date().isoformat(),
        "dateModified": dataset.modified_at.date().isoformat(),
        "version": f"{dataset.version}.0.0",  # the specification asks for three numbers
        "inLanguage": "ja",
        "citeAs": _citation(dataset, about),
        "distribution": [_file(table)],
        "recordSet": [_records(dataset)],
    }
    if table.sha256 is None:
        made["isLiveDataset"] = True
    if dataset.keywords:
        made["keywords"] = list(dataset.keywords)
    return made


def _citation(dataset: OpenDataset, about: str) -> str:
    """BibTeX, as the specification asks; braces and backslashes would end or steer it."""
    quiet = str.maketrans("", "", "{}\\")
    title, author = dataset.title_ja.translate(quiet), dataset.publisher_ja.translate(quiet)
    return (
        f"@misc{{{dataset.id}, title={{{title}}}, author={{{author}}},"
        f" year={{{dataset.modified_at.year}}}, url={{{about}}}}}"
    )


def _file(table: Form) -> dict[str, Any]:
    made: dict[str, Any] = {
        "@type": "cr:FileObject",
        "@id": _TABLE,
        "name": _TABLE,
        "contentUrl": table.address,
        "encodingFormat": table.media_type,
    }
    if table.sha256 is not None:
        made |= {"contentSize": f"{table.size} B", "sha256": table.sha256}
    return made


def _records(dataset: OpenDataset) -> dict[str, Any]:
    made: dict[str, Any] = {
        "@type": "cr:RecordSet",
        "@id": "records",
        "name": "records",
        "field": [_field(field) for field in dataset.fields],
    }
    keys = [{"@id": f"records/{field.name}"} for field in dataset.fields if field.key]
    if keys:
        made["key"] = keys[0] if len(keys) == 1 else keys
    return made


def _field(field: Field) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"records/{field.name}",
        "name": field.name,
        "description": field.description or field.label,
        "dataType": _TYPES.get(field.type, "sc:Text"),
        "source": {"fileObject": {"@id": _TABLE}, "extract": {"column": field.name}},
    }
