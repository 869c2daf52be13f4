"""What stands at a listener: hands each request to the application of its zone. Reads no header."""

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from app.kit.edge import Edge


class Entrance:
    """The zone is the listener's, or that of the gateway whose certificate the connection proved.

    Each application knows one zone only, so that nothing below can take one request's for another.
    """

    def __init__(self, zone: str, applications: Mapping[str, ASGIApp], edge: Edge) -> None:
        self._here = applications[zone]
        self._applications = applications
        self._edge = edge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        zone = self._edge.zone_of(scope.get("peer"))
        application = self._here if zone is None else self._applications[zone]
        await application(scope, receive, send)
