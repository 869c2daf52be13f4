"""What a scope says and which role may carry it. A scope never gives more than policy allows."""

import re
from collections.abc import Collection
from typing import Final

from app.models.parties import Role
from app.policy.facts import Action, ClientFacts

# The scopes that are no dataset's, and the roles that may carry them.
FIXED: Final[dict[str, frozenset[str]]] = {
    "catalogue:write": frozenset({Role.STEWARD}),
    "agreements:write": frozenset({Role.STEWARD, Role.DEVELOPER}),
    "organization:write": frozenset({Role.STEWARD, Role.COORDINATOR}),
    "invitations:write": frozenset({Role.OPERATOR, Role.COORDINATOR}),
    "admin:read": frozenset({Role.OPERATOR, Role.COORDINATOR}),
    "admin:write": frozenset({Role.OPERATOR}),
    "audit:read": frozenset({Role.OPERATOR, Role.COORDINATOR, Role.AUDITOR}),
    "findings:read": frozenset({Role.OPERATOR, Role.COORDINATOR, Role.STEWARD, Role.AUDITOR}),
    "findings:write": frozenset({Role.OPERATOR, Role.COORDINATOR, Role.STEWARD}),
    "systems:read": frozenset({Role.OPERATOR, Role.COORDINATOR, Role.STEWARD, Role.AUDITOR}),
    "systems:write": frozenset({Role.OPERATOR, Role.COORDINATOR, Role.STEWARD}),
    "programmes:read": frozenset({Role.OPERATOR, Role.COORDINATOR, Role.STEWARD, Role.AUDITOR}),
    "programmes:write": frozenset({Role.OPERATOR, Role.COORDINATOR, Role.STEWARD}),
    "conformance:write": frozenset({Role.DEVELOPER, Role.STEWARD, Role.OPERATOR}),
}
MEANINGS: Final[dict[str, str]] = {
    "catalogue:write": "register and change datasets of one's own organisation",
    "agreements:write": "ask for access; as a steward decide on requests and agreements",
    "organization:write": "accept the terms of use and leave groups for one's own organisation",
    "invitations:write": "invite organisations and decide on clients that registered themselves;"
    " as a coordinator those of one's own body",
    "admin:read": "read organisations, clients, members of staff and every agreement",
    "admin:write": "change organisations, clients, members of staff and who vouches for them;"
    " suspend agreements",
    "audit:read": "read and verify the log",
    "findings:read": "read the findings of one's own organisation; operators and auditors all",
    "systems:read": "read the system inventory and kartes of one's own organisation and those below"
    " it; operators and auditors all",
    "systems:write": "keep those systems, diagnose them and decide on duplicates",
    "programmes:read": "read programmes, and the projects and joint procurements of one's own"
    " organisation and those below it; operators and auditors all",
    "programmes:write": "keep those programmes, projects, joint procurements and shared solutions,"
    " and decide on projects of one's own programmes",
    "conformance:write": "register services of one's own organisation and have them judged; as an"
    " operator issue and revoke certificates",
    "findings:write": "answer those findings, and say where one is told of them",
}
# Who somebody is, for the app that they signed in to (OpenID Connect Core, 5.4). No machine's.
IDENTITY: Final[dict[str, str]] = {
    "openid": "know who signed in",
    "profile": "see their name",
    "email": "see their mail address",
}
# What a citizen lets an app do; beside them only `openid` is asked for, and nobody's staff has any.
CITIZEN: Final[dict[str, str]] = {
    "me": "know you by a name that no other organisation has for you, and how surely you signed in",
    "me:consents": "see and withdraw your consents to the use of your data, and show you new ones",
    "me:accesses": "see who read what about you",
}
MOST: Final = 100
_DATASET: Final = re.compile(r"dataset:([a-z0-9][a-z0-9-]{1,62}):(read|write|subscribe)")
# Who may read may be told of changes, once a token says so.
_ACTIONS: Final = {"read": Action.READ, "write": Action.WRITE, "subscribe": Action.READ}
# RFC 6749, 3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
_TOKEN: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")


def split(text: str) -> tuple[str, ...] | None:
    """The scope tokens in order, each once; None when the text is no scope or too long."""
    tokens = tuple(dict.fromkeys(text.split(" ")))
    if len(tokens) > MOST or not all(_TOKEN.fullmatch(token) for token in tokens):
        return None
    return tokens


def dataset_of(token: str) -> tuple[str, Action] | None:
    """The dataset that a scope token speaks of, if it speaks of one, and the action that it needs."""
    found = _DATASET.fullmatch(token)
    return (found[1], _ACTIONS[found[2]]) if found else None


def is_role_scope(token: str, client: ClientFacts) -> bool:
    """Whether it is a fixed scope that one of the client's roles may carry."""
    return not FIXED.get(token, frozenset()).isdisjoint(client.roles)


def is_known(token: str) -> bool:
    """Whether it is a scope at all; all else is passed over (RFC 6749, 3.3)."""
    fixed = (MEANINGS, IDENTITY, CITIZEN)
    return any(token in each for each in fixed) or dataset_of(token) is not None


def is_of_citizen(scope: Collection[str]) -> bool:
    """Whether it is a citizen who is asked: any of their scopes says so."""
    return not CITIZEN.keys().isdisjoint(scope)


def is_citizens_alone(scope: Collection[str]) -> bool:
    """Whether nothing in it is but what a citizen may let an app have."""
    return CITIZEN.keys() | {"openid"} >= set(scope)
