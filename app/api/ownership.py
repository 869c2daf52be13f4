"""Who may manage a dataset: a steward of the body that publishes it. Refusals are logged."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.catalogue import datasets, runs
from app.kit.errors import AppError, Kind
from app.models.datasets import Dataset, Run
from app.policy.facts import Caller


class NotThePublisher(AppError):
    """The caller's organisation does not publish the dataset."""

    kind = Kind.FORBIDDEN
    code = "not_the_publisher"
    ja = "{publisher} のデータセットです。その組織のスチュワードだけが管理できます。"
    en = "The dataset is published by {publisher}: only its stewards can manage it."


def owner_code() -> str:
    """The code of the refusal, for `problems(…)`."""
    return NotThePublisher.code


class Owned:
    """Things of a dataset, given to those who manage it."""

    @staticmethod
    async def check_publisher(
        session: AsyncSession, publisher_id: str | None, caller: Caller
    ) -> None:
        """Refuse a caller of another organisation. Raises `NotThePublisher`."""
        if publisher_id != caller.client.organization_id:
            raise NotThePublisher(publisher=publisher_id)

    @staticmethod
    async def dataset(session: AsyncSession, dataset_id: str, caller: Caller) -> Dataset:
        """The dataset. Raises `DatasetNotFound`, `NotThePublisher`."""
        mine = caller.client.organization_id
        dataset = await datasets.get_visible(session, dataset_id, viewer=mine)
        await Owned.check_publisher(session, dataset.publisher_id, caller)
        return dataset

    @staticmethod
    async def run(session: AsyncSession, run_id: UUID, caller: Caller) -> Run:
        """The run of one's own dataset. Raises `RunNotFound`, `NotThePublisher`."""
        run = await runs.get(session, run_id)
        await Owned.dataset(session, run.dataset_id, caller)
        return run
