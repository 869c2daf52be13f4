"""Who may publish what: where a body asks for four eyes, whoever loaded a version does not publish it.

The demand stands with an organisation and holds for all below it, so that no steward lifts it for
a dataset of his own. It is judged where readers would get something new, and nowhere else.
"""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.errors import AppError, Kind
from app.models.datasets import DataClass, Dataset, Run, Version
from app.models.parties import Approval, Organization
from app.policy.facts import may_be_one


class SecondPersonNeeded(AppError):
    """The one who loaded the version would publish it."""

    kind = Kind.FORBIDDEN
    code = "second_person_needed"
    ja = (
        "{publisher} では、版を登録した担当とは別のスチュワードが公開を承認します。"
        "データセット {dataset} の版 {number} は {loader} が登録したため、別の担当か、別のクライアントが公開してください。"
    )
    en = (
        "{publisher} has a second steward approve what is published. Version {number} of the dataset"
        " {dataset} was loaded by {loader}: have somebody else, or another client, publish it."
    )


class RecordsNeedApproval(AppError):
    """Records written one by one would reach readers without a second person."""

    kind = Kind.FORBIDDEN
    code = "records_need_approval"
    ja = (
        "{publisher} では公開に別の担当の承認が必要なため、データセット {dataset} のレコードを直接書き換えられません。"
        "ファイルを登録し（POST …/versions）、別のスチュワードが公開してください。"
    )
    en = (
        "{publisher} has a second steward approve what is published, so records of the dataset"
        " {dataset} are not written directly. Load a file (POST …/versions) and have another steward"
        " publish it."
    )


async def is_needed(session: AsyncSession, dataset: Dataset) -> bool:
    """Whether the publisher, or a body above it, has public data approved by a second."""
    if dataset.data_class != DataClass.PUBLIC:
        return False
    line = func.unnest(func.line_of(dataset.publisher_id)).column_valued("id")
    found = select(Organization.id).where(
        Organization.id.in_(select(line)), Organization.approval == Approval.SECOND_PERSON.value
    )
    return (await session.scalar(found.limit(1))) is not None


async def check(
    session: AsyncSession, dataset: Dataset, version: Version, *, by: str, via: str
) -> str | None:
    """Who loaded the version, for the log. Raises `SecondPersonNeeded`.

    What readers had before was approved then: going back to it needs nobody.
    """
    runs = await _runs_of(session, version)
    theirs = [r for r in runs if may_be_one(by, via, r.created_by, r.created_via or r.created_by)]
    if version.published_at is None and theirs and await is_needed(session, dataset):
        raise SecondPersonNeeded(
            publisher=dataset.publisher_id,
            dataset=dataset.id,
            number=version.number,
            loader=theirs[0].created_by,
        )
    return runs[0].created_by if runs else None


async def check_records(session: AsyncSession, dataset: Dataset) -> None:
    """Refuse records written past approval. Raises `RecordsNeedApproval`."""
    if await is_needed(session, dataset):
        raise RecordsNeedApproval(publisher=dataset.publisher_id, dataset=dataset.id)


async def _runs_of(session: AsyncSession, version: Version) -> list[Run]:
    """The runs of the files that became the version: its own, and of those that it corrects."""
    found: list[Run] = []
    run_id = version.run_id
    while run_id is not None:
        run = await session.get_one(Run, run_id)
        found.append(run)
        run_id = run.corrects_run_id  # of an earlier run: the way has an end
    return found
