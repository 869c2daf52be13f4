"""What stands on the shelf beside the datasets, in one place: add doors and files here."""

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
)
