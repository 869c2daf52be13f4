"""Why an owner export or an import does not go on, in words that name the thing and the mend."""

from app.kit.errors import AppError, Kind


class ExportNotFound(AppError):
    """No such export, or one of an organisation that is none of the caller's business."""

    kind = Kind.NOT_FOUND
    code = "export_not_found"
    ja = "データ移転用の書き出し {id} はありません。"
    en = "There is no owner export {id}."


class ExportUnderWay(AppError):
    """One at a time for each organisation."""

    kind = Kind.CONFLICT
    code = "export_under_way"
    ja = "組織 {organization} の書き出し {id} が進行中です。終わるのを待つか、取り消してください。"
    en = (
        "The export {id} of the organisation {organization} is under way: wait for it or cancel it."
    )


class ExportNotSealed(AppError):
    """What is above internal leaves only sealed, for a reason that stands in the log."""

    kind = Kind.INVALID
    code = "export_not_sealed"
    ja = "{classes} までの書き出しには purpose（目的）と recipient（age の公開鍵、age1…）が必要です（{why_ja}）。"
    en = "An export up to {classes} needs a purpose and a recipient, an age key as age1… ({why})."


class ExportWaits(AppError):
    """The state does not allow what was asked."""

    kind = Kind.CONFLICT
    code = "export_state"
    ja = "書き出し {id} は {state} のため、この操作はできません。"
    en = "The export {id} is {state}: that cannot be done now."


class ExportNeedsAnother(AppError):
    """Who asked does not approve."""

    kind = Kind.FORBIDDEN
    code = "export_needs_another"
    ja = "書き出し {id} は {asker} が求めたものです。承認は別の担当者が行ってください。"
    en = "The export {id} was asked for by {asker}: somebody else must approve it."


class ExportGivenUp(AppError):
    """A fault of ours."""

    kind = Kind.UNAVAILABLE
    code = "export_given_up"
    ja = "内部エラーのため書き出しを中止しました。もう一度求めるか、運営者に番号を伝えてください。"
    en = "The export was given up after an internal error. Ask again, or tell the operator its id."


class ArchiveRefused(AppError):
    """The archive is not what an owner export is, or not as it was written."""

    kind = Kind.INVALID
    code = "archive_refused"
    ja = "アーカイブを取り込めません。{name}: {why_ja}。何も書き込んでいません。"
    en = "The archive cannot be imported. {name}: {why}. Nothing was written."


class SignerUnknown(AppError):
    """The manifest bears a signature, and nobody said that its key is trusted."""

    kind = Kind.FORBIDDEN
    code = "archive_signer_unknown"
    ja = (
        "アーカイブは {issuer} を名乗る鍵 {kid} で署名されています。この鍵は確認されていません。"
        "元の運営者に鍵を確かめ、正しければ --trust {kid} を付けてください。何も書き込んでいません。"
    )
    en = (
        "The archive is signed by the key {kid}, which says it is that of {issuer} and is not known"
        " here. Ask the former operator for its key; if it is this one, give --trust {kid}. Nothing"
        " was written."
    )


class ImportUnderWay(AppError):
    """One at a time."""

    kind = Kind.CONFLICT
    code = "import_under_way"
    ja = "別の取り込みが進行中です。終わってから、もう一度実行してください。"
    en = "Another import is under way. Run this again once it has ended."


class ImportConflict(AppError):
    """Ids are kept, and one of them is taken."""

    kind = Kind.CONFLICT
    code = "import_conflict"
    ja = (
        "{kind} {key} は既にこのプラットフォームにあります。idは引き継ぐため上書きせず、何も書き込んでいません。"
        "同じアーカイブを取り込み済みなら、すべて入っています。"
    )
    en = (
        "{kind} {key} is already on this platform. Ids are kept and nothing is written over; nothing"
        " was written. If this archive was imported before, all of it is there."
    )
