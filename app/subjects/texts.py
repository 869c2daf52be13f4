"""What somebody is shown before they consent: what leaves, from whom, to whom, why and until when.

Made from the catalogue, the agreements in force and the publisher's view of the purpose, never from
what a caller says. Its hash names it for ever.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit import clock
from app.kit.errors import AppError, Kind
from app.models.agreements import Agreement, AgreementExclusion, AgreementState, Purpose
from app.models.consents import ConsentText
from app.models.datasets import Dataset
from app.models.onboarding import GroupMember
from app.models.parties import Organization
from app.models.views import PurposeView
from app.query.masks import Way


class NothingToConsentTo(AppError):
    """Nothing of the dataset would leave to the consumer for the purpose by consent."""

    kind = Kind.CONFLICT
    code = "nothing_to_consent_to"
    ja = (
        "データセット {dataset} を利用目的 {purpose} のために {consumer} に提供する、本人の同意による"
        "有効な協定はありません。データセット、利用目的、提供先を確認してください。"
    )
    en = (
        "No agreement is in force by which the dataset {dataset} goes to {consumer} for the purpose"
        " {purpose} with each person's consent. Check the dataset, the purpose and the consumer."
    )


async def offer(
    session: AsyncSession, *, dataset_id: str, consumer_id: str, purpose: str
) -> ConsentText:
    """What would be shown now, kept under its hash. Raises `NothingToConsentTo`.

    It is written when it is first made, so the session is one that commits.
    """
    now = clock.now()
    view = await session.get(PurposeView, (dataset_id, purpose))
    agreed = await _agreed(session, dataset_id, consumer_id, purpose, now)
    columns = {name for each in agreed for name in each.columns}
    if view is not None and view.columns is not None:
        columns &= set(view.columns)
    if view is not None:
        # Of what is masked the whole is consented to, and less leaves; of what is dropped nothing.
        columns -= {name for name, mask in (view.masks or {}).items() if mask == Way.DROP}
    dataset = await session.get(Dataset, dataset_id)
    is_asked = view is not None and view.consent and dataset is not None
    if dataset is None or not is_asked or dataset.subject is None or not columns:
        raise NothingToConsentTo(dataset=dataset_id, consumer=consumer_id, purpose=purpose)
    until = max(each.valid_until for each in agreed)
    return await _kept(session, dataset, consumer_id, purpose, sorted(columns), until, now)


async def _agreed(
    session: AsyncSession, dataset_id: str, consumer_id: str, purpose: str, now: datetime
) -> Sequence[Agreement]:
    """The agreements in force under which the consumer reads for the purpose."""
    found = select(Agreement).where(
        Agreement.dataset_id == dataset_id,
        Agreement.purpose == purpose,
        Agreement.state == AgreementState.ACTIVE,
        Agreement.valid_from <= now,
        Agreement.valid_until > now,
        Agreement.actions.overlap(["read"]),
        or_(
            and_(Agreement.group_id.is_(None), Agreement.consumer_id == consumer_id),
            Agreement.group_id.in_(_groups_of(consumer_id, now)),
        ),
        ~select(AgreementExclusion)
        .where(
            AgreementExclusion.series == Agreement.series,
            AgreementExclusion.organization_id == consumer_id,
        )
        .exists(),
    )
    return (await session.scalars(found)).all()


def _groups_of(organization_id: str, now: datetime) -> Any:
    """Of which groups it is a member today: days are days in Japan."""
    today = now.astimezone(clock.TOKYO).date()
    in_time: ColumnElement[bool] = and_(
        GroupMember.since <= today, or_(GroupMember.until.is_(None), GroupMember.until > today)
    )
    return select(GroupMember.group_id).where(
        GroupMember.organization_id == organization_id, GroupMember.ended_at.is_(None), in_time
    )


async def _kept(
    session: AsyncSession, dataset: Dataset, consumer_id: str, purpose: str,
    columns: list[str], until: datetime, now: datetime,
) -> ConsentText:  # fmt: skip
    """The text of just this, made once."""
    on = {
        "dataset_id": dataset.id,
        "provider_id": dataset.publisher_id,
        "consumer_id": consumer_id,
        "purpose": purpose,
        "columns": columns,
    }
    ja, en = await _words(session, dataset, consumer_id, purpose, columns, until)
    told = {**on, "valid_until": until.astimezone(clock.TOKYO).isoformat(), "ja": ja, "en": en}
    body = orjson.dumps(told, option=orjson.OPT_SORT_KEYS).decode()
    sha256 = hashlib.sha256(body.encode()).hexdigest()
    made = {**on, "sha256": sha256, "valid_until": until, "ja": ja, "en": en, "body": body}
    await session.execute(insert(ConsentText).values(**made, made_at=now).on_conflict_do_nothing())
    return await session.get_one(ConsentText, sha256)


async def _words(
    session: AsyncSession, dataset: Dataset, consumer_id: str, purpose: str,
    columns: Sequence[str], until: datetime,
) -> tuple[str, str]:  # fmt: skip
    provider = await session.get_one(Organization, dataset.publisher_id)
    consumer = await session.get_one(Organization, consumer_id)
    why = await session.get_one(Purpose, purpose)
    labels = {each["name"]: each["label"] for each in dataset.fields or ()}
    day = until.astimezone(clock.TOKYO).strftime("%Y-%m-%d %H:%M")
    ja = (
        f"{provider.name_ja}（{provider.id}）が保有する「{dataset.title_ja}」（{dataset.id}）のうち、"
        f"あなたに関する次の項目を、{consumer.name_ja}（{consumer.id}）に提供することに同意します。\n"
        f"項目: {'、'.join(labels.get(name, name) for name in columns)}\n"
        f"利用目的: {why.name_ja}（{purpose}）\n期限: {day}（日本時間）まで\n"
        "同意はいつでも撤回できます。撤回した後の照会には、あなたの情報は提供されません。"
        "撤回の前に提供された情報は、提供先の規程に従って扱われます。"
    )
    en = (
        f"I consent to {provider.name_en or provider.name_ja} ({provider.id}) giving"
        f" {consumer.name_en or consumer.name_ja} ({consumer.id}) the following about me from"
        f' "{dataset.title_en or dataset.title_ja}" ({dataset.id}).\n'
        f"Fields: {', '.join(columns)}\n"
        f"Purpose: {why.name_en} ({purpose})\nUntil: {day} (Japan time)\n"
        "I may withdraw at any time: nothing about me is given to any request after that. What was"
        " given before is handled by the rules of whoever received it."
    )
    return ja, en
