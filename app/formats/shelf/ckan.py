"""Open data in CKAN's shapes: facts in, plain JSON out. Looks nothing up and decides nothing.

As CKAN 2.11 answers, with what its harvester copies and ckanext-dcat reads. Nothing nested stands
under a key that CKAN does not have: it would refuse the whole package when it is harvested.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from app.formats.shelf import ckan_ids, ckan_licences
from app.formats.shelf.facts import OpenDataset
from app.formats.shelf.forms import Form, forms_of
from app.query.params import MOST_ROWS

Node = dict[str, Any]
DATASTORE_FORM: Final = "csv"  # the one resource of a dataset that `datastore_search` reads
# What the interface answers with, whatever files there are; searches are by these.
FORMATS: Final[Mapping[str, str]] = {"csv": "CSV", "json": "JSON", "geojson": "GeoJSON"}
# CKAN's tags have two characters or more, and no quotation mark.
_TAG: Final = re.compile(r'[^"]{2,100}\Z')


@dataclass(frozen=True, slots=True)
class Publisher:
    """An organisation with the number of its open datasets."""

    id: str
    name_ja: str
    name_en: str | None
    created_at: datetime
    packages: int


def package(dataset: OpenDataset, issuer: str) -> Node:
    """A dataset as `package_show` tells it."""
    resources = [_resource(dataset, form) for form in forms_of(dataset, issuer)]
    tags = [tag(theme) for theme in dataset.keywords if _TAG.match(theme)]
    publisher = _organization(dataset.publisher_id, dataset.publisher_ja, dataset.publisher_en)
    return {
        "id": ckan_ids.package_id(dataset.id),
        "name": dataset.id,
        "title": dataset.title_ja,
        "notes": dataset.description_ja or "",
        "type": "dataset",
        "state": "active",
        "private": False,
        "url": f"{issuer}/v1/datasets/{dataset.id}",
        "version": str(dataset.version),
        "author": dataset.publisher_ja,
        "author_email": "",
        "maintainer": dataset.steward_name,
        "maintainer_email": dataset.steward_email or "",
        "creator_user_id": None,
        "metadata_created": moment(dataset.issued_at),
        "metadata_modified": moment(dataset.modified_at),
        **ckan_licences.of_package(dataset.license),
        "owner_org": publisher["id"],
        "organization": publisher,
        "groups": [group(theme) for theme in dataset.keywords],
        "tags": tags,
        "num_tags": len(tags),
        "resources": [{**each, "position": at} for at, each in enumerate(resources)],
        "num_resources": len(resources),
        "extras": [{"key": key, "value": value} for key, value in _extras(dataset, issuer)],
        "relationships_as_subject": [],
        "relationships_as_object": [],
    }


def _extras(dataset: OpenDataset, issuer: str) -> Iterator[tuple[str, str]]:
    """What CKAN has no key for, by the names that ckanext-dcat and ckanext-spatial read."""
    if dataset.title_en:
        yield "title_en", dataset.title_en
    if dataset.description_en:
        yield "notes_en", dataset.description_en
    yield "identifier", dataset.id
    yield "uri", f"{issuer}/opendata/datasets/{dataset.id}"
    yield "language", "ja"
    yield "frequency", dataset.update_frequency
    yield "publisher_name", dataset.publisher_ja
    yield "publisher_identifier", dataset.publisher_id
    yield "contact_name", dataset.steward_name
    if dataset.steward_email:
        yield "contact_email", dataset.steward_email
    if dataset.profile is not None:
        name, version = dataset.profile
        yield "conforms_to", json.dumps([f"{issuer}/v1/profiles/{name}/{version}"])
    for key, day in zip(("temporal_start", "temporal_end"), dataset.temporal, strict=True):
        if day is not None:
            yield key, day.isoformat()
    if dataset.extent is not None:
        yield "spatial", json.dumps(_polygon(*dataset.extent))
    yield "records", str(dataset.rows)


def _polygon(west: float, south: float, east: float, north: float) -> Node:
    """RFC 7946, 3.1.6: counterclockwise and closed."""
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


_IN_PAGES: Final = (
    f"{MOST_ROWS}件までのページに分かれます。続きは links の next をたどってください。"
    f" It comes in pages of {MOST_ROWS} records at most: follow the next link."
)


def _resource(dataset: OpenDataset, form: Form) -> Node:
    """One form in which anyone gets the records; its id stays, whichever version it holds."""
    return {
        "id": ckan_ids.resource_id(dataset.id, form.id),
        "package_id": ckan_ids.package_id(dataset.id),
        "name": f"{dataset.title_ja}（{form.name}）",
        "description": "" if form.is_whole else _IN_PAGES,
        "format": form.name.partition("（")[0],
        "url": form.address,
        "url_type": None,
        "resource_type": None,
        "mimetype": form.media_type,
        "mimetype_inner": None,
        "size": form.size,
        "hash": f"sha256:{form.sha256}" if form.sha256 else "",
        "state": "active",
        "created": moment(dataset.issued_at),
        "last_modified": moment(dataset.modified_at),
        "metadata_modified": moment(dataset.modified_at),
        "cache_url": None,
        "cache_last_updated": None,
        "datastore_active": form.id == DATASTORE_FORM,
        "datastore_contains_all_records_of_source_file": True,
    }


def _organization(publisher: str, ja: str, en: str | None) -> Node:
    return {
        "id": ckan_ids.organization_id(publisher),
        "name": publisher,
        "title": ja,
        "description": en or "",
        "type": "organization",
        "is_organization": True,
        "approval_status": "approved",
        "state": "active",
        "image_url": "",
        "created": None,
    }


def organization(publisher: Publisher) -> Node:
    """A publisher as `organization_show` tells it."""
    return {
        **_organization(publisher.id, publisher.name_ja, publisher.name_en),
        "created": moment(publisher.created_at),
        "display_name": publisher.name_ja,
        **_of_many(publisher.packages),
    }


def group(theme: str) -> Node:
    """A theme as a package names its groups."""
    return {
        "id": ckan_ids.theme_id(theme),
        "name": ckan_ids.theme_name(theme),
        "title": theme,
        "display_name": theme,
        "description": "",
        "image_display_url": "",
    }


def whole_group(theme: str, packages: int) -> Node:
    """A theme as `group_show` tells it."""
    return {
        **group(theme),
        "type": "group",
        "is_organization": False,
        "approval_status": "approved",
        "state": "active",
        "image_url": "",
        "created": None,
        **_of_many(packages),
    }


def _of_many(packages: int) -> Node:
    return {
        "image_display_url": "", "package_count": packages, "num_followers": 0,
        "extras": [], "users": [], "groups": [], "tags": [],
    }  # fmt: skip


def tag(theme: str) -> Node:
    """A theme as a tag."""
    return {
        "id": ckan_ids.theme_id(theme),
        "name": theme,
        "display_name": theme,
        "state": "active",
        "vocabulary_id": None,
    }


def moment(when: datetime) -> str:
    """CKAN's times: UTC without saying so, always with microseconds, for clients compare the text."""
    return when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
