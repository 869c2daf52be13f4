"""Why a live dataset has no answer, as its readers are told: never where its source is, nor what it
said."""

from typing import Any, Final

from app.connectors.errors import SourceChanged, SourceDenied, SourceError
from app.kit.errors import AppError, Kind
from app.live.typed import NumberFound, ShapeChanged

_SOON: Final = 5
_LATER: Final = 60
NUMBER: Final = "individual_number"


class LiveFailed(AppError):
    """Base: the source was asked, or could not be. `told_as` is the class of what went wrong."""

    def __init__(
        self, *, dataset: str, told_as: str, after_seconds: float = _SOON, **named: Any
    ) -> None:
        super().__init__(dataset=dataset, told_as=told_as, **named)
        self.headers["Retry-After"] = str(max(1, round(after_seconds)))


class LiveUnavailable(LiveFailed):
    """It cannot be reached, wants to be left alone, or has as many questions as it may have."""

    kind = Kind.UNAVAILABLE
    code = "live_source_unavailable"
    ja = "データセット {dataset} の提供元に今は接続できません（{told_as}）。しばらくしてから再試行してください。"
    en = "The source of the dataset {dataset} is not to be had now ({told_as}). Try again shortly."


class LiveBroken(LiveFailed):
    """It answers with what cannot be used."""

    kind = Kind.BAD_ANSWER
    code = "live_source_broken"
    ja = (
        "データセット {dataset} の提供元の応答は使えません（{told_as}）。提供者に連絡し、"
        "しばらくしてから再試行してください。"
    )
    en = (
        "The answer of the source of the dataset {dataset} cannot be used ({told_as}). Tell its"
        " publisher, and try again later."
    )


class LiveDenied(LiveFailed):
    """The platform that has the data decides for this very reader, and says no. `reason` is its code."""

    kind = Kind.FORBIDDEN
    code = "live_source_denies"
    ja = (
        "データセット {dataset} を提供する基盤は、この利用者に閲覧を認めていません（{reason}）。"
        "その基盤の提供者に申請してください。"
    )
    en = (
        "The platform that provides the dataset {dataset} does not let this reader have it"
        " ({reason}). Ask its provider there."
    )

    def __init__(self, *, dataset: str, reason: str) -> None:
        super().__init__(dataset=dataset, told_as="refused", reason=reason)
        del self.headers["Retry-After"]  # waiting mends nothing


class LiveSlow(LiveFailed):
    """It does not answer in time."""

    kind = Kind.NO_ANSWER
    code = "live_source_slow"
    ja = "データセット {dataset} の提供元が時間内に応答しません（{told_as}）。しばらくしてから再試行してください。"
    en = "The source of the dataset {dataset} does not answer in time ({told_as}). Try again shortly."


class LiveTooMuch(AppError):
    """More of the source's records would be needed than are looked at for one question."""

    kind = Kind.INVALID
    code = "live_too_many_records"
    ja = (
        "この問い合わせには提供元のレコードが{most}件より多く必要です。データセット {dataset} は live です。"
        "提供元が扱える条件で絞り込むか、並べ替えや count をやめるか、提供者に収集（harvest）への"
        "切り替えを依頼してください。"
    )
    en = (
        "This question needs more than {most} of the source's records, for the dataset {dataset} is"
        " live. Narrow it by a condition that the source can judge, leave out sort or count, or have"
        " its publisher change it to harvest."
    )


def failed(dataset: str, error: SourceError) -> LiveFailed:
    """What a reader is told of an error of the source."""
    if isinstance(error, SourceDenied):
        return LiveDenied(dataset=dataset, reason=error.reason)
    after = error.after_seconds or _SOON
    match error.told_as:
        case "unreachable":
            return LiveUnavailable(dataset=dataset, told_as=error.told_as, after_seconds=after)
        case "slow" if error.at == "pace":
            return LiveUnavailable(dataset=dataset, told_as=error.told_as, after_seconds=after)
        case "slow":
            return LiveSlow(dataset=dataset, told_as=error.told_as, after_seconds=after)
    after = after if error.passes else _LATER
    return LiveBroken(dataset=dataset, told_as=error.told_as, after_seconds=after)


def of_rows(
    dataset: str, kind: str, wrong: ShapeChanged | NumberFound
) -> SourceChanged | LiveBroken:
    """What is told of rows that no records can be made of."""
    if isinstance(wrong, NumberFound):
        return LiveBroken(dataset=dataset, told_as=NUMBER, after_seconds=_LATER)
    return SourceChanged(source=kind, at="shape", detail=dataset)
