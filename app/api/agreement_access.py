"""Who may know of a request or an agreement; others get the answer of one that does not exist."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession

from app.agreements import agreements, requests
from app.agreements.members import is_member
from app.agreements.terms import DatasetTerms
from app.api.access import PlatformDep, challenge
from app.api.lacking import InsufficientScope
from app.api.state import Platform
from app.catalogue.refusals import DatasetNotFound
from app.kit.errors import AppError
from app.models.agreements import AccessRequest, Agreement
from app.parties import terms
from app.parties.organizations import line_of, list_tree
from app.policy.facts import Caller


class Datasets:
    """Datasets as agreements speak of them. One a request."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def get(self, dataset_id: str) -> DatasetTerms:
        """The dataset's terms, or `DatasetNotFound`."""
        entry = (await self._platform.snapshot.dataset(dataset_id)).entry
        async with self._platform.database.reading() as session:
            line = await line_of(session, entry.facts.publisher_id)
        return DatasetTerms(
            id=entry.id,
            publisher_id=entry.facts.publisher_id,
            publisher_line=line,
            data_class=entry.facts.data_class,
            zone=entry.facts.zone,
            fields=entry.fields,
            hidden=entry.hidden or entry.facts.withdrawn,
        )

    async def visible(self, dataset_id: str, caller: Caller) -> DatasetTerms:
        """The same, unless it is hidden from the caller."""
        dataset = await self.get(dataset_id)
        if dataset.hidden and dataset.publisher_line.isdisjoint(caller.client.line):
            raise DatasetNotFound(id=dataset_id)
        return dataset

    def refuse_scope(self, scope: str) -> AppError:
        """The refusal of a token that lacks `scope`."""
        refusal = InsufficientScope(scope=scope)
        challenge(self._platform, refusal, error="insufficient_scope", scope=scope)
        return refusal


def _datasets(platform: PlatformDep) -> Datasets:
    return Datasets(platform)


DatasetOf = Annotated[Datasets, Depends(_datasets)]


def _sees_all(caller: Caller) -> bool:
    return "admin:read" in caller.scope


async def visible_parties(session: AsyncSession, caller: Caller) -> list[str] | None:
    """The organisations whose requests and agreements the caller sees; None: everybody's."""
    if _sees_all(caller):
        return None
    if "steward" not in caller.client.roles:
        return [caller.client.organization_id]
    return [below.id for below in await list_tree(session, caller.client.organization_id)]


def _is_party(caller: Caller, consumer_id: str, dataset: DatasetTerms) -> bool:
    mine = caller.client.organization_id
    if mine in (consumer_id, dataset.publisher_id) or _sees_all(caller):
        return True
    if "operator" in caller.client.roles and "admin:write" in caller.scope:
        return True
    return "steward" in caller.client.roles and mine in dataset.publisher_line


async def visible_request(
    session: AsyncSession,
    request_id: UUID,
    caller: Caller,
    dataset_of: Datasets,
    *,
    lock: bool = False,
) -> tuple[AccessRequest, DatasetTerms]:
    """The request and its dataset, or `RequestNotFound`: also of others' drafts, for everybody."""
    request = await requests.get_request(session, request_id, lock=lock)
    if not request.offer_number and request.consumer_id != caller.client.organization_id:
        raise requests.RequestNotFound(request=request_id)
    dataset = await dataset_of.get(request.dataset_id)
    if not _is_party(caller, request.consumer_id, dataset):
        raise requests.RequestNotFound(request=request_id)
    return request, dataset


async def visible_agreement(
    session: AsyncSession,
    agreement_id: UUID,
    caller: Caller,
    dataset_of: Datasets,
    *,
    lock: bool = False,
) -> tuple[Agreement, DatasetTerms]:
    """The agreement and its dataset, or `AgreementNotFound`."""
    agreement = await agreements.get_agreement(session, agreement_id, lock=lock)
    dataset = await dataset_of.get(agreement.dataset_id)
    if not _is_party(caller, agreement.consumer_id, dataset) and not await is_member(
        session, agreement.group_id, caller.client.organization_id
    ):
        raise agreements.AgreementNotFound(agreement=agreement_id)
    return agreement, dataset


async def check_terms_of_use(session: AsyncSession, caller: Caller, *parties: str) -> None:
    """Nobody enters an agreement who owes the platform its terms of use; all may leave one.

    Raises `TermsNotAccepted`, which names the organisation.
    """
    for organization_id in sorted({caller.client.organization_id, *parties}):
        await terms.check_accepted(session, organization_id)


async def changing_agreement(
    session: AsyncSession, agreement_id: UUID, caller: Caller, dataset_of: Datasets
) -> tuple[Agreement, DatasetTerms]:
    """The agreement locked for a change; raises `InsufficientScope` for a token that only reads."""
    if caller.scope.isdisjoint({"agreements:write", "admin:write"}):
        raise dataset_of.refuse_scope("agreements:write")
    return await visible_agreement(session, agreement_id, caller, dataset_of, lock=True)
