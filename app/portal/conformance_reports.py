"""The report of an official run in the forms of the judge. Shows what was kept, and judges nothing."""

from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.api.access import SCOPED_CODES, Reading
from app.api.conformance import Vendor
from app.api.finding_access import acting_for
from app.api.problem import problems
from app.conformance import runs

router = APIRouter(prefix="/v1/conformance", tags=["Conformance"])
_MEDIA: Final = {
    "json": "application/json", "html": "text/html; charset=utf-8", "junit": "application/xml",
    "sarif": "application/sarif+json", "kept": "application/json",
}  # fmt: skip
_HEADERS: Final = {
    "Cache-Control": "private, no-cache",
    # What a sandbox said is shown as text; should it ever not be, it still runs and loads nothing.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "X-Content-Type-Options": "nosniff",
}
Form = Annotated[Literal["json", "html", "junit", "sarif", "kept"], Query(alias="f")]


@router.get(
    "/runs/{run_id}/report", summary="The report of an official run", response_class=Response,
    responses={
        200: {"content": {each.partition(";")[0]: {} for each in _MEDIA.values()}},
        **problems(*SCOPED_CODES, "conformance_run_not_found", "conformance_report_not_found"),
    },
)  # fmt: skip
async def show_report(
    run_id: UUID, caller: Vendor, session: Reading, form: Form = "json"
) -> Response:
    """Each rule with what was expected and seen, and the request as curl: as JSON, as a page, for
    build servers (JUnit) and for code scanning (SARIF). `kept` is what a certificate's
    `report_sha256` is the hash of, byte for byte."""
    from app.certify import reports  # noqa: PLC0415 - with it comes a client for HTTP
    from app.certify.kept import unpacked  # noqa: PLC0415

    run = await runs.get(session, run_id, await acting_for(session, caller))
    kept = await runs.report_of(session, run)
    told = kept if form == "kept" else reports.written(unpacked(kept), form)
    return Response(told, media_type=_MEDIA[form], headers=_HEADERS)
