"""What witnesses signed of our checkpoints: taken from known witnesses only, and never changed."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg

from app.audit.notes import WITNESS, Note, NoteRefused, Signature, Verifier
from app.kit import clock
from app.kit.errors import AppError, Kind

_AHEAD: Final = timedelta(minutes=5)  # how far a witness's clock may be ahead of ours
_CHECKPOINT: Final = "SELECT note FROM log_checkpoint WHERE size = $1"
_KEEP: Final = """
INSERT INTO log_cosignature (size, witness, line, signed_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (size, witness) DO NOTHING
"""


class CosignatureRefused(AppError):
    """The line is not the signature of a known witness under a checkpoint of ours."""

    kind = Kind.INVALID
    code = "cosignature_refused"
    ja = "副署を受け付けられません: {why_ja}"
    en = "The cosignature is refused: {why}."


def witnesses_of(keys: str) -> tuple[Verifier, ...]:
    """The witnesses that a deployment knows, from their keys parted by blanks. `NoteRefused`."""
    return tuple(_witness(key) for key in keys.split())


def _witness(key: str) -> Verifier:
    found = None
    with suppress(NoteRefused):
        found = Verifier.parse(key)
    if found is None or found.kind != WITNESS:
        raise NoteRefused.of(
            f"URBANOS_LOG_WITNESSES の {key[:100]!r} は立会人の鍵ではありません。"
            "urbanos witness が表示する行を指定してください。",
            f"{key[:100]!r} of URBANOS_LOG_WITNESSES is no key of a witness:"
            " give the line that `urbanos witness` shows",
        )
    return found


async def take(
    pool: "asyncpg.Pool[Any]", witnesses: Sequence[Verifier], size: int, line: str
) -> str:
    """Keep what a witness signed; its name. Raises `CosignatureRefused`, `NoteRefused`.

    A second one of the same witness for the same checkpoint says nothing new, and is not kept.
    """
    signature = Signature.parse(line.strip())
    by = next((witness for witness in witnesses if witness.is_by(signature)), None)
    if by is None:
        raise CosignatureRefused(
            why_ja=f"{signature.name} の鍵は URBANOS_LOG_WITNESSES にありません。",
            why=f"no key of {signature.name} is among URBANOS_LOG_WITNESSES",
        )
    note = await pool.fetchval(_CHECKPOINT, size)
    if note is None:
        raise CosignatureRefused(
            why_ja=f"{size} 件のチェックポイントはありません。",
            why=f"there is no checkpoint of {size} entries",
        )
    if not by.accepts(Note.parse(note).text, signature):
        raise CosignatureRefused(
            why_ja=f"{size} 件のチェックポイントへの署名ではありません。",
            why=f"it does not sign the checkpoint of {size} entries",
        )
    latest = clock.now() + _AHEAD
    if signature.seconds > latest.timestamp():
        raise CosignatureRefused(
            why_ja="署名時刻が未来です。立会人の時計を合わせてください。",
            why="its time is in the future: set the witness's clock",
        )
    signed_at = datetime.fromtimestamp(signature.seconds, UTC)
    await pool.execute(_KEEP, size, str(by), str(signature), signed_at)
    return by.name
