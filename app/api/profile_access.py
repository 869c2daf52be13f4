"""Who may change profiles, and the headers of one that comes to its end. Decides nothing else."""

from datetime import UTC
from email.utils import format_datetime
from typing import Annotated

from fastapi import Depends, Path, Response

from app.api.access import (
    CallerDep,
    PlatformDep,
    Reading,
    challenge,
)
from app.api.lacking import InsufficientScope, RoleMissing
from app.api.shapes import Slug
from app.catalogue import profiles
from app.catalogue.profile_refusals import ProfileSunset
from app.catalogue.profiles import Registrar
from app.models.parties import Role
from app.models.profiles import Profile

PathVersion = Annotated[int, Path(ge=1, le=10_000)]
LIVING_CODES = ("profile_not_found", "profile_sunset")


def registrar_of(caller: CallerDep, platform: PlatformDep) -> Registrar:
    """A steward, or the operator; whose profile it is, the service asks.

    Raises `InsufficientScope` without catalogue:write (admin:write for the operator), `RoleMissing`.
    """
    client = caller.client
    is_operator = Role.OPERATOR in client.roles and "admin:write" in caller.scope
    if not is_operator and "catalogue:write" not in caller.scope:
        refusal = InsufficientScope(scope="catalogue:write")
        challenge(platform, refusal, error="insufficient_scope", scope="catalogue:write")
        raise refusal
    if not is_operator and Role.STEWARD not in client.roles:
        raise RoleMissing(role=Role.STEWARD.value)
    return Registrar(
        by=client.actor,
        organization_id=client.organization_id,
        body_id=client.body_id,
        is_operator=is_operator,
    )


RegistrarDep = Annotated[Registrar, Depends(registrar_of)]


def migration_url(issuer: str, name: str, version: int) -> str:
    """Where the note on how to move stands, after the end too."""
    return f"{issuer}/v1/profiles/{name}/{version}/migration"


def ending_headers(profile: Profile, issuer: str) -> dict[str, str]:
    """`Deprecation` (RFC 9745, 2), `Sunset` (RFC 8594, 3) and where to go; empty without an end."""
    headers = {}
    if profile.deprecated_at is not None:
        headers["Deprecation"] = f"@{int(profile.deprecated_at.timestamp())}"
    if profile.sunset_at is not None:
        headers["Sunset"] = format_datetime(profile.sunset_at.astimezone(UTC), usegmt=True)
    if headers:
        links = [f'<{migration_url(issuer, profile.name, profile.version)}>; rel="deprecation"']
        if profile.successor_name is not None:
            successor = f"{issuer}/v1/profiles/{profile.successor_name}/{profile.successor_version}"
            links.append(f'<{successor}>; rel="successor-version"')
        headers["Link"] = ", ".join(links)
    return headers


async def living_profile(
    name: Slug, version: PathVersion, session: Reading, platform: PlatformDep, response: Response
) -> Profile:
    """The version, its end told in headers; 410 with a link to the note once it has ended."""
    try:
        found = await profiles.get_living(session, name, version)
    except ProfileSunset as ended:
        profile = await profiles.get(session, name, version)
        ended.headers.update(ending_headers(profile, platform.issuer))
        raise
    response.headers.update(ending_headers(found, platform.issuer))
    return found


LivingProfile = Annotated[Profile, Depends(living_profile)]
