"""Needs: what people ask a body for, or tell it of a dataset, and its public replies.

Everything said here is public. It closes with a dataset that answers it, never by silence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from sqlalchemy import func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log
from app.audit.events import Event
from app.catalogue import datasets
from app.catalogue.refusals import DatasetNotFound, DatasetWithdrawn, NoVersion
from app.kit import clock
from app.kit.errors import AppError, Kind
from app.models.datasets import Dataset, DatasetState
from app.models.needs import Need, NeedReply, NeedState
from app.models.parties import Organization


class NeedNotFound(AppError):
    """No such need."""

    kind = Kind.NOT_FOUND
    code = "need_not_found"
    ja = "要望 {id} は見つかりません。GET /v1/needs で確認してください。"
    en = "There is no need {id}. GET /v1/needs lists them."


class NeedUnaddressed(AppError):
    """Nobody is there to answer: no body has the code, or neither code nor dataset was given."""

    kind = Kind.INVALID
    code = "need_unaddressed"
    ja = "宛先が分かりません。municipality（登録済みの全国地方公共団体コード）か dataset の一方を指定してください。"
    en = "It is addressed to nobody. Give either municipality (a registered code) or dataset."


class NotTheAddressee(AppError):
    """Only the body that a need is addressed to speaks for itself."""

    kind = Kind.FORBIDDEN
    code = "not_the_addressee"
    ja = "この要望の宛先は {addressee} です。その組織のスチュワードだけが回答できます。"
    en = "The need is addressed to {addressee}: only its stewards can answer."


class NeedClosed(AppError):
    """A closed need stays as it is."""

    kind = Kind.CONFLICT
    code = "need_closed"
    ja = "要望 {id} は完了しています。続きがあれば新しい要望を登録してください。"
    en = "The need {id} is closed. Raise a new one if there is more to say."


@dataclass(frozen=True, slots=True)
class NewNeed:
    """What somebody asks: of a municipality, or of the publisher of a dataset."""

    title: str
    text: str
    municipality: str | None = None  # six digits
    dataset_id: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which needs are listed. `after`: the last one of the page before."""

    municipality: str | None = None
    dataset_id: str | None = None
    state: str | None = None
    after: UUID | None = None
    limit: int = 100


async def raise_need(session: AsyncSession, new: NewNeed, *, asker_id: str, by: str) -> Need:
    """Note a need for the body in charge. Raises `NeedUnaddressed`, `DatasetNotFound`."""
    if (new.municipality is None) == (new.dataset_id is None):
        raise NeedUnaddressed
    body = await _addressee(session, new)
    need = Need(
        id=uuid4(),
        addressed_id=body.id,
        municipality=body.local_government_code,
        dataset_id=new.dataset_id,
        title=new.title,
        text=new.text,
        state=NeedState.OPEN,
        asker_id=asker_id,
        created_at=clock.now(),
        created_by=by,
    )
    session.add(need)
    await log.append(
        session, Event.NEED_RAISED, need=str(need.id), addressee=body.id, dataset=new.dataset_id,
        by=by,
    )  # fmt: skip
    return need


async def _addressee(session: AsyncSession, new: NewNeed) -> Organization:
    """The body with the code, or that of the dataset's publisher."""
    if new.dataset_id is not None:
        dataset = await _shown_to_all(session, new.dataset_id)
        body_id = await session.scalar(select(func.body_of(dataset.publisher_id)))
        return await session.get_one(Organization, body_id)
    body = await session.scalar(
        select(Organization).where(
            Organization.local_government_code == new.municipality,
            Organization.valid_to.is_(None),
        )
    )
    if body is None:
        raise NeedUnaddressed
    return body


async def _shown_to_all(session: AsyncSession, dataset_id: str) -> Dataset:
    """A dataset that may stand in a public list. Raises `DatasetNotFound`."""
    dataset = await datasets.get(session, dataset_id)
    if dataset.hidden:
        raise DatasetNotFound(id=dataset_id)
    return dataset


async def get(session: AsyncSession, need_id: UUID, *, lock: bool = False) -> Need:
    """One need, locked for change if asked. Raises `NeedNotFound`."""
    found = await session.get(Need, need_id, with_for_update=lock or None)
    if found is None:
        raise NeedNotFound(id=need_id)
    return found


async def list_needs(session: AsyncSession, wanted: Wanted) -> Sequence[Need]:
    """Needs, newest first, one more than asked. Raises `NeedNotFound` for `after`."""
    statement = select(Need)
    for column, value in (
        (Need.municipality, wanted.municipality),
        (Need.dataset_id, wanted.dataset_id),
        (Need.state, wanted.state),
    ):
        if value is not None:
            statement = statement.where(column == value)
    if wanted.after is not None:
        last = await get(session, wanted.after)
        place = tuple_(literal(last.created_at), literal(last.id))
        statement = statement.where(tuple_(Need.created_at, Need.id) < place)
    statement = statement.order_by(Need.created_at.desc(), Need.id.desc())
    return (await session.scalars(statement.limit(wanted.limit + 1))).all()


async def replies_of(session: AsyncSession, *needs: Need) -> dict[UUID, list[NeedReply]]:
    """The public replies by need, oldest first. One statement however many needs."""
    found: dict[UUID, list[NeedReply]] = {need.id: [] for need in needs}
    statement = select(NeedReply).where(NeedReply.need_id.in_(found)).order_by(NeedReply.id)
    for reply in await session.scalars(statement):
        found[reply.need_id].append(reply)
    return found


async def reply(
    session: AsyncSession, need_id: UUID, text: str, *, organization_id: str, by: str
) -> Need:
    """Answer a need in public. Raises `NeedNotFound`, `NotTheAddressee`, `NeedClosed`."""
    need = await _to_answer(session, need_id, organization_id)
    session.add(
        NeedReply(
            need_id=need.id,
            organization_id=organization_id,
            text=text,
            replied_at=clock.now(),
            replied_by=by,
        )
    )
    need.state = NeedState.ANSWERED
    await log.append(session, Event.NEED_ANSWERED, need=str(need.id), by=by)
    return need


async def close(
    session: AsyncSession, need_id: UUID, dataset_id: str, *, organization_id: str, by: str
) -> Need:
    """Close a need with the published dataset that answers it, of whatever publisher.

    Raises those of `reply`, `DatasetNotFound`, `DatasetWithdrawn`, `NoVersion`.
    """
    need = await _to_answer(session, need_id, organization_id)
    dataset = await _shown_to_all(session, dataset_id)
    if dataset.state == DatasetState.WITHDRAWN:
        raise DatasetWithdrawn(id=dataset_id, reason=dataset.withdrawn_reason)
    if dataset.current_version is None:
        raise NoVersion(dataset=dataset_id)
    need.state = NeedState.CLOSED
    need.closed_at, need.closed_by, need.closed_with = clock.now(), by, dataset.id
    await log.append(session, Event.NEED_CLOSED, need=str(need.id), dataset=dataset.id, by=by)
    return need


async def _to_answer(session: AsyncSession, need_id: UUID, organization_id: str) -> Need:
    """The need, locked, for a client of the body that it is addressed to."""
    need = await get(session, need_id, lock=True)
    if await session.scalar(select(func.body_of(organization_id))) != need.addressed_id:
        raise NotTheAddressee(addressee=need.addressed_id)
    if need.state == NeedState.CLOSED:
        raise NeedClosed(id=need_id)
    return need
