"""The door to the catalogue: datasets found, registered, changed and withdrawn."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import ConfigDict, Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.access import (
    SCOPED_CODES,
    CatalogueWriter,
    OptionalCaller,
    PlatformDep,
    Reading,
    Writing,
)
from app.api.ownership import Owned, owner_code
from app.api.paging import Cursor, Limit, after, page
from app.api.problem import problems
from app.api.shapes import InShape, Name, OutShape, Slug, Text
from app.catalogue import datasets, schema
from app.catalogue.datasets import NewDataset, Search
from app.models.datasets import DataClass, Dataset
from app.models.parties import Zone
from app.query.fields import Field as KnownField
from app.query.fields import FieldType, Visibility

router = APIRouter(prefix="/v1/datasets", tags=["Datasets"])
FieldName = Annotated[str, StringConstraints(min_length=1, max_length=60)]
Email = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$", max_length=200)]
DatasetId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,62}$")]
Theme = Annotated[str, StringConstraints(min_length=1, max_length=60)]
Frequency = Literal[
    "continuous", "hourly", "daily", "weekly", "monthly", "quarterly", "annual", "irregular",
    "once",
]  # fmt: skip


class StewardShape(InShape):
    """The post that answers for the data, and where to write to it."""

    name: Name
    email: Email | None = None


class ProfileRef(InShape):
    """A version of a standard layout."""

    name: Slug
    version: Annotated[int, Field(ge=1, le=10_000)]


class FieldIn(InShape):
    """One field: its name on the wire, the Japanese label, and what it holds."""

    name: FieldName
    label: Name | None = None
    type: FieldType
    key: bool = False
    required: bool = False
    unit: Name | None = None
    code_list: dict[Name, Name] | None = None
    visibility: Visibility | None = None
    description: Text | None = None


class JoinIn(InShape):
    """Another dataset whose record stands beside each record on `expand`."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,59}$")]
    dataset: DatasetId
    here: FieldName
    there: FieldName
    as_of: FieldName | None = None
    stale_after_seconds: Annotated[int, Field(ge=1, le=10**9)] | None = None


class MappingStepIn(InShape):
    """How one field is got from the columns of a file."""

    to: FieldName
    from_: list[Name] | None = Field(default=None, alias="from", max_length=50)
    constant: Text | None = None
    pattern: Annotated[str, StringConstraints(max_length=500)] | None = None
    codes: dict[Name, Text] | None = None
    default: Text | None = None
    normalize: Name | None = None


class DatasetIn(InShape):
    """A dataset to register. The class is `restricted` unless said otherwise."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "parks",
                "title_ja": "公園一覧",
                "title_en": "Parks",
                "steward": {"name": "建設局 公園課", "email": "parks@example.jp"},
                "data_class": "public",
                "license": "CC-BY-4.0",
                "update_frequency": "monthly",
                "fields": [
                    {"name": "no", "label": "番号", "type": "code", "key": True},
                    {"name": "name", "label": "名称", "type": "text", "required": True},
                ],
            }
        }
    )

    id: DatasetId | None = None
    title_ja: Name
    title_en: Name | None = None
    title_kana: Name | None = None
    description_ja: Text | None = None
    description_en: Text | None = None
    publisher: Name | None = Field(default=None, description="Your own organisation if absent")
    steward: StewardShape
    data_class: DataClass = DataClass.RESTRICTED
    zone: Zone = Zone.INTERNET
    license: Name | None = None
    update_frequency: Frequency
    legal_basis: Text | None = None
    source_system: Name | None = None
    themes: Annotated[list[Theme], Field(max_length=20, default_factory=list)]
    hidden: bool = False
    profile: ProfileRef | None = None
    fields: Annotated[list[FieldIn], Field(min_length=1, max_length=1_500)] | None = None
    mapping: Annotated[list[MappingStepIn], Field(max_length=1_500)] | None = None
    joins: Annotated[list[JoinIn], Field(max_length=10)] | None = None


class DatasetPatch(InShape):
    """What may change of an entry. Absent: stays as it is."""

    model_config = ConfigDict(json_schema_extra={"example": {"license": "CC-BY-4.0"}})

    title_ja: Name | None = None
    title_en: Name | None = None
    title_kana: Name | None = None
    description_ja: Text | None = None
    description_en: Text | None = None
    steward: StewardShape | None = None
    license: Name | None = None
    update_frequency: Frequency | None = None
    legal_basis: Text | None = None
    source_system: Name | None = None
    themes: Annotated[list[Theme], Field(max_length=20)] | None = None
    hidden: bool | None = None


class FieldOut(OutShape):
    """One field as the catalogue shows it."""

    name: str
    label: str
    type: FieldType
    key: bool
    required: bool
    unit: str | None
    code_list: dict[str, str] | None
    visibility: Visibility | None
    description: str | None


class StewardOut(OutShape):
    """The post that answers for the data."""

    name: str
    email: str | None


class LinkOut(OutShape):
    """Where to go from here."""

    rel: str
    href: str


class DatasetOut(OutShape):
    """One entry of the catalogue: what exists is told, whoever asks, unless it is hidden."""

    id: str
    title_ja: str
    title_en: str | None
    description_ja: str | None
    description_en: str | None
    publisher: str
    steward: StewardOut
    data_class: DataClass
    zone: Zone
    license: str | None
    update_frequency: str
    legal_basis: str | None
    source_system: str | None
    themes: list[str]
    hidden: bool
    profile: ProfileRef | None
    state: str
    version: int | None
    modified_at: datetime
    fields: list[FieldOut]
    links: list[LinkOut]


class CatalogueOut(OutShape):
    """One page of the catalogue."""

    numberReturned: int  # noqa: N815 - the interface's own name
    datasets: list[DatasetOut]
    links: list[LinkOut]


class WithdrawalIn(InShape):
    """Why the dataset ends; readers are told."""

    model_config = ConfigDict(json_schema_extra={"example": {"reason": "施設の統合により終了"}})

    reason: Text


@router.get(
    "",
    response_model=CatalogueOut,
    summary="Search the catalogue",
    responses=problems("invalid_token", "authorization_malformed", "invalid_cursor"),
)
async def search_datasets(  # noqa: PLR0913, PLR0917 - the parameters of the interface
    request: Request,
    caller: OptionalCaller,
    platform: PlatformDep,
    session: Reading,
    q: Annotated[str | None, Query(max_length=200, description="Words, in any kana")] = None,
    theme: Annotated[str | None, Query(max_length=60)] = None,
    publisher: Annotated[str | None, Query(max_length=63)] = None,
    data_class: Annotated[DataClass | None, Query(alias="class")] = None,
    profile: Annotated[str | None, Query(max_length=63)] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Everything registered, also what the caller may not read: that a dataset exists is known."""
    viewer = caller.client.organization_id if caller else None
    wanted = Search(q, theme, publisher, data_class, profile, viewer, after(cursor), limit)
    found = page(await datasets.search(session, wanted), limit, lambda dataset: dataset.id)
    shown = await _shown(session, platform.issuer, *found["items"])
    links = [{"rel": "self", "href": str(request.url)}]
    if found["next"]:
        links.append(
            {"rel": "next", "href": str(request.url.include_query_params(cursor=found["next"]))}
        )
    return {"numberReturned": len(shown), "datasets": shown, "links": links}


@router.get(
    "/{dataset_id}",
    response_model=DatasetOut,
    summary="Show one dataset",
    responses=problems("invalid_token", "authorization_malformed", "dataset_not_found"),
)
async def show_dataset(
    dataset_id: DatasetId, caller: OptionalCaller, platform: PlatformDep, session: Reading
) -> dict[str, Any]:
    """One entry with its fields, steward and licence."""
    viewer = caller.client.organization_id if caller else None
    dataset = await datasets.get_visible(session, dataset_id, viewer=viewer)
    return (await _shown(session, platform.issuer, dataset))[0]


@router.get(
    "/{dataset_id}/schema",
    summary="Show the schema of a record",
    responses=problems("invalid_token", "authorization_malformed", "dataset_not_found"),
)
async def show_schema(
    dataset_id: DatasetId,
    caller: OptionalCaller,
    platform: PlatformDep,
    session: Reading,
    f: Literal["jsonschema", "tableschema"] = "jsonschema",
) -> dict[str, Any]:
    """JSON Schema 2020-12 of a record, or Frictionless Table Schema with `f=tableschema`."""
    viewer = caller.client.organization_id if caller else None
    dataset = await datasets.get_visible(session, dataset_id, viewer=viewer)
    fields = (await datasets.fields_of(session, dataset))[dataset.id]
    if f == "tableschema":
        return schema.table_schema(fields)
    return schema.json_schema(dataset, fields, platform.issuer)


@router.post(
    "",
    response_model=DatasetOut,
    status_code=201,
    summary="Register a dataset",
    responses=problems(*SCOPED_CODES, owner_code(), "dataset_invalid", "dataset_exists"),
)
async def register_dataset(
    body: DatasetIn, caller: CatalogueWriter, platform: PlatformDep, session: Writing
) -> dict[str, Any]:
    """Enter a dataset of your own organisation. Its records come by file or by POST /records."""
    new = _new_dataset(body, caller.client.organization_id)
    await Owned.check_publisher(session, new.publisher_id, caller)
    dataset = await datasets.register(session, new, by=caller.client.client_id)
    return (await _shown(session, platform.issuer, dataset))[0]


@router.patch(
    "/{dataset_id}",
    response_model=DatasetOut,
    summary="Change an entry",
    responses=problems(*SCOPED_CODES, owner_code(), "dataset_not_found", "dataset_invalid"),
)
async def change_dataset(
    dataset_id: DatasetId,
    body: DatasetPatch,
    caller: CatalogueWriter,
    platform: PlatformDep,
    session: Writing,
) -> dict[str, Any]:
    """Change the description. Class, zone and fields stay: they take a new dataset or version."""
    await Owned.dataset(session, dataset_id, caller)
    changed = await datasets.change(session, dataset_id, _changes(body), by=caller.client.client_id)
    return (await _shown(session, platform.issuer, changed))[0]


@router.post(
    "/{dataset_id}/withdraw",
    response_model=DatasetOut,
    summary="Withdraw a dataset",
    responses=problems(*SCOPED_CODES, owner_code(), "dataset_not_found"),
)
async def withdraw_dataset(
    dataset_id: DatasetId,
    body: WithdrawalIn,
    caller: CatalogueWriter,
    platform: PlatformDep,
    session: Writing,
) -> dict[str, Any]:
    """End a dataset: readers get 410 with the reason; the log and the rows stay."""
    await Owned.dataset(session, dataset_id, caller)
    by = caller.client.client_id
    ended = await datasets.withdraw(session, dataset_id, reason=body.reason, by=by)
    return (await _shown(session, platform.issuer, ended))[0]


def _new_dataset(body: DatasetIn, organization_id: str) -> NewDataset:
    given = body.model_dump(exclude={"publisher", "steward", "profile", "mapping"})
    steps = [step.model_dump(by_alias=True, exclude_unset=True) for step in body.mapping or []]
    return NewDataset(
        **{**given, "themes": tuple(body.themes)},
        publisher_id=body.publisher or organization_id,
        steward_name=body.steward.name,
        steward_email=body.steward.email,
        profile=(body.profile.name, body.profile.version) if body.profile else None,
        mapping=steps if body.mapping is not None else None,
    )


def _changes(body: DatasetPatch) -> dict[str, Any]:
    changes = body.model_dump(exclude_unset=True, exclude={"steward"})
    if body.steward is not None:
        changes |= {"steward_name": body.steward.name, "steward_email": body.steward.email}
    return changes


async def _shown(session: AsyncSession, issuer: str, *wanted: Dataset) -> list[dict[str, Any]]:
    """Entries as they are shown, with the fields of the version that readers get."""
    fields = await datasets.fields_of(session, *wanted)
    return [_entry(each, fields[each.id], issuer) for each in wanted]


def _entry(dataset: Dataset, fields: Sequence[KnownField], issuer: str) -> dict[str, Any]:
    base = f"{issuer}/v1/datasets/{dataset.id}"
    named = {"self": base, "schema": f"{base}/schema", "records": f"{base}/records"}
    reference = {"name": dataset.profile_name, "version": dataset.profile_version}
    known = [name for name in DatasetOut.model_fields if hasattr(dataset, name)]
    return {
        **{name: getattr(dataset, name) for name in known},
        "publisher": dataset.publisher_id,
        "steward": {"name": dataset.steward_name, "email": dataset.steward_email},
        "profile": reference if dataset.profile_name else None,
        "version": dataset.current_version,
        "fields": [field.as_json() for field in fields],
        "links": [{"rel": rel, "href": href} for rel, href in named.items()],
    }
