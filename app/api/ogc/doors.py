"""The rooms of the OGC door, put into the application. What is not put in is not claimed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter, FastAPI
from starlette.routing import Route

from app.api.ogc import asking, collections, definition, items, landing, pages
from app.query import conformance as cql2


@dataclass(frozen=True, slots=True)
class Room:
    """What is mounted together, with the conformance classes that it keeps."""

    routes: APIRouter | tuple[Route, ...]
    kept: tuple[str, ...]


ROOMS: Final = (
    Room(items.ROUTES, (*items.CONFORMANCE, *asking.CONFORMANCE, *cql2.CONFORMANCE)),
    Room(landing.router, (*definition.CONFORMANCE, *pages.CONFORMANCE)),
    Room(collections.router, collections.CONFORMANCE),
)


def mount(app: FastAPI, rooms: Sequence[Room] = ROOMS) -> None:
    """Mount the rooms, and claim what they keep."""
    for room in rooms:
        if isinstance(room.routes, APIRouter):
            app.include_router(room.routes)
        else:
            app.router.routes.extend(room.routes)
    app.state.ogc_conformance = tuple(name for room in rooms for name in room.kept)
