"""The rooms of the OGC door, put into the application. What is not put in is not claimed."""

from typing import Final

from fastapi import FastAPI

from app.api.ogc import asking, collections, definition, items, landing, pages
from app.query import conformance as cql2

_ROUTERS: Final = (landing.router, collections.router)
_KEPT: Final = (items, pages, definition, asking, collections)


def mount(app: FastAPI) -> None:
    """Mount the rooms, and claim what they keep."""
    app.router.routes.extend(items.ROUTES)
    for router in _ROUTERS:
        app.include_router(router)
    kept = [name for module in _KEPT for name in module.CONFORMANCE]
    app.state.ogc_conformance = (*kept, *cql2.CONFORMANCE)
