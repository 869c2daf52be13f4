"""What the broker knows without asking: entries with their agreements, kept current by `Live`."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from app.agreements.facts import load_agreement_facts
from app.agreements.purposes import list_purposes
from app.catalogue.entries import DatasetEntry, load_entry
from app.kit.db import Database
from app.kit.live import ALL, Live
from app.policy.facts import AgreementFacts, Caller, by_organization
from app.policy.verdicts import Allow


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A verdict on what was known, with all else that it was judged by, and until when it stands."""

    by: tuple[object, ...]
    caller: Caller | None
    purposes: frozenset[str]
    since: datetime
    until: datetime | None
    verdict: Allow


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """One dataset with every agreement on it, to be found by who stands under them.

    `judged` is of these very facts: what is made of them with others begins with none.
    """

    entry: DatasetEntry
    agreements: Mapping[str, tuple[AgreementFacts, ...]]  # by organisation
    judged: dict[Hashable, Judged] = field(init=False, default_factory=dict, repr=False)

    def concerning(self, organization_id: str | None) -> tuple[AgreementFacts, ...]:
        """The agreements that the organisation could stand under."""
        return self.agreements.get(organization_id or "", ())


class Snapshot:
    """The facts of decisions, loaded when first asked for and dropped when they change."""

    def __init__(self, database: Database, live: Live) -> None:
        self._database = database
        self._live = live
        self.datasets = live.cache(self._load, kinds=("dataset", ALL))
        self._purposes = live.cache(self._load_purposes, kinds=(ALL,))

    async def dataset(self, dataset_id: str) -> Known:
        """The dataset. Raises `DatasetNotFound`."""
        return self.datasets.held(dataset_id) or await self.datasets.get(dataset_id)

    async def purposes(self) -> frozenset[str]:
        """The codes of the controlled list of purposes."""
        return self._purposes.held("") or await self._purposes.get("")

    def changed(self, dataset_id: str) -> None:
        """Forget a dataset that this process has just changed."""
        self._live.changed("dataset", dataset_id)

    async def _load(self, dataset_id: str) -> Known:
        async with self._database.reading() as session:
            entry = await load_entry(session, dataset_id)
        found = await load_agreement_facts(self._database.pool, dataset_id)
        return Known(entry, by_organization(found))

    async def _load_purposes(self, _key: str) -> frozenset[str]:
        async with self._database.reading() as session:
            return frozenset(purpose.code for purpose in await list_purposes(session))
