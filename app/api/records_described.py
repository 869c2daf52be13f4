"""The endpoints of records in the OpenAPI document: they are no FastAPI routes."""

from typing import Any

from fastapi import FastAPI

from app.api import aggregate, records
from app.api.linkage_openapi import complete


def describe_records(app: FastAPI) -> None:
    """Put them into the document."""
    described = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = described()
            for path, operations in {**records.OPENAPI, **aggregate.OPENAPI}.items():
                made["paths"].setdefault(path, {}).update(operations)
            complete(made)
        return described()

    app.openapi = document  # type: ignore[method-assign]
