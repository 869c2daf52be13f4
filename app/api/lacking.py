"""What a caller who is known lacks all the same: a scope, a role, a factor. Judges nobody."""

from app.kit.errors import AppError, Kind


class InsufficientScope(AppError):
    """The token lacks the scope that the operation needs (RFC 6750, 3.1)."""

    kind = Kind.FORBIDDEN
    code = "insufficient_scope"
    ja = "この操作にはスコープ {scope} が必要です。それを指定してトークンを取得し直してください。"
    en = "The operation needs the scope {scope}. Ask for it when you get a token."


class SecondFactorNeeded(AppError):
    """The person must prove a second factor, and lately (RFC 9470, 3)."""

    kind = Kind.UNAUTHENTICATED
    code = "insufficient_user_authentication"
    ja = "この操作には{minutes}分以内の二要素認証が必要です。二要素でサインインし直してください。"
    en = "This needs a second factor proven within {minutes} minutes. Sign in again with both."


class RoleMissing(AppError):
    """The client's organisation has not given it a role that the operation needs."""

    kind = Kind.FORBIDDEN
    code = "role_missing"
    ja = "この操作には役割 {role} が必要です。運営者に依頼してください。"
    en = "The operation needs the role {role}. Ask the operator for it."
