"""The public list of certified services: for everybody, without a token. Says nothing of sandboxes."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from app.api.access import Reading
from app.api.conformance_shapes import CertifiedServiceOut, Code
from app.api.paging import Cursor, Limit, PageOut, after_id, page
from app.api.problem import problems
from app.api.tagged import tagged
from app.conformance import badge, listing
from app.conformance.listing import Listed, State, Wanted
from app.conformance.services import Class

router = APIRouter(prefix="/v1/certified-services", tags=["Conformance"])
_POLICY: Final = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}
_OfClass = Annotated[Class | None, Query(alias="class", description="A class that it has")]


@router.get(
    "", response_model=PageOut[CertifiedServiceOut], summary="List certified services",
    responses=problems("invalid_cursor"),
)  # fmt: skip
async def list_certified_services(
    session: Reading, state: State = "certified", municipality: Code | None = None,
    conformance: _OfClass = None, limit: Limit = 100, cursor: Cursor = None,
) -> dict[str, Any]:  # fmt: skip
    """With a certificate that is in force now; expired and revoked ones drop out at once. Those of
    `state=declared` are registered and not certified: what stands there nobody has judged."""
    wanted = Wanted(state, municipality, conformance, after_id(cursor), limit + 1)
    found = await listing.list_services(session, wanted)
    listed = page(found, limit, lambda each: each.service.id)
    return {**listed, "items": [shown(each) for each in listed["items"]]}


@router.get(
    "/{service_id}", response_model=CertifiedServiceOut, summary="Show a service of the list",
    responses=problems("certified_service_not_found"),
)  # fmt: skip
async def show_certified_service(service_id: UUID, session: Reading) -> dict[str, Any]:
    """Certified or declared, as `state` says."""
    return shown(await listing.get(session, service_id))


@router.get(
    "/{service_id}/badge.svg", summary="The badge of a service", response_class=Response,
    responses={
        200: {"content": {"image/svg+xml": {"schema": {"type": "string"}}}},
        **problems("certified_service_not_found"),
    },
)  # fmt: skip
async def show_badge(service_id: UUID, request: Request, session: Reading) -> Response:
    """To be shown by address, so that it tells what is so now."""
    drawn = badge.svg(await listing.get(session, service_id))
    return tagged(request, drawn, media_type="image/svg+xml", headers=_POLICY)


def shown(listed: Listed) -> dict[str, Any]:
    """A service as everybody sees it."""
    held = listed.certificate
    claims = held.row.claims if held else {}
    return {
        "id": listed.service.id, "state": listed.state, "name": listed.name,
        "vendor": listed.vendor, "classes": listed.classes,
        "municipalities": listed.municipalities, "standard": claims.get("standard"),
        "profiles": claims.get("profiles", []), "certificate": held.row.id if held else None,
        "certified_at": held.row.issued_at if held else None,
        "expires_at": held.ends_at if held else None,
    }  # fmt: skip
