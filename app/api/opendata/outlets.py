"""What stands on the shelf beside the datasets, in one place: add doors here."""

from typing import Final

from app.formats.shelf.facts import Service

# The doors through which programs ask. The first is the one that gives the records of every form
# that no file holds.
SERVICES: Final[tuple[Service, ...]] = (
    Service(
        id="linkage",
        title_ja="データ連携標準インタフェース",
        title_en="Linkage Interface",
        path="/v1/datasets",
        description_path="/openapi.json",
        conforms_to=("https://spec.openapis.org/oas/v3.1.0",),
    ),
    Service(
        id="ogc",
        title_ja="OGC API – Features（位置のあるデータセット）",
        title_en="OGC API – Features (datasets with places)",
        path="/ogc",
        description_path="/ogc/api",
        conforms_to=("http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",),
    ),
    Service(
        id="ckan",
        title_ja="CKAN互換API（読み取り）",
        title_en="CKAN-compatible API (reading)",
        path="/api/3",
        description_path="/api/3/action/help_show?name=package_search",
    ),
)
