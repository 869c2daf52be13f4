"""The door of vendors to official conformance runs, and of operators to certificates.

It asks no sandbox: workers do. Whose services others are, it never tells.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final
from uuid import UUID

import orjson
from fastapi import APIRouter, Request
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from app.api.access import ADMIN_CODES, SCOPED_CODES, PlatformDep, Reading, StepUp, Writing, require
from app.api.conformance_shapes import (
    CertificateIn,
    CertificateOut,
    ConformanceRunIn,
    ConformanceRunOut,
    RevocationIn,
    SandboxClientIn,
    ServiceIn,
    ServiceOut,
    ServiceSaid,
)
from app.api.finding_access import acting_for
from app.api.paging import Cursor, Limit, PageOut, after_id, page
from app.api.problem import problems
from app.api.shapes import LONGEST_BODY
from app.api.tagged import tagged
from app.conformance import certificates, lending, runs, services, signed
from app.conformance.certificates import Held
from app.conformance.refusals import ServiceNotOfOrganization
from app.findings import findings
from app.models.conformance import ConformanceRun, ConformanceService
from app.models.parties import Role
from app.oauth.keys import lasting_keys
from app.parties import organizations
from app.policy.facts import Caller

router = APIRouter(prefix="/v1/conformance", tags=["Conformance"], max_body_size=LONGEST_BODY)
Vendor = Annotated[Caller, require(scope="conformance:write")]
Certifier = Annotated[Caller, require(scope="conformance:write", role=Role.OPERATOR)]
JOSE: Final = "application/jose"
_SERVICE = (*SCOPED_CODES, "service_not_found")
_SAID = ("service_invalid", "outbound_refused")
_RUN = (*SCOPED_CODES, "conformance_run_not_found")
_SIGNED: dict[int | str, dict[str, Any]] = {
    200: {"content": {JOSE: {"schema": {"type": "string"}}}, "description": "A compact JWS"}
}


@router.post(
    "/services", status_code=201, response_model=ServiceOut, summary="Register a service",
    responses=problems(
        *SCOPED_CODES, *_SAID, "service_not_of_organization", "organization_not_found"
    ),
)  # fmt: skip
async def add_service(
    body: ServiceIn, caller: Vendor, session: Writing, platform: PlatformDep
) -> ConformanceService:
    """With a sandbox that holds made-up data, and answers `/.well-known/urbanos-challenge` with a text
    that has the service's id as a line: runs go nowhere else. Until it is certified the public list
    has it as `declared` only."""
    owner = body.organization or caller.client.organization_id
    mine = await acting_for(session, caller)
    if mine is not None and owner not in mine:
        raise ServiceNotOfOrganization(organization=owner)
    await organizations.get(session, owner)
    by = caller.client.actor
    outbound, sealer = platform.outbound, platform.sealer
    return await services.add(session, outbound, sealer, owner, body.told(), by=by)


@router.get(
    "/services", response_model=PageOut[ServiceOut], summary="List one's services",
    responses=problems(*SCOPED_CODES, "invalid_cursor"),
)  # fmt: skip
async def list_services(
    caller: Vendor, session: Reading, limit: Limit = 100, cursor: Cursor = None
) -> dict[str, Any]:
    """Those of your organisation and below it; operators see all."""
    mine, after = await acting_for(session, caller), after_id(cursor)
    found = await services.list_services(session, mine, after=after, limit=limit + 1)
    return page(found, limit, lambda each: each.id)


@router.get(
    "/services/{service_id}", response_model=ServiceOut, summary="Show a service",
    responses=problems(*_SERVICE),
)  # fmt: skip
async def show_service(service_id: UUID, caller: Vendor, session: Reading) -> ConformanceService:
    """As it is registered now."""
    return await services.get(session, service_id, await acting_for(session, caller))


@router.put(
    "/services/{service_id}", response_model=ServiceOut, summary="Register a service anew",
    responses=problems(*_SERVICE, *_SAID),
)  # fmt: skip
async def change_service(
    service_id: UUID, body: ServiceSaid, caller: Vendor, session: Writing, platform: PlatformDep
) -> ConformanceService:
    """Whole. A certificate that is in force goes on saying what it said."""
    service = await _locked(session, caller, service_id)
    by, outbound, sealer = caller.client.actor, platform.outbound, platform.sealer
    await services.change(session, outbound, sealer, service, body.told(), by=by)
    return service


@router.delete(
    "/services/{service_id}", status_code=204, summary="Withdraw a service",
    responses=problems(*_SERVICE),
)  # fmt: skip
async def withdraw_service(service_id: UUID, caller: Vendor, session: Writing) -> None:
    """It leaves the public list at once. Its runs and certificates can still be looked up."""
    service = await _locked(session, caller, service_id)
    await services.withdraw(session, service, by=caller.client.actor)


@router.put(
    "/services/{service_id}/client", response_model=ServiceOut, summary="Lend the judge a client",
    responses=problems(*_SERVICE, *_SAID),
)  # fmt: skip
async def lend_client(
    service_id: UUID, body: SandboxClientIn, caller: Vendor, session: Writing,
    platform: PlatformDep,
) -> ConformanceService:  # fmt: skip
    """A client of the sandbox, with which official runs see the class `secure`. Its key or secret is
    kept encrypted and never shown; another sandbox address lets go of it."""
    service = await _locked(session, caller, service_id)
    by, told = caller.client.actor, (body.lent(), body.proof())
    await lending.lend(session, platform.sealer, platform.outbound, service, *told, by=by)
    return service


@router.delete(
    "/services/{service_id}/client", status_code=204, summary="Take the client back",
    responses=problems(*_SERVICE),
)  # fmt: skip
async def take_client_back(service_id: UUID, caller: Vendor, session: Writing) -> None:
    """Official runs go without it from now on, and say what they could not see."""
    service = await _locked(session, caller, service_id)
    await lending.take_back(session, service, by=caller.client.actor)


@router.post(
    "/runs", status_code=202, response_model=ConformanceRunOut, summary="Start an official run",
    responses=problems(
        *_SERVICE, "conformance_run_under_way", "conformance_runs_too_many",
        "conformance_sandbox_token_missing", "outbound_refused",
    ),
)  # fmt: skip
async def start_run(
    body: ConformanceRunIn, caller: Vendor, session: Writing, platform: PlatformDep
) -> ConformanceRun:
    """A worker judges the sandbox by every rule of the classes, ten requests a second at most. For
    `write` and `changes` it writes records under the prefix and removes them. One at a time; look at
    the run until it has ended."""
    service = await _locked(session, caller, body.service)
    platform.outbound.check(service.sandbox_url)
    return await runs.ask(session, service, by=caller.client.actor)


@router.get(
    "/runs", response_model=PageOut[ConformanceRunOut], summary="List official runs",
    responses=problems(*SCOPED_CODES, "invalid_cursor"),
)  # fmt: skip
async def list_runs(
    caller: Vendor, session: Reading, service: UUID | None = None, limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:  # fmt: skip
    """The history, newest first; nightly looks at certified services are of the kind `smoke`."""
    found = await runs.list_runs(
        session, await acting_for(session, caller), service_id=service, after=after_id(cursor),
        limit=limit + 1,
    )  # fmt: skip
    return page(found, limit, lambda each: each.id)


@router.get(
    "/runs/{run_id}", response_model=ConformanceRunOut, summary="Show an official run",
    responses=problems(*_RUN),
)  # fmt: skip
async def show_run(run_id: UUID, caller: Vendor, session: Reading) -> ConformanceRun:
    """How far it is; once it has ended, its report is at `/report`."""
    return await runs.get(session, run_id, await acting_for(session, caller))


@router.post(
    "/runs/{run_id}/cancel", response_model=ConformanceRunOut, summary="Cancel an official run",
    responses=problems(*_RUN, "conformance_run_has_ended"),
)  # fmt: skip
async def cancel_run(run_id: UUID, caller: Vendor, session: Writing) -> ConformanceRun:
    """One that waits ends now; one that is made, within a second or so."""
    run = await runs.get(session, run_id, await acting_for(session, caller), lock=True)
    await runs.cancel(session, run, by=caller.client.actor)
    return run


@router.post(
    "/certificates", status_code=201, response_model=CertificateOut, summary="Issue a certificate",
    dependencies=[StepUp],
    responses=problems(
        *ADMIN_CODES, "conformance_run_not_found", "conformance_run_not_passed",
        "certificate_issued",
    ),
)  # fmt: skip
async def issue_certificate(
    body: CertificateIn, caller: Certifier, session: Writing, platform: PlatformDep
) -> dict[str, Any]:
    """For a whole run of the last 30 days that the service, as it is registered now, passed. It
    holds for a year, or until the version of the profile or of the standard ends."""
    run, by = await runs.get(session, body.run, None), caller.client.actor
    held = await certificates.issue(session, run, issuer=platform.issuer, by=by)
    subject = str(run.service_id)
    await findings.settle(session, certificates.ENDS, certificates.SUBJECT, subject, by=by)
    return shown(held)


@router.get(
    "/certificates", response_model=PageOut[CertificateOut], summary="List certificates",
    responses=problems("invalid_cursor"),
)  # fmt: skip
async def list_certificates(
    session: Reading, service: UUID | None = None, limit: Limit = 100, cursor: Cursor = None
) -> dict[str, Any]:
    """Every one that was issued, with what has become of it. Needs no token."""
    found = await certificates.list_certificates(
        session, service_id=service, after=after_id(cursor), limit=limit + 1
    )
    listed = page(found, limit, lambda each: each.row.id)
    return {**listed, "items": [shown(each) for each in listed["items"]]}


@router.get(
    "/certificates/{certificate_id}", summary="Get a certificate as a signed file",
    response_class=Response, responses={**_SIGNED, **problems("certificate_not_found")},
)  # fmt: skip
async def show_certificate(
    certificate_id: UUID, session: Reading, platform: PlatformDep
) -> Response:
    """A JWS of the type `conformance-certificate+jwt`, signed now by the present key. `urbanos
    verify-certificate FILE --jwks KEYS --revocations LIST` verifies it without any network."""
    held = await certificates.get(session, certificate_id)
    keys = await platform.keys.get()
    text = signed.sign(signed.CERTIFICATE, held.row.claims, keys.current_kid, keys.current)
    return _file(text, f"certificate-{certificate_id}.jws")


@router.post(
    "/certificates/{certificate_id}/revoke", response_model=CertificateOut,
    summary="Revoke a certificate", dependencies=[StepUp],
    responses=problems(*ADMIN_CODES, "certificate_not_found", "certificate_revoked"),
)  # fmt: skip
async def revoke_certificate(
    certificate_id: UUID, body: RevocationIn, caller: Certifier, session: Writing
) -> dict[str, Any]:
    """For good, with a reason that everybody reads. The public list drops the service at once."""
    held = await certificates.get(session, certificate_id)
    await certificates.revoke(session, held, reason=body.reason, by=caller.client.actor)
    return shown(held)


@router.get(
    "/revocations", summary="Get the signed list of revocations", response_class=Response,
    responses={**_SIGNED, **problems()},
)  # fmt: skip
async def show_revocations(session: Reading, platform: PlatformDep) -> Response:
    """A JWS of the type `conformance-revocations+jwt`. It is good for seven days: get it anew then."""
    claims = await certificates.revocations(session, issuer=platform.issuer)
    keys = await platform.keys.get()
    text = signed.sign(signed.REVOCATIONS, claims, keys.current_kid, keys.current)
    return _file(text, "revocations.jws")


@router.get("/keys", summary="Keys that certificates are verified with", responses=problems())
async def show_keys(request: Request, session: Reading) -> Response:
    """A JWK set (RFC 7517). Beside the keys of `/oauth/jwks` it has those of the year before: a
    certificate outlives the key that signed it. No token is accepted by it."""
    return tagged(request, orjson.dumps(await lasting_keys(session, certificates.LIFETIME)))


def shown(held: Held) -> dict[str, Any]:
    """A certificate as it is shown."""
    row = held.row
    return {
        "id": row.id, "service": row.service_id, "run": row.run_id, "state": held.state,
        "claims": row.claims, "issued_at": row.issued_at, "ends_at": held.ends_at,
        "revoked_at": row.revoked_at, "revoked_reason": row.revoked_reason,
    }  # fmt: skip


async def _locked(session: AsyncSession, caller: Caller, service_id: UUID) -> ConformanceService:
    mine: Sequence[str] | None = await acting_for(session, caller)
    return await services.get(session, service_id, mine, lock=True)


def _file(text: str, name: str) -> Response:
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "no-cache",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(text, media_type=JOSE, headers=headers)
