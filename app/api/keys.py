"""The door to the keys that sign tokens (管理). Shows when they changed, never a private half."""

from typing import Any

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from app.api.access import SCOPED_CODES, AdminReader, AdminWriter, PlatformDep, Reading, Writing
from app.api.problem import problems
from app.api.shapes import LONGEST_BODY, InShape, OutShape, Time
from app.models.parties import SigningKey
from app.oauth import keys

router = APIRouter(prefix="/v1/admin/keys", tags=["Keys"], max_body_size=LONGEST_BODY)


class SigningKeyOut(OutShape):
    """A key by its name (RFC 7638): next, current, previous or dropped, and since when."""

    kid: str
    state: str
    created_at: Time
    changed_at: Time


class KeysOut(OutShape):
    """The newest first; those that were dropped are there for the record."""

    keys: list[SigningKeyOut]


class RotationIn(InShape):
    """How to change over."""

    emergency: bool = Field(default=False, description="the present key leaked: its tokens end now")
    early: bool = Field(
        default=False, description="sign with a key that was published for less than 24 hours"
    )

    model_config = ConfigDict(json_schema_extra={"example": {"emergency": False, "early": False}})


@router.get(
    "", response_model=KeysOut, summary="List signing keys", responses=problems(*SCOPED_CODES)
)
async def list_keys(caller: AdminReader, session: Reading) -> dict[str, list[SigningKey]]:
    """The next key signs from 24 hours after its publication on."""
    return {"keys": await keys.list_keys(session)}


@router.post(
    "/rotate",
    response_model=KeysOut,
    summary="Rotate the signing keys",
    responses=problems(*SCOPED_CODES, "rotation_too_soon", "next_key_too_young"),
)
async def rotate_keys(
    how: RotationIn, caller: AdminWriter, session: Writing, platform: PlatformDep
) -> dict[str, Any]:
    """Sign with the next key; tokens of the present one live on, unless it is an emergency.

    In an emergency the caller's own token ends too, when the present key signed it.
    """
    by = caller.client.actor
    await keys.rotate(session, platform.sealer, by=by, emergency=how.emergency, early=how.early)
    return {"keys": await keys.list_keys(session)}
