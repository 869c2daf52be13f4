"""What the system inventory refuses, each with its mend."""

from app.kit.errors import AppError, Kind


class SystemNotFound(AppError):
    """No such system, or none that the caller may know of."""

    kind = Kind.NOT_FOUND
    code = "system_not_found"
    ja = "システム {id} は見つかりません。GET /v1/systems で一覧を確認してください。"
    en = "There is no system {id}. GET /v1/systems lists those that you may see."


class SystemInvalid(AppError):
    """What was said of a system does not fit with what else is known; `faults` says where."""

    kind = Kind.INVALID
    code = "system_invalid"
    ja = "システムの登録内容に誤りがあります。errors を確認してください。"
    en = "What was said of the system is wrong. See errors."


class SystemChanged(AppError):
    """Somebody else was faster, and their change would be lost."""

    kind = Kind.CONFLICT
    code = "system_changed"
    ja = "システム {id} は改訂 {now} に進んでいます（指定: {given}）。読み直して変更をやり直してください。"
    en = "The system {id} is at revision {now}, not {given}. Read it again and repeat your change."


class WeightsInvalid(AppError):
    """The weights are not those of all parts, or do not make 100."""

    kind = Kind.INVALID
    code = "lock_in_weights_invalid"
    ja = "weights には {names} のすべてを0以上の整数で、合計100になるように指定してください。"
    en = "Give in weights each of {names}, as whole numbers of 0 and more that make 100."


class WeightsNotFound(AppError):
    """No such version of the weights."""

    kind = Kind.NOT_FOUND
    code = "lock_in_weights_not_found"
    ja = "重みの版 {version} はありません（最新は {newest}）。"
    en = "There is no version {version} of the weights. The newest is {newest}."


class NoSuchGroup(AppError):
    """A decision is about two or more systems of one function."""

    kind = Kind.INVALID
    code = "duplicate_members_invalid"
    ja = "members には、機能 {function} のシステムを2件以上、GET /v1/duplicates の表示どおりに指定してください。"
    en = "Give as members two or more systems of the function {function}, as GET /v1/duplicates lists them."


class SheetUnreadable(AppError):
    """A file that is no sheet of systems."""

    kind = Kind.INVALID
    code = "system_sheet_unreadable"
    ja = "この台帳は読めません（{why_ja}）。CSV か XLSX で保存し直してください。"
    en = "This sheet cannot be read ({why}). Save it as CSV or XLSX."


class SheetTooLong(AppError):
    """A sheet with more than an inventory holds."""

    kind = Kind.INVALID
    code = "system_sheet_too_long"
    ja = "一度に取り込めるのは{most}行までです。表を分けてください。"
    en = "A sheet of up to {most} lines is taken at once. Part it."


class SheetRowWrong(AppError):
    """A line with more cells than headings, or one that its format has spoilt."""

    kind = Kind.INVALID
    code = "system_sheet_row_wrong"
    ja = (
        "{line}行目のセルの数が見出しと合いません。カンマや改行を含むセルは引用符で囲んでください。"
    )
    en = "Line {line} has cells that no heading is for. Quote a cell with a comma or a line break."


class SheetHeadingTwice(AppError):
    """Two columns of one heading: one of them would be lost."""

    kind = Kind.INVALID
    code = "system_sheet_heading_twice"
    ja = "見出し「{heading}」が2つあります。1つの列にまとめてください（1つのセルに複数行で記入できます）。"
    en = "There are two columns “{heading}”. Put them into one: a cell may hold several lines."
