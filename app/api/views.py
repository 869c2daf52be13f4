"""The door to purpose views: what a publisher lets out for one purpose at most. Gives no record."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import ConfigDict, Field, StringConstraints, model_validator

from app.agreements.rows import MOST_CHARACTERS, check_rows
from app.agreements.terms import check_columns, check_purpose
from app.api.access import SCOPED_CODES, CatalogueWriter, PlatformDep, Reading, Writing
from app.api.dataset_shapes import DatasetId
from app.api.ownership import Owned, owner_code
from app.api.problem import problems
from app.api.shapes import LONGEST_BODY, InShape, Name, OutShape, PlainText, Time
from app.catalogue import views
from app.catalogue.refusals import DatasetInvalid
from app.models.views import PurposeView

router = APIRouter(
    prefix="/v1/datasets/{dataset_id}/purposes",
    tags=["Purpose views"],
    max_body_size=LONGEST_BODY,
)
_OWNED = (*SCOPED_CODES, owner_code(), "dataset_not_found")
_Purpose = Annotated[str, Path(max_length=100)]


class PurposeViewIn(InShape):
    """What may leave for the purpose at most: columns, rows, masked values, whether only with
    consent, or some of these.

    A field with a mask is shown by what the mask leaves of its values, in records alone, and can be
    named in no condition, sort, join, aggregate or key.

    It takes the place of the view that the purpose has. Whether that one asks for consent, and its
    masks, must be said again: what protects people does not end by being left out.
    """

    columns: Annotated[list[Name] | None, Field(min_length=1, max_length=1000)] = None
    rows: Annotated[
        Annotated[str, StringConstraints(min_length=1, max_length=MOST_CHARACTERS), PlainText]
        | None,
        Field(description="CQL2 Text over any of the dataset's fields"),
    ] = None

    consent: Annotated[
        bool | None,
        Field(
            description="of whom consents alone: the dataset's `subject` names the person of each"
            " record, and to others than its publisher a record leaves while they consent"
        ),
    ] = None
    masks: Annotated[
        dict[Name, Annotated[str, StringConstraints(min_length=1, max_length=40), PlainText]]
        | None,
        Field(
            max_length=1000,
            description=(
                "By field: `drop`, `pseudonymise` (a stand-in of the reading organisation's own),"
                " `year`, `month`, `prefecture`, `bin(10)` (the lower edge of the band), `first(3)`"
                " characters, `round(2)` decimals of degrees, `mesh1` to `mesh6` (the middle of the"
                " standard grid square)"
            ),
        ),
    ] = None

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "columns": ["name", "capacity"],
                "rows": "capacity >= 10",
                "masks": {"capacity": "bin(50)"},
            }
        }
    )

    @model_validator(mode="after")
    def _bounds_something(self) -> "PurposeViewIn":
        if self.columns is None and self.rows is None and not self.masks and not self.consent:
            raise ValueError("give columns, rows, masks, consent or some of these")
        return self


class PurposeViewOut(OutShape):
    """A view, and who declared it when."""

    purpose: str
    columns: list[str] | None
    rows: str | None
    consent: bool
    masks: dict[str, str] | None
    set_at: Time
    set_by: str


@router.get(
    "",
    response_model=list[PurposeViewOut],
    summary="List a dataset's purpose views",
    responses=problems(*_OWNED),
)
async def list_views(
    dataset_id: DatasetId, caller: CatalogueWriter, session: Reading
) -> Sequence[PurposeView]:
    """What each purpose is bounded by. A purpose without a view is bounded by agreements alone."""
    await Owned.dataset(session, dataset_id, caller)
    return await views.list_views(session, dataset_id)


@router.get(
    "/{purpose}",
    response_model=PurposeViewOut,
    summary="Get a purpose view",
    responses=problems(*_OWNED, "purpose_view_not_found"),
)
async def get_view(
    dataset_id: DatasetId, purpose: _Purpose, caller: CatalogueWriter, session: Reading
) -> PurposeView:
    """What may leave for this purpose at most."""
    await Owned.dataset(session, dataset_id, caller)
    return await views.get_view(session, dataset_id, purpose)


@router.put(
    "/{purpose}",
    response_model=PurposeViewOut,
    summary="Declare a purpose view",
    responses=problems(*_OWNED, "dataset_invalid"),
)
async def set_view(
    dataset_id: DatasetId, purpose: _Purpose, body: PurposeViewIn,
    caller: CatalogueWriter, platform: PlatformDep, session: Writing,
) -> PurposeView:  # fmt: skip
    """Bounds every reader but the publisher's own organisation, whatever was agreed.

    In force on every replica within two seconds. Data that is public stays public.
    """
    dataset = await Owned.dataset(session, dataset_id, caller)
    fields = (await platform.snapshot.dataset(dataset_id)).entry.fields
    faults = [*await check_purpose(session, purpose), *check_rows(body.rows, fields)]
    faults += await views.check_said_again(session, dataset_id, purpose, body.consent, body.masks)
    faults += views.check_consent(bool(body.consent), dataset.subject)
    faults += check_columns(body.columns, fields) if body.columns is not None else []
    faults += views.check_masks(body.masks or {}, body.columns, fields, dataset.subject)
    if faults:
        raise DatasetInvalid(faults=faults)
    bounds = views.Bounds(body.columns, body.rows, bool(body.consent), body.masks or {})
    by = caller.client.actor
    return await views.put(session, dataset_id, purpose, bounds, sealer=platform.sealer, by=by)


@router.delete(
    "/{purpose}",
    status_code=204,
    summary="Take a purpose view back",
    responses=problems(*_OWNED, "purpose_view_not_found"),
)
async def remove_view(
    dataset_id: DatasetId, purpose: _Purpose, caller: CatalogueWriter, session: Writing
) -> None:
    """Agreements alone bound the purpose again."""
    await Owned.dataset(session, dataset_id, caller)
    await views.remove(session, dataset_id, purpose, by=caller.client.actor)
