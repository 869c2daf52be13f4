"""The door to aggregates: a question as of records, its groups as an answer. Decides nothing."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.routing import Route
from starlette.types import Scope

from app.api.problem import problems
from app.api.records import READ_CODES, NotAcceptable, RecordsEndpoint
from app.api.records_openapi import describe_aggregate
from app.api.state import Platform
from app.broker.ask import Answer, Ask, Representation

_PATH: Final = "/v1/datasets/{dataset_id}/aggregate"
_FORMS: Final = (Representation.JSON, Representation.CSV)


class AggregateEndpoint(RecordsEndpoint):
    """`GET /v1/datasets/{id}/aggregate`."""

    def _template(self, _scope: Scope) -> str:
        return _PATH

    async def _read(self, platform: Platform, ask: Ask) -> Answer:
        if ask.representation not in _FORMS:
            raise NotAcceptable(_FORMS)
        return await platform.aggregator.read(ask)


ROUTES: Final = (Route(_PATH, AggregateEndpoint(), methods=["GET"]),)
OPENAPI: Final[Mapping[str, dict[str, Any]]] = {
    _PATH: {
        "get": describe_aggregate(
            problems(*READ_CODES, "not_a_dimension", "cells_not_formed", "only_as_published")
        )
    }
}
