"""The door to the quality of versions: figures and mends, no cell of any record."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from app.api.access import OptionalCaller, Reading
from app.api.dataset_shapes import DatasetId
from app.api.problem import problems
from app.api.shapes import OutShape, Time
from app.api.tagged import tagged
from app.catalogue import datasets, quality

router = APIRouter(tags=["Quality"])


class DimensionOut(OutShape):
    """One of the six dimensions: `points` = `weight` × `score` / 100; the points make the total."""

    name: str
    label_ja: str
    label_en: str
    weight: int
    score: int
    points: float


class FailedOut(OutShape):
    """One rule that the version does not keep: how many rows, the first of them, and the mend.

    `first` are lines of the file for rejected rows, rows of the version for texts such as 不明, and
    keys for lost keys (of public data).
    """

    dimension: str
    code: str
    field: str | None
    rows: int | None
    first: list[str]
    mend_ja: str
    mend_en: str


class FillOut(OutShape):
    """How much of a field is filled in, from 0 to 1."""

    name: str
    label: str
    filled: int
    fill_rate: float


class TrendOut(OutShape):
    """The score of a published version, as on the day of its loading."""

    version: int
    at: Time
    score: float


class QualityOut(OutShape):
    """The quality of a version, 0 to 100."""

    dataset: str
    version: int
    revision: int
    score: float
    stars: int
    records: int
    updated_at: Time
    due_at: Time | None
    dimensions: list[DimensionOut]
    failed: list[FailedOut]
    fields: list[FillOut]
    trend: list[TrendOut]


@router.head("/v1/datasets/{dataset_id}/quality", include_in_schema=False)
@router.get(
    "/v1/datasets/{dataset_id}/quality",
    response_model=QualityOut,
    summary="Show the quality of a version",
    responses=problems(
        "invalid_token", "authorization_malformed", "dataset_not_found", "version_not_found",
        "no_version_published", "quality_not_shown", "quality_not_measured",
    )
    | {304: {"description": "One's copy is still right"}},
)  # fmt: skip
async def show_quality(
    dataset_id: DatasetId,
    request: Request,
    caller: OptionalCaller,
    session: Reading,
    number: Annotated[
        int | None, Query(alias="version", ge=1, le=2**31 - 1, description="The current if absent")
    ] = None,
) -> Response:
    """The score with its parts, every rule that failed with its mend, fill rates and the trend.

    Everybody sees that of public and internal data; that of other classes is its publisher's own.
    """
    viewer = caller.client.organization_id if caller else None
    dataset = await datasets.get_visible(session, dataset_id, viewer=viewer)
    found: dict[str, Any] = await quality.report(session, dataset, number, viewer=viewer)
    return tagged(request, QualityOut.model_validate(found).model_dump_json().encode())
