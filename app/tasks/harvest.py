"""The harvest job: asks a source, and hands what comes to the take-in. Loads nothing itself.

No connection of the database is held while a source thinks. A source that fails leaves readers what
they have; what asking again may mend is asked again, later each time and never all at once.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from app.agents.relay import Patience, Relays
from app.catalogue import beginnings, connectors, harvests, runs
from app.catalogue.harvests import Fetched, NotMine, NotYet, Work
from app.connectors.errors import SourceError, SourceSlow
from app.connectors.frame import MOST_SECONDS, AnyConnector, Means, Shape
from app.connectors.kinds import Kinds
from app.formats.individual_number import holds_number
from app.kit.crypto import Sealer
from app.kit.db import Database
from app.kit.errors import AppError, Kind
from app.kit.outbound import Outbound
from app.kit.trace import traced
from app.models.connectors import ConnectorEntry, Harvest, HarvestState
from app.models.datasets import Dataset
from app.parties import groups, terms
from app.tables import uploads

_LOOK_EVERY_S: Final = 0.5
_ASK_AGAIN: Final = timedelta(seconds=5)  # where another harvest asks the same source
_FIRST_WAIT_S: Final = 15.0
_LONGEST_WAIT_S: Final = 900.0
_PATIENCE: Final = Patience()


class NoLongerManaged(AppError):
    """The connector's organisation does not manage the dataset any more."""

    kind = Kind.FORBIDDEN
    code = "connector_not_of_publisher"
    ja = "データセット {dataset} は、このコネクタの組織の管理から外れています。"
    en = "The dataset {dataset} is no longer managed by the organisation of this connector."


class Later(Exception):
    """The harvest waits in the queue again."""

    def __init__(self, after: timedelta) -> None:
        super().__init__(f"again after {after}")
        self.after = after


@dataclass(frozen=True, slots=True)
class Harvester:
    """What harvests are made with. One a process.

    `open_sealer`: the key is read when it is needed, for a first start is making it now.
    """

    database: Database
    open_sealer: Callable[[], Sealer]
    kinds: Kinds
    outbound: Outbound
    folders: dict[str, tuple[Path, ...]]  # that are lent, by organisation
    most_bytes: int
    first_wait_seconds: float = _FIRST_WAIT_S
    patience: Patience = _PATIENCE  # with agents

    async def harvest(self, harvest_id: UUID) -> None:
        """Make one harvest. Raises `Later` where it is to be made again, and what a retry mends."""
        sealer = self.open_sealer()  # without it none is claimed: a worker that has it may
        try:
            async with self.database.writing() as session:
                work = await harvests.claim(session, harvest_id)
        except NotMine:
            return
        except NotYet:
            raise Later(_ASK_AGAIN) from None
        if work is None:
            return
        try:
            with traced(work.harvest_id.hex):  # a source's log and our history can be put together
                await self._make(work, sealer)
        except NotMine:
            return  # it was cancelled with its connector, or another worker has it
        except AppError as refusal:
            await self._end_refused(work, refusal)

    async def begin_due(self) -> None:
        """Begin what schedules and notices want, and end what was left."""
        async with self.database.writing() as session:
            await harvests.settle_missed(session)
        begun = 1
        while begun:  # a thousand that are due at three are not begun until four
            async with self.database.writing() as session:
                begun = await beginnings.begin_due(session)

    async def _make(self, work: Work, sealer: Sealer) -> None:
        async with self.database.reading() as session:
            dataset = await session.get_one(Dataset, work.feed.dataset_id)
            runs.check_can_load(dataset)
            await self.check_managed(session, work.kept.entry, dataset)
        entry = work.kept.entry
        mine = entry.organization_id
        relay = Relays(self.database, self.open_sealer, self.patience).of(mine, entry.zone)
        means = Means(self.outbound, self.folders.get(mine, ()), relay=relay)
        connector = await connectors.open_connector(entry, sealer, self.kinds, means)
        selection = connectors.selection_of(self.kinds, entry, work.feed.selection)
        fetched = await self._unless_cancelled(work, connector, selection)
        async with self.database.writing() as session:
            if fetched is None:
                await harvests.end_unchanged(session, work)
            else:
                await harvests.hand_over(session, work, fetched)

    @staticmethod
    async def check_managed(session: AsyncSession, entry: ConnectorEntry, dataset: Dataset) -> None:
        """The right is asked for each time: an organisation may have lost it since."""
        mine, publisher = entry.organization_id, dataset.publisher_id
        if publisher != mine:
            found = await groups.managing_group(session, operator_id=mine, member_id=publisher)
            if found is None:
                raise NoLongerManaged(dataset=dataset.id)
        for organization_id in sorted({publisher, mine}):
            await terms.check_accepted(session, organization_id)

    async def _unless_cancelled(
        self, work: Work, connector: AnyConnector, selection: Shape
    ) -> Fetched | None:
        """What the source gives, unless somebody asks for the end before. Raises `NotMine`."""
        fetching = asyncio.create_task(self._fetch(work, connector, selection))
        watching = asyncio.create_task(self._until_cancelled(work.harvest_id))
        try:
            async with asyncio.timeout(MOST_SECONDS):
                await asyncio.wait({fetching, watching}, return_when=asyncio.FIRST_COMPLETED)
            is_cancelled = watching.done() and not fetching.done()
        except TimeoutError:
            raise SourceSlow(source=work.kept.entry.name, at="silence") from None
        finally:  # told from outside to stop, too: nothing goes on behind our back
            fetching.cancel()
            watching.cancel()
            await asyncio.wait({fetching, watching})
        if not is_cancelled:
            return fetching.result()
        async with self.database.writing() as session:
            await harvests.end(session, await harvests.mine(session, work), HarvestState.CANCELLED)
        raise NotMine

    async def _fetch(self, work: Work, connector: AnyConnector, selection: Shape) -> Fetched | None:
        known = work.known_to(connector.capabilities)
        async with connector.harvest(selection, known) as got:
            if got is None:
                return None
            name = got.name if got.name and not holds_number(got.name.encode()) else None
            upload_id = uuid4()
            _, size = await uploads.store(
                self.database.pool, upload_id, got.pieces, filename=name, most=self.most_bytes
            )
            told = dict(got.told) if got.told is not None else None
            if got.is_empty:
                told = {**(told or {}), "empty": True}
            proof = dict(got.validators) if got.validators is not None else None
            return Fetched((upload_id, size), told, proof, got.delta)

    async def _until_cancelled(self, harvest_id: UUID) -> None:
        """Ends when somebody asks for the harvest's end, or has removed it with its connector."""
        statement = "SELECT cancel_requested_at IS NULL FROM harvest WHERE id = $1"
        while True:
            try:
                if not await self.database.pool.fetchval(statement, harvest_id):
                    return
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                pass  # the fetching meets the same, and says so
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _end_refused(self, work: Work, refusal: AppError) -> None:
        passes = isinstance(refusal, SourceError) and refusal.passes
        again = passes and work.tries < harvests.MOST_TRIES
        try:
            async with self.database.writing() as session:
                if again:
                    await harvests.put_back(session, work, refusal)
                else:
                    await harvests.fail(session, work, refusal)
        except NotMine:
            return
        if again:
            raise Later(self._wait(work.tries, refusal))

    def _wait(self, tries: int, refusal: AppError) -> timedelta:
        """Twice as long each time, somewhere within its second half: sources are many, and what
        failed together is not asked again together."""
        told = refusal.after_seconds if isinstance(refusal, SourceError) else None
        longest = min(self.first_wait_seconds * 2 ** (tries - 1), _LONGEST_WAIT_S)
        chosen = random.uniform(longest / 2, longest)  # noqa: S311 - no secret
        return timedelta(seconds=min(max(chosen, told or 0.0), _LONGEST_WAIT_S))


async def settle(database: Database, run_id: UUID) -> None:
    """End the harvest whose file a run has loaded, where there is one."""
    async with database.writing() as session:
        await harvests.settle(session, run_id)


async def give_up(database: Database, harvest_id: UUID) -> None:
    """End a harvest that cannot be made, by a fault of ours."""
    async with database.writing() as session:
        harvest = await session.get(Harvest, harvest_id, with_for_update=True)
        if harvest is not None:
            await harvests.give_up(session, harvest)
