"""Purpose views: declared and taken back by a dataset's publisher. Judges no request."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log as audit
from app.audit.events import Event
from app.kit import clock
from app.kit.crypto import Sealer
from app.kit.errors import AppError, Fault, Kind
from app.models.views import PseudonymKey, PurposeView
from app.policy import facts as policy
from app.query.fields import Field
from app.query.masks import NotAMask, Way, read_mask

_KEY_BYTES: Final = 32


class PurposeViewNotFound(AppError):
    """Nothing is declared for the purpose: what was agreed leaves whole."""

    kind = Kind.NOT_FOUND
    code = "purpose_view_not_found"
    ja = "データセット {dataset} に、利用目的 {purpose} の提供範囲は定められていません。"
    en = "No view of the dataset {dataset} is declared for the purpose {purpose}."


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a publisher declares: columns, a condition on rows, consent, and masks by field."""

    columns: Sequence[str] | None
    rows: str | None
    consent: bool
    masks: Mapping[str, str]


def view_facts(
    purpose: str,
    columns: Sequence[str] | None,
    rows: str | None,
    consent: bool,
    masks: Mapping[str, str] | None,
) -> policy.PurposeView:
    """A view as the rules know it. No columns named is no bound; an empty list lets none out."""
    named = None if columns is None else frozenset(columns)
    return policy.PurposeView(purpose, named, rows, consent, tuple(sorted((masks or {}).items())))


async def check_said_again(
    session: AsyncSession,
    dataset_id: str,
    purpose: str,
    consent: bool | None,
    masks: Mapping[str, str] | None,
) -> list[Fault]:
    """What protects people in the view that is there, and is not spoken of in the one to come."""
    view = await session.get(PurposeView, (dataset_id, purpose), with_for_update=True)
    faults = []
    if view is not None and view.consent and consent is None:
        faults.append(Fault(
            "/consent", "not_said_again",
            "今の設定は本人の同意を求めています。true か false を書いてください。",
            "The view asks for consent now. Say true or false.",
        ))  # fmt: skip
    if view is not None and view.masks and masks is None:
        faults.append(Fault(
            "/masks", "not_said_again",
            "今の設定には masks があります。残すものを書いてください。なくす場合は {} です。",
            "The view has masks now. Give those that are to stay, or {} for none.",
        ))  # fmt: skip
    return faults


def check_consent(consent: bool, subject: str | None) -> list[Fault]:
    """What is wrong with asking for consent, if anything: whose it would be must be told."""
    if not consent or subject is not None:
        return []
    return [Fault(
        "/consent", "subject_not_declared",
        "先にデータセットの本人を示す項目（subject）を宣言してください。",
        "First declare the dataset's field that names the person (subject).",
    )]  # fmt: skip


def check_masks(
    masks: Mapping[str, str],
    columns: Sequence[str] | None,
    fields: Mapping[str, Field],
    subject: str | None,
) -> list[Fault]:
    """What is wrong with masks: one of no field, of one that is not let out, or not of its type.

    A part of a name would be the same for every reader: two could join their people by it.
    """
    faults = []
    for name, mask in masks.items():
        where = "/masks/" + name.replace("~", "~0").replace("/", "~1")
        if name not in fields or (columns is not None and name not in columns):
            faults.append(
                Fault(
                    where, "unknown_column", f"列 {name} は使えません。",
                    f"The column {name} is not available.",
                )
            )  # fmt: skip
            continue
        if name == subject and mask not in (Way.DROP, Way.PSEUDONYMISE):
            faults.append(
                Fault(
                    where, "invalid_mask", "本人を示す項目は drop か pseudonymise だけです。",
                    "The field that names the person takes drop or pseudonymise.",
                )
            )  # fmt: skip
            continue
        try:
            read_mask(mask, fields[name])
        except NotAMask as wrong:
            faults.append(Fault(where, "invalid_mask", wrong.ja, wrong.en))
    return faults


def about_key(dataset_id: str) -> str:
    """What a dataset's key is sealed for."""
    return f"pseudonyms of {dataset_id}"


async def find_key(session: AsyncSession, dataset_id: str) -> bytes | None:
    """The dataset's key of stand-ins, sealed, where one was ever needed."""
    found = await session.get(PseudonymKey, dataset_id)
    return found.sealed if found is not None else None


async def _ensure_key(session: AsyncSession, dataset_id: str, sealer: Sealer) -> None:
    """Made once and kept when views go: stand-ins given out stay those of the same people."""
    sealed = sealer.seal(secrets.token_bytes(_KEY_BYTES), about=about_key(dataset_id))
    made = {"dataset_id": dataset_id, "sealed": sealed, "made_at": clock.now()}
    await session.execute(insert(PseudonymKey).values(made).on_conflict_do_nothing())


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
    bounds: Bounds,
    *,
    sealer: Sealer,
    by: str,
) -> PurposeView:
    """Declare what may leave for a purpose, whether or not something was declared before."""
    view = await session.get(PurposeView, (dataset_id, purpose), with_for_update=True)
    if view is None:
        view = PurposeView(dataset_id=dataset_id, purpose=purpose)
        session.add(view)
    columns = bounds.columns
    view.columns = None if columns is None else list(dict.fromkeys(columns))
    view.rows, view.consent = bounds.rows, bounds.consent
    view.masks = dict(bounds.masks) or None
    view.set_at, view.set_by = clock.now(), by
    await session.flush()
    if Way.PSEUDONYMISE in bounds.masks.values():
        await _ensure_key(session, dataset_id, sealer)
    await audit.append(
        session, Event.PURPOSE_VIEW_SET, dataset=dataset_id, purpose=purpose,
        columns=view.columns, bounds_rows=bounds.rows is not None, consent=bounds.consent,
        masks=view.masks, by=by,
    )  # fmt: skip
    return view


async def remove(session: AsyncSession, dataset_id: str, purpose: str, *, by: str) -> None:
    """Take a view back: what was agreed leaves whole again. Raises `PurposeViewNotFound`."""
    await session.delete(await get_view(session, dataset_id, purpose, lock=True))
    await session.flush()
    await audit.append(
        session, Event.PURPOSE_VIEW_REMOVED, dataset=dataset_id, purpose=purpose, by=by
    )
