"""Every door of the platform, in the order in which they are matched. Makes no object of its own."""

from functools import cache
from typing import Final

from fastapi import APIRouter, Depends, FastAPI
from starlette.routing import BaseRoute

from app.api import (
    access_requests,
    agent_side,
    agents,
    aggregate,
    agreements,
    alert_channels,
    alert_rules,
    certified,
    changes,
    citizen_providers,
    client_keys,
    clients,
    conformance,
    connector_notices,
    connectors,
    consents,
    datasets,
    decisions,
    files,
    findings,
    groups,
    identity_providers,
    invitations,
    joint_procurements,
    keys,
    log,
    log_proofs,
    me,
    my_datasets,
    needs,
    notifications,
    onboarding,
    openid,
    operations,
    organizations,
    owner_exports,
    parameters,
    profile_tools,
    profiles,
    programmes,
    projects,
    quality,
    quotas,
    records,
    registrations,
    repairs,
    resumable,
    shared_solutions,
    subjects,
    subscriptions,
    system_imports,
    system_reports,
    systems,
    terms,
    uploads,
    usage,
    users,
    versions,
    views,
    writing,
)
from app.api.access import count_request
from app.api.ckan import door as ckan
from app.api.docs import router as docs_router
from app.api.oauth import router as oauth_router
from app.api.ogc import doors as ogc
from app.api.opendata import descriptions, harvests
from app.api.records_described import describe_records
from app.api.token_status import router as token_status_router
from app.portal import (
    account,
    authorize,
    citizen_consent,
    citizens,
    clauses,
    conformance_reports,
    federation,
    karte,
    my_consent,
    my_page,
    set_up,
    sign_in,
    standard,
)

AT_EACH: Final = (Depends(count_request), Depends(parameters.refuse_unknown_parameters))
ROUTERS: Final[tuple[APIRouter, ...]] = (
    oauth_router,
    token_status_router,
    client_keys.router,
    openid.router,
    keys.router,
    datasets.router,
    uploads.router,
    resumable.router,
    connectors.kinds_router,
    connectors.router,
    connector_notices.router,
    notifications.router,
    agents.router,
    agent_side.router,
    versions.router,
    views.router,
    consents.router,
    files.router,
    changes.router,
    subscriptions.router,
    writing.router,
    profiles.router,
    profile_tools.router,
    quality.router,
    repairs.router,
    needs.router,
    organizations.router,
    clients.router,
    identity_providers.router,
    citizen_providers.router,
    users.router,
    invitations.router,
    registrations.router,
    terms.router,
    quotas.router,
    subjects.router,
    groups.router,
    onboarding.router,
    descriptions.router,
    ckan.router,
    harvests.router,
    access_requests.router,
    agreements.router,
    decisions.router,
    my_datasets.router,
    me.router,
    findings.router,
    alert_channels.router,
    system_imports.router,
    systems.router,
    system_reports.router,
    programmes.router,
    projects.router,
    joint_procurements.router,
    shared_solutions.router,
    clauses.router,
    karte.router,
    conformance.router,
    conformance_reports.router,
    certified.router,
    owner_exports.router,
    standard.router,
    alert_rules.router,
    log.router,
    usage.router,
    usage.own_router,
    log.readers_router,
    log_proofs.router,
    operations.router,
    docs_router,
    federation.router,
    sign_in.router,
    set_up.router,
    account.router,
    authorize.router,
    citizens.router,
    citizen_consent.router,
    my_consent.router,
    my_page.router,
)


def mount(app: FastAPI) -> None:
    """Mount all doors, and describe those that are no routes of FastAPI's."""
    app.router.routes.extend(records.ROUTES)  # first: the hottest path is matched at once
    ogc.mount(app)
    app.router.routes.extend(_others())
    describe_records(app)


@cache
def _others() -> list[BaseRoute]:
    """Made once for all applications of a process: FastAPI needs 0.3 s for it."""
    holder = FastAPI(dependencies=AT_EACH)
    holder.router.routes = [*aggregate.ROUTES]
    for router in ROUTERS:
        holder.include_router(router)
    return holder.router.routes
