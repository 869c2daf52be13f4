"""The frozen facts that rules judge. Nothing here is looked up, nothing is computed twice."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum


class Action(StrEnum):
    """What a caller wants to do with a dataset's records."""

    READ = "read"
    WRITE = "write"
    AGGREGATE = "aggregate"  # counted and added up: needs what READ needs, and less may stop it

    @property
    def needs(self) -> str:
        """What scopes and agreements call it: an aggregate is a way of reading."""
        return "read" if self is Action.AGGREGATE else self.value


@dataclass(frozen=True, slots=True)
class ClientFacts:
    """What the registry says of a client now, whatever its token says."""

    client_id: str
    organization_id: str
    # The local government at the top of the organisation's first line of parents: 庁内 is one.
    body_id: str
    # The organisation itself and everything above it, by both parents.
    line: frozenset[str]
    roles: frozenset[str]
    zone: str
    auth_method: str
    revoked: bool
    # The member of staff for whom the client acts: organisation, line and roles are then theirs.
    person_id: str | None = None
    # Where people are sent back to, and whose staff may sign in to it, each with all below.
    redirect_uris: frozenset[str] = frozenset()
    staff_of: frozenset[str] = frozenset()
    certificate_bound: bool = False  # its tokens are bound to its certificate (RFC 8705, 3.4)

    @property
    def actor(self) -> str:
        """Who it is that acts: the person where there is one, else the client itself."""
        return self.person_id or self.client_id


@dataclass(frozen=True, slots=True)
class PersonFacts:
    """What the registry says of a member of staff now, however long ago they signed in."""

    person_id: str
    organization_id: str
    body_id: str
    line: frozenset[str]
    roles: frozenset[str]
    disabled: bool


def may_sign_in(client: ClientFacts, person: PersonFacts) -> bool:
    """Whether somebody may sign in to the client now: nobody, unless it says whose staff may."""
    known = not client.revoked and not person.disabled
    return known and not client.staff_of.isdisjoint(person.line)


def acting_for(client: ClientFacts, person: PersonFacts) -> ClientFacts:
    """The client as it acts for somebody who signed in to it: with that person's authority alone.

    Its own zone and proof of identity stay: they are how the request really came.
    """
    return replace(
        client,
        organization_id=person.organization_id,
        body_id=person.body_id,
        line=person.line,
        roles=person.roles,
        revoked=client.revoked or person.disabled,
        person_id=person.person_id,
    )


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the client as the registry knows it, with the scope that its token carries."""

    client: ClientFacts
    scope: frozenset[str]
    bound: bool = False  # the token is bound to a key of the sender (RFC 9449, RFC 8705)
    # The one agreement that the token is for, and its purpose (RFC 9396); None: no certain one.
    agreement_id: str | None = None
    purpose: str | None = None
    # When the person last proved a second factor; None: never in this sign-in, or no person.
    second_factor_at: datetime | None = None
    proves_each: bool = False  # bound by a proof with each request: DPoP, and not a certificate


@dataclass(frozen=True, slots=True)
class AgreementFacts:
    """One agreement on the dataset with the caller's organisation, in whatever state."""

    id: str
    consumer_id: str
    actions: frozenset[str]
    purpose: str
    columns: frozenset[str]  # field names
    state: str
    valid_from: datetime
    valid_until: datetime
