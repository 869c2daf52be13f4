"""What a question can be refused for. Each names the parameter and the mend."""

from app.kit.errors import AppError, Fault, Kind


class InvalidQuestion(AppError):
    """One or more parameters cannot be understood; `faults` says which and why."""

    kind = Kind.MALFORMED
    code = "invalid_parameter"
    ja = "パラメーターに誤りがあります。errors を確認してください。"
    en = "Some parameters are wrong. See errors."


class UnknownParameter(AppError):
    """A parameter, or a field of a filter, that does not exist; the nearest name is told."""

    kind = Kind.MALFORMED
    code = "unknown_parameter"
    ja = "{what_ja} {name} はありません。{nearest_ja}"
    en = "There is no {what_en} {name}. {nearest_en}"


class InvalidFilter(AppError):
    """The `filter` is not CQL2 that this service answers."""

    kind = Kind.MALFORMED
    code = "invalid_filter"
    ja = "filter を解釈できません: {why_ja}"
    en = "The filter cannot be understood: {why_en}"


class InvalidCursor(AppError):
    """The cursor was not made by this service for this question."""

    kind = Kind.MALFORMED
    code = "invalid_cursor"
    ja = "cursor がこの問い合わせのものではありません。links の next をそのまま使ってください。"
    en = "The cursor does not belong to this question. Use the next link as it is."

    def __init__(self) -> None:
        super().__init__(faults=[Fault("cursor", self.code, self.ja, self.en)])


class ColumnNotVisible(AppError):
    """A column is named that the caller may not see, in whatever place."""

    kind = Kind.FORBIDDEN
    code = "column_not_visible"
    ja = (
        "項目 {names} は閲覧を許可されていません。項目を除くか、"
        "利用申請（POST /v1/access-requests）をしてください。"
    )
    en = (
        "The field {names} may not be seen by this caller. Leave it out, or ask for access"
        " (POST /v1/access-requests)."
    )


def wrong(parameter: str, ja: str, en: str, code: str = "invalid_value") -> InvalidQuestion:
    """One wrong parameter as a refusal."""
    return InvalidQuestion(faults=[Fault(parameter, code, ja, en)])
