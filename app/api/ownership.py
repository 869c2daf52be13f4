"""Who may manage a dataset: its publisher's stewards, and for a member of a tenant group those of
the group's operator. Managing gives no right to read records; refusals are logged."""

from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.audit.events import Event
from app.audit.log import Log
from app.broker.refusals import AccessRefused, refusal_of
from app.catalogue import datasets, runs
from app.catalogue.refusals import DatasetNotFound
from app.kit.errors import AppError, Kind
from app.models.datasets import DataClass, Dataset, Run
from app.models.parties import Role
from app.parties import clients, groups, people, terms
from app.parties.clients import ClientNotFound
from app.policy.facts import Caller
from app.policy.rules import refuse_file


class NotThePublisher(AppError):
    """The caller's organisation neither publishes the dataset nor runs the publisher's group."""

    kind = Kind.FORBIDDEN
    code = "not_the_publisher"
    ja = "{publisher} のデータセットです。その組織か、共同利用の運営組織のスチュワードだけが管理できます。"
    en = (
        "The dataset is published by {publisher}: only its stewards, or those of its group's"
        " operator, can manage it."
    )


class RowsOfAMember(AppError):
    """Managing a member's dataset does not show its rows; an agreement does."""

    kind = Kind.FORBIDDEN
    code = "rows_of_a_member"
    ja = (
        "{publisher} の公開されていない行です。自ら取り込んだファイルの分だけを閲覧できます。"
        "ほかの行には利用協定が必要です（POST /v1/access-requests）。"
    )
    en = (
        "These are rows of {publisher} that are not public: you see those of files that you loaded"
        " yourself. For others ask for access (POST /v1/access-requests)."
    )


# The codes of the refusals, for `problems(…)`.
ROWS_CODE: Final = RowsOfAMember.code
TOKEN_CODE: Final = AccessRefused.code
TERMS_CODE: Final = terms.TermsNotAccepted.code


def owner_code() -> str:
    """The code of the refusal, for `problems(…)`."""
    return NotThePublisher.code


class Owned:
    """Things of a dataset, given to those who manage it."""

    @staticmethod
    async def check_publisher(
        session: AsyncSession, publisher_id: str | None, caller: Caller
    ) -> None:
        """Refuse whoever does not manage the publisher's datasets. Raises `NotThePublisher`.

        What a group's operator does for a member is in the log, with both, before it is done.
        """
        mine = caller.client.organization_id
        if publisher_id == mine:
            return
        group = None
        if publisher_id is not None and Role.STEWARD in caller.client.roles:
            group = await groups.managing_group(session, operator_id=mine, member_id=publisher_id)
        if group is None:
            raise NotThePublisher(publisher=publisher_id)
        log: Log = session.info["log"]
        await log.write(
            Event.MANAGED_FOR_MEMBER,
            act=session.info["act"],
            group=group,
            operator=mine,
            member=publisher_id,
            client=caller.client.client_id,
            person=caller.client.person_id,
        )

    @staticmethod
    async def check_may_publish(
        session: AsyncSession, publisher_id: str | None, caller: Caller
    ) -> None:
        """The same, of a publisher that has accepted the terms of use.

        Raises `NotThePublisher`, `TermsNotAccepted`.
        """
        await Owned.check_publisher(session, publisher_id, caller)
        await _check_terms(session, publisher_id, caller)

    @staticmethod
    async def dataset(session: AsyncSession, dataset_id: str, caller: Caller) -> Dataset:
        """The dataset. Raises `DatasetNotFound`, `NotThePublisher`."""
        dataset = await datasets.get(session, dataset_id)
        try:
            await Owned.check_publisher(session, dataset.publisher_id, caller)
        except NotThePublisher:
            if dataset.hidden:
                raise DatasetNotFound(id=dataset_id) from None
            raise
        return dataset

    @staticmethod
    async def dataset_to_load(session: AsyncSession, dataset_id: str, caller: Caller) -> Dataset:
        """The dataset that files are sent to.

        Raises `TermsNotAccepted` and `AccessRefused` beside those of it.
        """
        dataset = await Owned.dataset(session, dataset_id, caller)
        _check_token(dataset, caller)
        await _check_terms(session, dataset.publisher_id, caller)
        return dataset

    @staticmethod
    async def dataset_rows(session: AsyncSession, dataset_id: str, caller: Caller) -> Dataset:
        """The dataset, to whoever may see any row of any of its files, published or not.

        Raises `RowsOfAMember` beside those of `dataset`.
        """
        dataset = await Owned.dataset(session, dataset_id, caller)
        if dataset.publisher_id != caller.client.organization_id and not _is_all_public(dataset):
            raise RowsOfAMember(publisher=dataset.publisher_id)
        return dataset

    @staticmethod
    async def run(session: AsyncSession, run_id: UUID, caller: Caller) -> Run:
        """The run of one's own dataset. Raises `RunNotFound`, `NotThePublisher`."""
        run = await runs.get(session, run_id)
        await Owned.dataset(session, run.dataset_id, caller)
        return run

    @staticmethod
    async def run_rows(session: AsyncSession, run_id: UUID, caller: Caller) -> Run:
        """The run, to whoever may see rows of its file.

        Raises `RowsOfAMember` and `AccessRefused` beside the above.
        """
        run = await Owned.run_of_file(session, run_id, caller)
        _check_token(await datasets.get(session, run.dataset_id), caller)
        return run

    @staticmethod
    async def run_of_file(session: AsyncSession, run_id: UUID, caller: Caller) -> Run:
        """The same, where the broker judges the token."""
        run = await runs.get(session, run_id)
        if await _is_started_by(session, run, caller.client.organization_id):
            await Owned.dataset(session, run.dataset_id, caller)
        else:
            await Owned.dataset_rows(session, run.dataset_id, caller)
        return run


async def _check_terms(session: AsyncSession, publisher_id: str | None, caller: Caller) -> None:
    """Both have accepted them: the body that answers for the data, and the one that hands it in."""
    mine = caller.client.organization_id
    for organization_id in sorted({publisher_id or mine, mine}):
        await terms.check_accepted(session, organization_id)


def _check_token(dataset: Dataset, caller: Caller) -> None:
    """Raises `AccessRefused` for a token that may neither bring nor see all that a file has."""
    deny = refuse_file(dataset.classes, caller)
    if deny is not None:
        raise refusal_of(deny)


def _is_all_public(dataset: Dataset) -> bool:
    """Whether every row and column of it is for everybody: a file holds hidden columns too."""
    if dataset.data_class != DataClass.PUBLIC:
        return False
    return all(field.get("visibility") in (None, "public") for field in dataset.fields or [])


async def _is_started_by(session: AsyncSession, run: Run, organization_id: str) -> bool:
    by = run.created_by
    person = await people.find(session, by)
    if person is not None:
        return person.organization_id == organization_id
    try:
        client = await clients.get(session, by)
    except ClientNotFound:  # the operator's shell, or a task of ours
        return False
    return client.organization_id == organization_id
