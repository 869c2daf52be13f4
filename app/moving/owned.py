"""What an organisation owns, table by table: which rows, and which columns stay behind. Reads only.

No secret, no table's name and no credential is ever among them.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Date,
    DateTime,
    Select,
    Text,
    and_,
    cast,
    func,
    inspect,
    literal,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.agreements import (
    AccessRequest,
    AccessRequestOffer,
    Agreement,
    AgreementExclusion,
    Purpose,
)
from app.models.base import Base
from app.models.conformance import ConformanceService
from app.models.connectors import ConnectorEntry, Feed, Mode
from app.models.consents import Consent
from app.models.datasets import DataClass, Dataset, DatasetState, Version, VersionState
from app.models.editions import Edition
from app.models.findings import Finding, FindingChange
from app.models.moving import CarriedRecord
from app.models.parties import FormerName, Organization, OrganizationKind, Zone
from app.models.profiles import Profile
from app.models.quality import RepairDecision
from app.models.systems import Diagnosis, DuplicateDecision, System, SystemRevision
from app.models.views import PurposeView

_AT_ONCE: Final = 500
_FIRST_CHARACTERS: Final = "C"  # the same order on every platform, whatever its language


@dataclass(frozen=True, slots=True)
class Part:
    """One member of NDJSON: rows of one table.

    `owners`: the columns that say whose a row is, and of which part's ids (`tree`: the body and all
    below it; `bodies`: all that are named); such a row of anybody else is refused where it comes
    in. The first is never null. `stays`: columns that do not go. `anew`: what some of them are where
    it comes in; `named`: those that name a table there. `shared`: what may be there already, if it
    is the same. `words`: columns of a few words, which whoever lists the table relies on.
    """

    name: str
    model: type[Base]
    owners: tuple[tuple[str, str], ...] = ()
    stays: frozenset[str] = frozenset()
    anew: Mapping[str, Any] = field(default_factory=dict)
    named: tuple[str, ...] = ()
    shared: bool = False
    words: tuple[tuple[str, type[StrEnum]], ...] = ()

    @property
    def columns(self) -> list[str]:
        """The names of the columns that go."""
        return [each.name for each in self.model.__table__.columns if each.name not in self.stays]

    @property
    def times(self) -> list[str]:
        """The names of those that hold a day or a moment."""
        its = self.model.__table__.c
        return [name for name in self.columns if isinstance(its[name].type, Date | DateTime)]

    @property
    def taken(self) -> list[str]:
        """The names of the columns that are filled where it comes in."""
        return [*self.columns, *self.anew, *self.named]


_KIND: Final = (("kind", OrganizationKind),)
_ABOVE: Final = frozenset({"parent_id", "second_parent_id", "successor_id"})
_STATE_OF_FEED: Final = frozenset(
    {"next_at", "validators", "version_number", "good_at", "failures", "failed_in", "noticed_at"}
)
# What only a platform that holds the key can open, and what a stranger proves itself by.
_PROOF_OF_FEED: Final = frozenset({"notice_sha256"})
_LENT_TO_JUDGE: Final = frozenset({"lent", "sealed_proof", "sealed_token"})
_OF_BODY: Final = (("organization_id", "tree"),)
_OF_DATASET: Final = (("dataset_id", "datasets"),)
_OF_SYSTEM: Final = (("system_id", "systems"),)
# In the order in which they can be taken in.
PARTS: Final = (
    Part("others", Organization, stays=_ABOVE, shared=True, words=_KIND),
    Part("organizations", Organization, (("id", "tree"),), shared=True, words=_KIND),
    Part("former_names", FormerName, _OF_BODY, shared=True),
    Part("profiles", Profile, (("owner_id", "bodies"),), shared=True),
    Part("purposes", Purpose, shared=True),
    Part(
        "datasets", Dataset, (("publisher_id", "tree"),), frozenset({"search_text"}),
        words=(("data_class", DataClass), ("zone", Zone), ("state", DatasetState)),
    ),
    Part(
        "versions", Version, _OF_DATASET, frozenset({"table_name", "run_id", "words"}),
        named=("table_name",), words=(("state", VersionState),),
    ),
    Part("editions", Edition, _OF_DATASET, frozenset({"differences"}), named=("differences",)),
    Part("views", PurposeView, _OF_DATASET),
    Part("repair_decisions", RepairDecision, _OF_DATASET),
    # Its secrets stay, so it asks nobody until its owner has given them anew.
    Part(
        "connectors", ConnectorEntry, _OF_BODY, frozenset({"sealed", "paused"}), {"paused": True},
        words=(("zone", Zone),),
    ),
    Part(
        "feeds", Feed, (*_OF_DATASET, ("connector_id", "connectors")),
        _STATE_OF_FEED | _PROOF_OF_FEED,
        {"failures": 0}, words=(("mode", Mode),),
    ),
    Part("systems", System, _OF_BODY),
    Part("system_revisions", SystemRevision, _OF_SYSTEM),
    Part("diagnoses", Diagnosis, _OF_SYSTEM, frozenset({"id"})),
    Part("duplicate_decisions", DuplicateDecision, (("members", "systems"),)),
    Part(
        "findings", Finding, (("owner_id", "tree"), ("dataset_id", "datasets")),
        frozenset({"person_id"}),
    ),
    Part("finding_changes", FindingChange, (("finding_id", "findings"),), frozenset({"id"})),
    Part("services", ConformanceService, _OF_BODY, _LENT_TO_JUDGE),
)  # fmt: skip
# Documents, and what names each: elsewhere they give no right, and nobody there concluded them.
CARRIED: Final[Mapping[str, tuple[str, ...]]] = {
    "requests": ("id",),
    "offers": ("request_id", "number"),
    "agreements": ("id",),
    "exclusions": ("series", "organization_id"),
    "consents": ("dataset_id", "consumer_id", "purpose"),
    "certificates": ("id",),
}


@dataclass(slots=True)
class Owner:
    """Whose export it is: the body and all below it, and the datasets that go. `zone`: the segment
    whose connectors go; None: of every segment."""

    organizations: list[str]
    datasets: list[str] = field(default_factory=list)
    zone: str | None = None


def _among(column: Any, ids: Sequence[Any]) -> ColumnElement[bool]:
    kind = ARRAY(column.type)
    found: ColumnElement[bool] = column == func.any(literal(list(ids), kind))
    return found


def _whose(part: Part, owner: Owner) -> ColumnElement[bool]:
    """Which rows of the part's table are the owner's."""
    if part.name in _NARROWED:
        return _NARROWED[part.name](owner)
    column, whose = part.owners[0]
    ids = owner.datasets if whose == "datasets" else owner.organizations
    return _among(part.model.__table__.c[column], ids)


def _others(owner: Owner) -> ColumnElement[bool]:
    its = Organization.__table__.c
    return and_(its.id.in_(_named(owner)), ~_among(its.id, owner.organizations))


def _profiles(owner: Owner) -> ColumnElement[bool]:
    """The owner's own and those that its datasets have; what is built in is everywhere."""
    its = Profile.__table__.c
    used = select(Dataset.profile_name, Dataset.profile_version).where(_of_datasets(Dataset, owner))
    has = tuple_(its.name, its.version).in_(used)
    return and_(its.owner_id.is_not(None), or_(has, _among(its.owner_id, owner.organizations)))


def _of_datasets(model: type[Base], owner: Owner) -> ColumnElement[bool]:
    columns = model.__table__.c
    return _among(columns["id" if model is Dataset else "dataset_id"], owner.datasets)


def _published(owner: Owner) -> ColumnElement[bool]:
    """What was never published is a draft: nobody has cited it, and whoever loaded it must not be
    forgotten before a second person approves it."""
    return and_(_of_datasets(Version, owner), Version.published_at.is_not(None))


def _connectors(owner: Owner) -> ColumnElement[bool]:
    """Addresses inside a segment are told to nobody outside of it."""
    its = ConnectorEntry.__table__.c
    own = _among(its.organization_id, owner.organizations)
    return own if owner.zone is None else and_(own, its.zone == owner.zone)


def _feeds(owner: Owner) -> ColumnElement[bool]:
    own = select(ConnectorEntry.id).where(_connectors(owner))
    return and_(_of_datasets(Feed, owner), Feed.connector_id.in_(own))


def _decisions(owner: Owner) -> ColumnElement[bool]:
    """Those on systems of the owner's alone."""
    own = select(func.array_agg(cast(System.id, Text()))).where(System.id.in_(_systems(owner)))
    return DuplicateDecision.__table__.c.members.op("<@")(own.scalar_subquery())


def _systems(owner: Owner) -> Select[Any]:
    return select(System.id).where(_among(System.__table__.c.organization_id, owner.organizations))


def _findings(owner: Owner) -> ColumnElement[bool]:
    columns = Finding.__table__.c
    return and_(
        _among(columns.owner_id, owner.organizations),
        or_(columns.dataset_id.is_(None), _among(columns.dataset_id, owner.datasets)),
    )


_NARROWED: Final[Mapping[str, Callable[[Owner], ColumnElement[bool]]]] = {
    "others": _others,
    "profiles": _profiles,
    "purposes": lambda owner: Purpose.code.in_(
        select(PurposeView.purpose).where(_of_datasets(PurposeView, owner))
    ),
    "datasets": lambda owner: _of_datasets(Dataset, owner),
    "versions": _published,
    "connectors": _connectors,
    "feeds": _feeds,
    "system_revisions": lambda owner: SystemRevision.system_id.in_(_systems(owner)),
    "diagnoses": lambda owner: Diagnosis.system_id.in_(_systems(owner)),
    "duplicate_decisions": _decisions,
    "findings": _findings,
    "finding_changes": lambda owner: FindingChange.finding_id.in_(
        select(Finding.id).where(_findings(owner))
    ),
}


def _named(owner: Owner) -> Any:
    """The bodies that something of the owner's names: above it, after it, beside it."""
    its, party = Organization.__table__.c, Agreement.__table__.c
    own, ours = _among(its.id, owner.organizations), _party(Agreement, owner)
    above = (its.parent_id, its.second_parent_id, its.successor_id)
    kept = CarriedRecord.__table__.c
    came = and_(kept.kind == "agreements", _among(kept.organization_id, owner.organizations))
    document = cast(kept.body, JSONB)
    return union_all(
        *(select(each).where(own) for each in above),
        *(select(each).where(ours) for each in (party.provider_id, party.consumer_id)),
        select(Profile.owner_id).where(_profiles(owner)),
        *(select(document[name].astext).where(came) for name in ("provider_id", "consumer_id")),
    )


def _ordered(model: type[Base]) -> list[Any]:
    """The columns of the key, as they sort on every platform."""
    return [
        each.collate(_FIRST_CHARACTERS) if isinstance(each.type, Text) else each
        for each in inspect(model).primary_key
    ]


def _rows(part: Part, owner: Owner) -> Select[Any]:
    columns = part.model.__table__.c
    mine = (
        select(*(columns[name] for name in part.columns))
        .where(_whose(part, owner))
        .order_by(*_ordered(part.model))
        .subquery("mine")
    )
    return select(cast(func.row_to_json(mine.table_valued()), Text()))


async def lines(session: AsyncSession, part: Part, owner: Owner) -> AsyncIterator[bytes]:
    """The part's rows, each as a line of JSON that PostgreSQL wrote."""
    async for body in _streamed(session, _rows(part, owner)):
        yield body


async def carried(session: AsyncSession, kind: str, owner: Owner) -> AsyncIterator[bytes]:
    """Documents of a kind: those that were made here and those that came with an import."""
    kept = CarriedRecord.__table__.c
    came = select(kept.id.label("id"), kept.body.label("body")).where(
        kept.kind == kind, _among(kept.organization_id, owner.organizations)
    )
    made = _made_here(kind, owner)
    both = (came if made is None else union_all(made, came)).subquery("both")
    async for body in _streamed(
        session, select(both.c.body).order_by(both.c.id.collate(_FIRST_CHARACTERS))
    ):
        yield body


def _made_here(kind: str, owner: Owner) -> Select[Any] | None:
    """Key and line of each document of ours; None for what is not a row (certificates are signed)."""
    found = _MADE_HERE[kind](owner) if kind in _MADE_HERE else None
    if found is None:
        return None
    mine = found.subquery("mine")
    key = func.concat_ws(":", *(cast(mine.c[name], Text()) for name in CARRIED[kind]))
    body = cast(func.row_to_json(mine.table_valued()), Text())
    return select(key.label("id"), body.label("body"))


def _party(model: type[Base], owner: Owner) -> ColumnElement[bool]:
    """That the owner is one of the two sides."""
    its = model.__table__.c
    return or_(*(_among(each, owner.organizations) for each in (its.provider_id, its.consumer_id)))


def _requests(owner: Owner) -> ColumnElement[bool]:
    """What was never submitted, given up or not, is the asking body's alone."""
    asked = _among(AccessRequest.__table__.c.consumer_id, owner.organizations)
    return and_(_party(AccessRequest, owner), or_(AccessRequest.offer_number > 0, asked))


def _offers(owner: Owner) -> Select[Any]:
    its = select(AccessRequest.id).where(_requests(owner))
    return _all_of(AccessRequestOffer, AccessRequestOffer.request_id.in_(its))


def _exclusions(owner: Owner) -> Select[Any]:
    its = select(Agreement.series).where(_party(Agreement, owner))
    return _all_of(AgreementExclusion, AgreementExclusion.series.in_(its))


def _all_of(model: type[Base], where: ColumnElement[bool]) -> Select[Any]:
    return select(*model.__table__.c).where(where)


def _consents(owner: Owner) -> Select[Any]:
    """How many there are: whom they are of stays with the platform that the person told."""
    its = Consent.__table__.c
    named = [its[name] for name in CARRIED["consents"]]
    given, withdrawn = func.count().label("given"), func.count(its.withdrawn_at).label("withdrawn")
    ours = _among(its.provider_id, owner.organizations)
    return select(*named, given, withdrawn).where(ours).group_by(*named)


_MADE_HERE: Final[Mapping[str, Callable[[Owner], Select[Any]]]] = {
    "requests": lambda owner: _all_of(AccessRequest, _requests(owner)),
    "offers": _offers,
    "agreements": lambda owner: _all_of(Agreement, _party(Agreement, owner)),
    "exclusions": _exclusions,
    "consents": _consents,
}


async def _streamed(session: AsyncSession, statement: Select[Any]) -> AsyncIterator[bytes]:
    found = await session.stream_scalars(statement.execution_options(yield_per=_AT_ONCE))
    async for body in found:
        yield body.encode() + b"\n"
