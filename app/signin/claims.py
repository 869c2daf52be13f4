"""What a provider's claims mean here: where somebody belongs, what they may do. Pure, default none.

A claim that is missing, of another type or unknown gives nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.kit.errors import AppError, Kind
from app.models.parties import Role
from app.models.providers import IdentityProvider

_LONGEST_NAME = 200


class GroupsDisagree(AppError):
    """The person's groups put them into more than one organisation."""

    kind = Kind.CONFLICT
    code = "groups_disagree"
    ja = "あなたのグループは複数の組織に対応しています。組織の管理者に連絡してください。"
    en = "Your groups belong to more than one organisation here. Ask who runs your provider."


@dataclass(frozen=True, slots=True)
class Reading:
    """The claims of one sign-in, read."""

    organization_id: str
    roles: frozenset[Role]
    name: str
    email: str | None  # proven, and of the provider's own domain
    second_factor: bool


def read_claims(
    claims: Mapping[str, Any], provider: IdentityProvider, domains: Sequence[str]
) -> Reading:
    """What the registry makes of the claims; raises `GroupsDisagree`."""
    means = [
        provider.groups[group]
        for group in _texts(claims.get(provider.group_claim) if provider.group_claim else None)
        if group in provider.groups
    ]
    places = {each["organization"] for each in means if each["organization"]}
    if len(places) > 1:
        raise GroupsDisagree
    roles = {role for each in means for role in each["roles"]} | set(provider.default_roles)
    email = _proven_email(claims, domains)
    return Reading(
        organization_id=places.pop() if places else provider.organization_id,
        roles=frozenset(map(Role, roles)),
        name=_name(claims) or email or provider.name,
        email=email,
        second_factor=claims.get("acr") in provider.acr_values
        or any(method in provider.amr_values for method in _texts(claims.get("amr"))),
    )


def _proven_email(claims: Mapping[str, Any], domains: Sequence[str]) -> str | None:
    email = claims.get("email")
    # True and nothing like it: some providers send "false" as text.
    if not isinstance(email, str) or claims.get("email_verified") is not True:
        return None
    name, _, domain = email.rpartition("@")
    is_ours = domain.lower() in domains and "@" not in name and email.isprintable()
    return email if is_ours and name else None


def _name(claims: Mapping[str, Any]) -> str | None:
    for claim in ("name", "preferred_username"):
        told = claims.get(claim)
        if isinstance(told, str) and told.strip() and told.isprintable():
            return told.strip()[:_LONGEST_NAME]
    return None


def _texts(told: object) -> list[str]:
    return [each for each in told if isinstance(each, str)] if isinstance(told, list) else []
