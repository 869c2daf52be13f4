"""Of which datasets it is told where their records lie. The outermost places are values of records,
so only what every caller may read is told, and nothing that trying out would find. Reads only."""

from typing import Final

from sqlalchemy import ColumnElement, and_

from app.models.datasets import DataClass, Dataset, Version
from app.models.parties import Zone

_HIDDEN_PLACE: Final = (
    '$[*] ? (@.type == "latitude" || @.type == "longitude" || @.type == "geometry")'
    '.visibility ? (@ != null && @ != "public")'
)


def is_told() -> ColumnElement[bool]:
    """Of a dataset joined with the version that readers get: its extent may be told."""
    return and_(
        Dataset.data_class == DataClass.PUBLIC.value,
        Dataset.zone == Zone.INTERNET.value,
        Dataset.suppression.is_(None),
        ~Version.fields.path_exists(_HIDDEN_PLACE),
    )
