"""What a witness judges: that a log only grew since it last looked. Pure; trusts the log's key only.

A log that shows two people two histories has to show a witness both, and it signs one of them.
"""

from collections.abc import Sequence

from app.audit.merkle import is_consistent
from app.audit.notes import Checkpoint, Note, NoteRefused, Verifier
from app.kit.errors import AppError, Kind


class LogNotSigned(AppError):
    """What the log shows is not signed by the key that the witness knows it by."""

    kind = Kind.CONFLICT
    code = "log_not_signed"
    ja = "チェックポイントが、登録済みの鍵 {key} で署名されていません。副署しません。"
    en = "The checkpoint is not signed by the known key {key}. It is not cosigned."


class LogRolledBack(AppError):
    """The log is shorter than it was."""

    kind = Kind.CONFLICT
    code = "log_rolled_back"
    ja = "ログが短くなっています（前回 {was} 件、今回 {now} 件）。記録が消された疑いがあります。副署しません。"
    en = (
        "The log has become shorter: it had {was} entries and has {now}."
        " Entries may have been removed. It is not cosigned."
    )


class LogForked(AppError):
    """The log does not begin with what the witness saw before."""

    kind = Kind.CONFLICT
    code = "log_forked"
    ja = (
        "{now} 件のログが、前回確認した {was} 件から続いていません。"
        "ログが分岐したか書き直されています。副署しません。"
    )
    en = (
        "The log of {now} entries does not begin with the {was} that were seen before:"
        " it was forked or written anew. It is not cosigned."
    )


def read(note: str, key: Verifier) -> Checkpoint:
    """The checkpoint of a note that the log's key signed. Raises `LogNotSigned`."""
    try:
        found = Note.parse(note)
        said = Checkpoint.parse(found.text)
    except NoteRefused as exc:
        raise LogNotSigned(key=key.name) from exc
    if said.origin != key.name or not found.is_signed_by(key):
        raise LogNotSigned(key=key.name)
    return said


def check_not_shorter(last: Checkpoint, seen: Checkpoint) -> None:
    """Raise `LogRolledBack` where the log lost entries."""
    if seen.size < last.size:
        raise LogRolledBack(was=last.size, now=seen.size)


def check_growth(last: Checkpoint, seen: Checkpoint, proof: Sequence[bytes]) -> None:
    """Raise `LogForked` unless the proof shows that what was seen begins with the last."""
    if not is_consistent(last.size, last.root, seen.size, seen.root, proof):
        raise LogForked(was=last.size, now=seen.size)
