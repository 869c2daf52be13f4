"""Purpose views: declared and taken back by a dataset's publisher. Judges no request."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log as audit
from app.audit.events import Event
from app.kit import clock
from app.kit.errors import AppError, Fault, Kind
from app.models.views import PurposeView
from app.policy import facts as policy


class PurposeViewNotFound(AppError):
    """Nothing is declared for the purpose: what was agreed leaves whole."""

    kind = Kind.NOT_FOUND
    code = "purpose_view_not_found"
    ja = "データセット {dataset} に、利用目的 {purpose} の提供範囲は定められていません。"
    en = "No view of the dataset {dataset} is declared for the purpose {purpose}."


def view_facts(
    purpose: str, columns: Sequence[str] | None, rows: str | None, consent: bool
) -> policy.PurposeView:
    """A view as the rules know it. No columns named is no bound; an empty list lets none out."""
    named = None if columns is None else frozenset(columns)
    return policy.PurposeView(purpose, named, rows, consent)


def check_consent(consent: bool, subject: str | None) -> list[Fault]:
    """What is wrong with asking for consent, if anything: whose it would be must be told."""
    if not consent or subject is not None:
        return []
    return [Fault(
        "/consent", "subject_not_declared",
        "先にデータセットの本人を示す項目（subject）を宣言してください。",
        "First declare the dataset's field that names the person (subject).",
    )]  # fmt: skip


async def list_views(session: AsyncSession, dataset_id: str) -> Sequence[PurposeView]:
    """All of a dataset's, by purpose."""
    found = select(PurposeView).where(PurposeView.dataset_id == dataset_id)
    return (await session.scalars(found.order_by(PurposeView.purpose))).all()


async def get_view(
    session: AsyncSession, dataset_id: str, purpose: str, *, lock: bool = False
) -> PurposeView:
    """What is declared for a purpose. Raises `PurposeViewNotFound`."""
    found = await session.get(PurposeView, (dataset_id, purpose), with_for_update=lock or None)
    if found is None:
        raise PurposeViewNotFound(dataset=dataset_id, purpose=purpose)
    return found


async def put(
    session: AsyncSession,
    dataset_id: str,
    purpose: str,
    *,
    columns: Sequence[str] | None,
    rows: str | None,
    consent: bool,
    by: str,
) -> PurposeView:
    """Declare what may leave for a purpose, whether or not something was declared before."""
    view = await session.get(PurposeView, (dataset_id, purpose), with_for_update=True)
    if view is None:
        view = PurposeView(dataset_id=dataset_id, purpose=purpose)
        session.add(view)
    view.columns = None if columns is None else list(dict.fromkeys(columns))
    view.rows, view.consent = rows, consent
    view.set_at, view.set_by = clock.now(), by
    await session.flush()
    await audit.append(
        session, Event.PURPOSE_VIEW_SET, dataset=dataset_id, purpose=purpose,
        columns=view.columns, bounds_rows=rows is not None, consent=consent, by=by,
    )  # fmt: skip
    return view


async def remove(session: AsyncSession, dataset_id: str, purpose: str, *, by: str) -> None:
    """Take a view back: what was agreed leaves whole again. Raises `PurposeViewNotFound`."""
    await session.delete(await get_view(session, dataset_id, purpose, lock=True))
    await session.flush()
    await audit.append(
        session, Event.PURPOSE_VIEW_REMOVED, dataset=dataset_id, purpose=purpose, by=by
    )
