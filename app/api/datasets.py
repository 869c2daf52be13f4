"""The door to the catalogue: datasets found, registered, changed and withdrawn."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.datastructures import URL

from app.api.access import (
    SCOPED_CODES,
    CatalogueWriter,
    OptionalCaller,
    PlatformDep,
    Reading,
    Writing,
)
from app.api.dataset_shapes import (
    CatalogueOut,
    DatasetId,
    DatasetIn,
    DatasetOut,
    DatasetPatch,
    MappingStepIn,
    WithdrawalIn,
)
from app.api.linkage_openapi import JSON_SCHEMA, TABLE_SCHEMA
from app.api.ogc.answering import ROOT as MAPS
from app.api.ownership import TERMS_CODE, Owned, owner_code
from app.api.paging import Cursor, after, cursor_of
from app.api.problem import problems
from app.api.sessions import writing_in
from app.api.shapes import Since
from app.api.state import Platform
from app.api.tagged import tagged
from app.catalogue import (
    datasets,
    files,
    mapping_examples,
    opendata,
    schema,
    search,
    versions,
)
from app.catalogue.datasets import NewDataset
from app.catalogue.placed import is_placed
from app.catalogue.search import Search
from app.formats.shelf.dcat import dataset_address
from app.models.datasets import DataClass, Dataset, DatasetState
from app.models.parties import Organization
from app.policy.facts import Caller
from app.query.codes import CodeError, local_government_code
from app.query.fields import Field as KnownField
from app.query.params import MOST_ROWS, read_box, read_moment
from app.query.refusals import wrong

router = APIRouter(prefix="/v1/datasets", tags=["Datasets"])
_UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "One's copy is still right"}}
_SCHEMA: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "application/json": {"schema": TABLE_SCHEMA},
            "application/schema+json": {
                "schema": JSON_SCHEMA,
                "example": {
                    "$schema": "https://json-schema.org/draft/2020-12/schema",
                    "type": "object",
                    "properties": {"no": {"type": "string", "title": "番号"}},
                    "required": ["no"],
                },
            },
        }
    }
}


@router.head("", include_in_schema=False)
@router.get(
    "",
    response_model=CatalogueOut,
    summary="Search the catalogue",
    responses=problems(
        "invalid_token", "authorization_malformed", "invalid_cursor", "invalid_parameter"
    )
    | _UNCHANGED,
)
async def search_datasets(  # noqa: PLR0913, PLR0917 - the parameters of the interface
    request: Request,
    caller: OptionalCaller,
    platform: PlatformDep,
    session: Reading,
    q: Annotated[
        str | None, Query(description="Words, in any kana and form; the best hits first")
    ] = None,
    theme: Annotated[str | None, Query(max_length=60)] = None,
    publisher: Annotated[str | None, Query(max_length=63)] = None,
    data_class: Annotated[DataClass | None, Query(alias="class")] = None,
    profile: Annotated[str | None, Query(max_length=63)] = None,
    municipality: Annotated[
        str | None, Query(max_length=6, description="Code, 5 or 6 digits")
    ] = None,
    bbox: Annotated[str | None, Query(max_length=200, description="west,south,east,north")] = None,
    modified_since: Since | None = None,
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS, description="At most so many entries")] = 100,
    cursor: Cursor = None,
) -> Response:
    """Everything registered, also what the caller may not read: that a dataset exists is known."""
    viewer = caller.client.organization_id if caller else None
    wanted = Search(
        words=q,
        theme=theme,
        publisher=publisher,
        data_class=data_class,
        profile=profile,
        municipality=_code(municipality),
        modified_since=modified_since,
        box=read_box(bbox),
        viewer=viewer,
        after=after(cursor),
        limit=limit,
    )
    found = await search.search(session, wanted)
    shown = await _shown(session, platform.issuer, *found.datasets)
    # Never the Host header: whoever sends it could have others follow links to him.
    here = URL(f"{platform.issuer}/v1/datasets").replace(query=request.url.query)
    links = [{"rel": "self", "href": str(here)}]
    headers = {}
    if found.next is not None:
        following = str(here.include_query_params(cursor=cursor_of(found.next)))
        links.append({"rel": "next", "href": following})
        headers["Link"] = f'<{following}>; rel="next"'
    told = {"numberReturned": len(shown), "datasets": shown, "links": links}
    body = await asyncio.to_thread(_encoded, told)  # hundreds take longer than others should wait
    return tagged(request, body, headers=headers)


def _encoded(told: dict[str, Any]) -> bytes:
    return CatalogueOut.model_validate(told).model_dump_json().encode()


@router.head("/{dataset_id}", include_in_schema=False)
@router.get(
    "/{dataset_id}",
    response_model=DatasetOut,
    summary="Show one dataset",
    responses=problems("invalid_token", "authorization_malformed", "dataset_not_found")
    | _UNCHANGED,
)
async def show_dataset(
    dataset_id: DatasetId,
    request: Request,
    caller: OptionalCaller,
    platform: PlatformDep,
    session: Reading,
) -> Response:
    """One entry with its fields, steward and licence."""
    viewer = caller.client.organization_id if caller else None
    dataset = await datasets.get_visible(session, dataset_id, viewer=viewer)
    shown = (await _shown(session, platform.issuer, dataset))[0]
    return tagged(request, DatasetOut.model_validate(shown).model_dump_json().encode())


@router.head("/{dataset_id}/schema", include_in_schema=False)
@router.get(
    "/{dataset_id}/schema",
    summary="Show the schema of a record",
    responses=problems(
        "invalid_token", "authorization_malformed", "dataset_not_found", "version_not_found"
    )
    | _UNCHANGED
    | _SCHEMA,
)
async def show_schema(  # noqa: PLR0913, PLR0917 - the parameters of the interface
    dataset_id: DatasetId,
    request: Request,
    caller: OptionalCaller,
    platform: PlatformDep,
    session: Reading,
    number: Annotated[int | None, Query(alias="version", ge=1, le=2**31 - 1)] = None,
    as_of: Annotated[str | None, Query(max_length=60, description="As readers got it then")] = None,
    f: Literal["jsonschema", "tableschema"] = "jsonschema",
) -> Response:
    """JSON Schema 2020-12 of a record, or Frictionless Table Schema with `f=tableschema`."""
    viewer = caller.client.organization_id if caller else None
    dataset = await datasets.get_visible(session, dataset_id, viewer=viewer)
    fields = await _fields_asked(session, dataset, number, as_of)
    if f == "tableschema":
        return tagged(request, orjson.dumps(schema.table_schema(fields)))
    made = schema.json_schema(dataset, fields, platform.issuer)
    return tagged(request, orjson.dumps(made), media_type="application/schema+json")


@router.post(
    "",
    response_model=DatasetOut,
    status_code=201,
    summary="Register a dataset",
    responses=problems(
        *SCOPED_CODES, owner_code(), TERMS_CODE, "dataset_invalid", "dataset_exists"
    ),
)
async def register_dataset(
    body: DatasetIn, caller: CatalogueWriter, platform: PlatformDep, session: Writing
) -> dict[str, Any]:
    """Enter a dataset of your own organisation. Its records come by file or by POST /records."""
    new = new_dataset(body, caller.client.organization_id)
    await Owned.check_may_publish(session, new.publisher_id, caller)
    dataset = await datasets.register(session, new, by=caller.client.actor)
    return (await _shown(session, platform.issuer, dataset))[0]


@router.patch(
    "/{dataset_id}",
    response_model=DatasetOut,
    summary="Change an entry",
    responses=problems(
        *SCOPED_CODES, owner_code(), "dataset_not_found", "dataset_invalid", "preview_failed"
    ),
)
async def change_dataset(
    dataset_id: DatasetId,
    body: DatasetPatch,
    request: Request,
    caller: CatalogueWriter,
    platform: PlatformDep,
    session: Writing,
) -> dict[str, Any]:
    """Change the description. Class and zone stay: they take a new dataset. Fields, mapping and
    reading are for the next file: versions that exist stay as they are."""
    changes = _changes(body)
    await _check_examples(request, platform, dataset_id, changes, caller)
    await Owned.dataset(session, dataset_id, caller)
    changed = await datasets.change(session, dataset_id, changes, by=caller.client.actor)
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
    """End a dataset: readers get 410 with the reason; the log and the rows stay, and its id is
    given to no other."""
    await Owned.dataset(session, dataset_id, caller)
    by = caller.client.actor
    ended = await datasets.withdraw(session, dataset_id, reason=body.reason, by=by)
    return (await _shown(session, platform.issuer, ended))[0]


@router.post(
    "/{dataset_id}/reinstate",
    response_model=DatasetOut,
    summary="Take a withdrawal back",
    responses=problems(
        *SCOPED_CODES, owner_code(), "dataset_not_found", "dataset_not_withdrawn",
        "license_missing",
    ),
)  # fmt: skip
async def reinstate_dataset(
    dataset_id: DatasetId,
    body: WithdrawalIn,
    caller: CatalogueWriter,
    platform: PlatformDep,
    session: Writing,
) -> dict[str, Any]:
    """Readers get the dataset again by its own addresses; the reason stands in the log."""
    await Owned.dataset(session, dataset_id, caller)
    by = caller.client.actor
    again = await datasets.reinstate(session, dataset_id, reason=body.reason, by=by)
    return (await _shown(session, platform.issuer, again))[0]


async def _fields_asked(
    session: AsyncSession, dataset: Dataset, number: int | None, as_of: str | None
) -> Sequence[KnownField]:
    """The fields of one version: by number, by time, or of the one that readers get."""
    if as_of is not None:
        if number is not None:
            raise wrong("as_of", "version とは併用できません。", "does not go with version.")
        return await versions.fields_at(session, dataset.id, read_moment(as_of))
    if number is not None:
        return await versions.published_fields(session, dataset.id, number)
    return (await datasets.fields_of(session, dataset))[dataset.id]


def _code(text: str | None) -> str | None:
    """A local government code of six digits; five are completed. Raises `InvalidQuestion`."""
    if text is None:
        return None
    try:
        return local_government_code(text)
    except CodeError:
        raise wrong(
            "municipality",
            "検査数字を含む6桁の地方公共団体コードです。",
            "is a local government code of six digits, check digit included.",
            "wrong_check_digit",
        ) from None


def new_dataset(body: DatasetIn, organization_id: str | None) -> NewDataset:
    """What the body says, published by `organization_id` unless it names another."""
    given = body.model_dump(exclude={"publisher", "steward", "profile", "mapping"})
    return NewDataset(
        **{**given, "themes": tuple(body.themes)},
        publisher_id=body.publisher or organization_id,
        steward_name=body.steward.name,
        steward_email=body.steward.email,
        profile=(body.profile.name, body.profile.version) if body.profile else None,
        mapping=mapping_steps(body.mapping) if body.mapping is not None else None,
    )


def mapping_steps(steps: Sequence[MappingStepIn]) -> list[dict[str, Any]]:
    """The steps as they are stored."""
    return [step.model_dump(by_alias=True, exclude_unset=True) for step in steps]


async def _check_examples(
    request: Request, platform: Platform, dataset_id: str, changes: dict[str, Any], caller: Caller
) -> None:
    """That the examples of the connector that feeds the dataset will hold."""
    if changes.keys().isdisjoint(("fields", "mapping")):
        return
    async with writing_in(request, platform) as session:
        await Owned.dataset(session, dataset_id, caller)
        tried = await mapping_examples.of_dataset(session, dataset_id, changes)
    await mapping_examples.check_dataset(platform.previews, tried)


def _changes(body: DatasetPatch) -> dict[str, Any]:
    changes = body.model_dump(exclude_unset=True, exclude={"steward", "mapping"})
    if body.mapping is not None:
        changes["mapping"] = mapping_steps(body.mapping)
    if body.steward is not None:
        changes |= {"steward_name": body.steward.name, "steward_email": body.steward.email}
    return changes


async def _shown(session: AsyncSession, issuer: str, *wanted: Dataset) -> list[dict[str, Any]]:
    """Entries as they are shown, with the fields of the version that readers get."""
    fields = await datasets.fields_of(session, *wanted)
    publishers = await datasets.publishers_of(session, *wanted)
    return [_entry(each, fields[each.id], publishers[each.publisher_id], issuer) for each in wanted]


def _entry(
    dataset: Dataset, fields: Sequence[KnownField], publisher: Organization, issuer: str
) -> dict[str, Any]:
    reference = {"name": dataset.profile_name, "version": dataset.profile_version}
    known = [name for name in DatasetOut.model_fields if hasattr(dataset, name)]
    return {
        **{name: getattr(dataset, name) for name in known},
        "publisher": publisher,
        "steward": {"name": dataset.steward_name, "email": dataset.steward_email},
        "profile": reference if dataset.profile_name else None,
        "version": dataset.current_version,
        "fields": [field.as_json() for field in fields],
        "links": [
            {"rel": rel, "href": href} for rel, href in _leads_to(dataset, fields, issuer).items()
        ],
    }


def _leads_to(dataset: Dataset, fields: Sequence[KnownField], issuer: str) -> dict[str, str]:
    """The addresses at which more of the dataset is had: only those that answer. Of what is at
    hand, for a thousand entries are shown at once."""
    base = f"{issuer}/v1/datasets/{dataset.id}"
    found = {"self": base, "describedby": f"{base}/schema", "items": f"{base}/records"}
    found |= {"aggregate": f"{base}/aggregate", "quality": f"{base}/quality"}
    if dataset.current_version is None or dataset.state != DatasetState.ACTIVE:
        return found
    if not files.has_none(dataset):
        found["enclosure"] = f"{base}/files"
    if is_placed(fields):
        found["features"] = f"{issuer}{MAPS}/collections/{dataset.id}"
    if opendata.is_told(dataset):
        found["alternate"] = dataset_address(dataset.id, issuer)
    return found
