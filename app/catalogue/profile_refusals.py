"""What the registry of profiles refuses. Names the profile and its state."""

from app.kit.errors import AppError, Kind


class ProfileInvalid(AppError):
    """What was said of the profile is wrong; `faults` says where."""

    kind = Kind.INVALID
    code = "profile_invalid"
    ja = "プロファイルの内容に誤りがあります。errors を確認してください。"
    en = "The profile has faults. See errors."


class ProfileNotOwned(AppError):
    """Another body registered the profile."""

    kind = Kind.FORBIDDEN
    code = "not_the_profile_owner"
    ja = "プロファイル {name} を変更できるのは、登録した団体（{owner}）と運営者だけです。"
    en = "Only the body that registered the profile {name} ({owner}) and the operator may do that."


class ProfileSunset(AppError):
    """The version has come to its end; the note says where to go."""

    kind = Kind.GONE
    code = "profile_sunset"
    ja = (
        "プロファイル {name} の版 {version} は {sunset} に廃止されました。"
        "移行の案内: GET /v1/profiles/{name}/{version}/migration"
    )
    en = (
        "The profile {name} version {version} ended on {sunset}."
        " How to move: GET /v1/profiles/{name}/{version}/migration"
    )


class ProfileIsDraft(AppError):
    """Nothing can be registered on a draft."""

    kind = Kind.CONFLICT
    code = "profile_is_draft"
    ja = "プロファイル {name} の版 {version} は下書きです。公開してから使ってください。"
    en = "The profile {name} version {version} is a draft. Publish it first."
