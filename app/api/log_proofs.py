"""The public door to the log's tree: checkpoint, key and proofs. Shows hashes and counts only.

What an entry says stays behind the door to the log.
"""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field
from starlette.responses import PlainTextResponse

from app.api.access import PlatformDep
from app.api.problem import problems
from app.api.shapes import LARGEST, InShape, OutShape, PlainText
from app.audit import cosignatures, proofs
from app.audit.checkpoints import newest

router = APIRouter(prefix="/v1/log", tags=["Log"], max_body_size=16 * 1024)
_TEXT: Final = "text/plain; charset=utf-8"
_ASK_AGAIN: Final = {"Cache-Control": "no-cache"}
Size = Annotated[int | None, Query(ge=0, le=LARGEST, description="default: the newest checkpoint")]
Hash = Annotated[str, Field(description="SHA-256 in hexadecimal", pattern="^[0-9a-f]{64}$")]


def _text(example: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {"text/plain": {"example": example}}}}


_NOTE: Final = (
    "os.city.example.jp/v1/log\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— os.city.example.jp/v1/log Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5…\n"
)
_KEY: Final = "os.city.example.jp/v1/log+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8\n"


@router.get(
    "/checkpoint",
    response_class=PlainTextResponse,
    summary="Show the log's newest checkpoint",
    responses={**problems(), **_text(_NOTE)},
)
async def show_checkpoint(
    platform: PlatformDep,
    witnessed: Annotated[
        bool, Query(description="the newest that a witness signed, where there is one")
    ] = False,
) -> PlainTextResponse:
    """How many entries the log has and the root over them, as a signed note (C2SP tlog-checkpoint).

    Signed within a minute of every entry. What witnesses signed stands below our signature.
    """
    signed = await newest(platform.database.pool, is_witnessed=True) if witnessed else None
    note = (signed or await platform.log_keeper.checkpoint()).note
    return PlainTextResponse(note, media_type=_TEXT, headers=_ASK_AGAIN)


@router.get(
    "/key",
    response_class=PlainTextResponse,
    summary="Show the key of the log",
    responses={**problems(), **_text(_KEY)},
)
async def show_key(platform: PlatformDep) -> PlainTextResponse:
    """The key that checkpoints are verified with (C2SP signed-note, vkey). It never changes.

    Keep it where this server cannot change it: a check is worth as much as the key it begins with.
    """
    return PlainTextResponse(f"{await platform.log_keeper.key()}\n", media_type=_TEXT)


class InclusionOut(OutShape):
    """That an entry is in the tree (RFC 6962, 2.1.1). `leaf` is SHA-256(0x00 ‖ entry's `hash`)."""

    index: int
    size: int
    leaf: Hash
    path: list[Hash]


@router.get(
    "/proofs/inclusion",
    response_model=InclusionOut,
    summary="Prove that an entry is in the log",
    responses=problems("log_size_unknown", "log_damaged"),
)
async def prove_inclusion(
    platform: PlatformDep,
    index: Annotated[
        int, Query(ge=0, le=LARGEST, description="the entry's number less one (Linkage-Receipt)")
    ],
    size: Size = None,
) -> proofs.Inclusion:
    """The hashes from the entry's leaf up to the root of the tree of `size` entries.

    Entry number n, as `Linkage-Receipt` names it, has the index n - 1.
    """
    signed = await platform.log_keeper.checkpoint()
    return await proofs.inclusion(platform.database.pool, index, size, signed.size)


class ConsistencyOut(OutShape):
    """That the log only grew (RFC 6962, 2.1.2)."""

    first: int
    second: int
    path: list[Hash]


@router.get(
    "/proofs/consistency",
    response_model=ConsistencyOut,
    summary="Prove that the log only grew",
    responses=problems("log_size_unknown", "log_damaged"),
)
async def prove_consistency(
    platform: PlatformDep,
    first: Annotated[int, Query(alias="from", ge=0, le=LARGEST, description="the smaller size")],
    second: Annotated[
        int | None,
        Query(alias="to", ge=0, le=LARGEST, description="default: the newest checkpoint"),
    ] = None,
) -> proofs.Consistency:
    """The hashes that show the tree of `from` entries to be the beginning of that of `to`."""
    signed = await platform.log_keeper.checkpoint()
    return await proofs.consistency(platform.database.pool, first, second, signed.size)


class CosignatureIn(InShape):
    """What a witness signed: its line of the note, and the size of the checkpoint."""

    size: int = Field(ge=0, le=LARGEST)
    signature: Annotated[str, PlainText] = Field(min_length=1, max_length=1_000)

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "size": 20852163,
                "signature": "— witness.sakai.example.jp jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn…",
            }
        }
    )


class CosignatureOut(OutShape):
    """Whose signature was taken."""

    witness: str
    size: int


@router.post(
    "/cosignatures",
    response_model=CosignatureOut,
    summary="Send a witness's cosignature",
    responses=problems("cosignature_refused", "log_note_refused"),
)
async def take_cosignature(sent: CosignatureIn, platform: PlatformDep) -> dict[str, Any]:
    """The signature itself proves who sends it (C2SP tlog-cosignature, Ed25519): no token.

    Taken from the witnesses whose keys the operator has set, and shown with the checkpoint.
    """
    known = platform.log_keeper.witnesses
    name = await cosignatures.take(platform.database.pool, known, sent.size, sent.signature)
    return {"witness": name, "size": sent.size}
