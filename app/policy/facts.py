"""The frozen facts that rules judge. Nothing here is looked up, nothing is computed twice."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from app.policy.assurance import Level


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
    # The clients whose tokens for a person it may exchange for its own (RFC 8693).
    exchange_from: frozenset[str] = frozenset()
    citizens: bool = False  # whether citizens may sign in to it, at providers of their own
    certificate_bound: bool = False  # its tokens are bound to its certificate (RFC 8705, 3.4)
    # For whom another platform may speak through it: its issuer, its reader, the reader's client here.
    speaks_for: frozenset[tuple[str, str, str]] = frozenset()
    spoken_by: str | None = None  # the client through which another platform speaks for this one

    @property
    def actor(self) -> str:
        """Who it is that acts: the person where there is one, else the client itself."""
        return self.person_id or self.client_id


def may_be_one(actor: str, via: str, other: str, other_via: str) -> bool:
    """Whether who acts through one client may be who acted through another, before.

    Of an app that acts for itself nobody knows who moves it: it may be anybody who signs in to it.
    """
    return actor == other or (via == other_via and via in (actor, other))


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
class CitizenCaller:
    """Which citizen calls, through which client: nobody whom a rule on data gives anything."""

    client: ClientFacts
    subject: str  # what the client's organisation calls them
    level: Level
    scope: frozenset[str]
    proves_each: bool


@dataclass(frozen=True, slots=True)
class Membership:
    """When an organisation is a member of a group."""

    since: datetime
    until: datetime | None  # the first moment without it


@dataclass(frozen=True, slots=True)
class AgreementFacts:
    """One agreement on the dataset, in whatever state."""

    id: str
    consumer_id: str
    actions: frozenset[str]
    purpose: str
    columns: frozenset[str]  # field names
    state: str
    valid_from: datetime
    valid_until: datetime
    rows: str | None = None  # CQL2 Text; None: all rows
    per_day: int | None = None  # requests a day of all the consumer's clients; None: no bound
    # Of a group's agreement: who its members are, and when; the consumer only signed for them.
    members: Mapping[str, tuple[Membership, ...]] | None = None
    excluded: frozenset[str] = frozenset()  # members whom the provider has left out

    def is_for(self, organization_id: str, at: datetime) -> bool:
        """Whether an organisation stands under it at that moment, in force or not."""
        if self.members is None:
            return self.consumer_id == organization_id
        return any(
            days.since <= at and (days.until is None or at < days.until)
            for days in self.members.get(organization_id, ())
        )


@dataclass(frozen=True, slots=True)
class PurposeView:
    """What may leave at most for one purpose, whatever was agreed; None: no bound of that kind."""

    purpose: str
    columns: frozenset[str] | None = None
    rows: str | None = None  # CQL2 Text
    consent: bool = False  # only the records of those who consent to it
    masks: tuple[tuple[str, str], ...] = ()  # field names and what is left of their values


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What a rule may know of the dataset. `columns` are (field name, data class) in order."""

    id: str
    data_class: str
    zone: str
    publisher_id: str
    body_id: str  # the local government at the top of the publisher's line
    columns: tuple[tuple[str, str], ...]
    withdrawn: bool = False
    aggregate_only: bool = False  # only its own organisation sees a record
    views: tuple[PurposeView, ...] = ()  # at most one for a purpose
    subject: str | None = None  # the field that names the person whom a record is about


@dataclass(frozen=True, slots=True)
class Facts:
    """One request, frozen. `zone` is the listener's; `agreements` those to look at, in any state."""

    action: Action
    dataset: DatasetFacts
    caller: Caller | None
    purpose: str | None
    zone: str
    agreements: tuple[AgreementFacts, ...]
    purposes: frozenset[str]
    now: datetime


def by_organization(agreements: Iterable[AgreementFacts]) -> dict[str, tuple[AgreementFacts, ...]]:
    """The agreements that an organisation could stand under, some day: for rules to judge."""
    found: dict[str, tuple[AgreementFacts, ...]] = {}
    for each in agreements:
        for organization_id in (each.consumer_id,) if each.members is None else each.members:
            found[organization_id] = (*found.get(organization_id, ()), each)
    return found
