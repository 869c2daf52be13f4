"""The door to names of people: an organisation's own, made for its registers. It looks nobody up."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from app.api.access import SCOPED_CODES, CatalogueWriter, PlatformDep, Writing
from app.api.problem import problems
from app.api.shapes import InShape, OutShape
from app.subjects import naming
from app.subjects.linker import MOST_AT_ONCE

router = APIRouter(prefix="/v1/subjects", tags=["Subjects"], max_body_size=4_096)


class SubjectsIn(InShape):
    """How many people are to be named."""

    model_config = ConfigDict(json_schema_extra={"example": {"count": 3}})

    count: Annotated[int, Field(ge=1, le=MOST_AT_ONCE)]


class SubjectsOut(OutShape):
    """Names of people, each of another one. They say nothing at another organisation."""

    names: list[str]


class SubjectKeyOut(OutShape):
    """The key by which names are made from now on: the how manieth of the organisation's."""

    number: int


@router.post(
    "",
    status_code=201,
    response_model=SubjectsOut,
    summary="Get names for people",
    responses=problems(*SCOPED_CODES),
)
async def name_people(
    body: SubjectsIn, caller: CatalogueWriter, platform: PlatformDep, session: Writing
) -> SubjectsOut:
    """Your organisation's names for people whom nobody has named before, for its own registers.

    Write one beside each person's records, in the field that the dataset declares as its `subject`.
    Whoever reads them under an agreement is told the names of its own organisation in their place.
    """
    mine, by = caller.client.organization_id, caller.client.actor
    return SubjectsOut(
        names=await naming.name_people(session, platform.linker, mine, body.count, by=by)
    )


@router.post(
    "/keys",
    status_code=201,
    response_model=SubjectKeyOut,
    summary="Make further names by a new key",
    responses=problems(*SCOPED_CODES),
)
async def rotate_key(
    caller: CatalogueWriter, platform: PlatformDep, session: Writing
) -> SubjectKeyOut:
    """From now on your organisation is given other names for the same people.

    The older ones go on naming them: in your registers, and in what you ask by. Consents that were
    given hold by either.
    """
    mine, by = caller.client.organization_id, caller.client.actor
    return SubjectKeyOut(number=await naming.rotate(session, platform.linker, mine, by=by))
