"""The OAuth endpoints' refusals in RFC 6749's words; none tells whether a client exists."""

from collections.abc import Mapping
from typing import Any

from app.kit.errors import AppError, Kind


class OAuthRefused(AppError):
    """Base of what the OAuth endpoints refuse (RFC 6749, 5.2): `code` is its `error`.

    `why` is a stable word for the log. It may say more than the answer does.
    """

    kind = Kind.MALFORMED

    def __init__(self, why: str, *, client: str | None = None, **named: Any) -> None:
        self.why = why
        self.client = client
        super().__init__(**named)


class InvalidRequest(OAuthRefused):
    """The request cannot be read as RFC 6749 says, or says a thing twice."""

    code = "invalid_request"
    ja = "要求の形が正しくありません: {mend_ja}"
    en = "The request is malformed: {mend_en}"


class InvalidClient(OAuthRefused):
    """The one answer to every failed authentication (RFC 6749, 5.2)."""

    kind = Kind.UNAUTHENTICATED
    code = "invalid_client"
    ja = (
        "クライアント認証に失敗しました。登録した鍵・秘密・証明書と、要求の内容、"
        "登録が承認済みであることを確認してください。"
    )
    en = (
        "Client authentication failed: check the registered key, secret or certificate, and that the"
        " client has been approved."
    )


class InvalidAssertion(InvalidClient):
    """The assertion is wrong in itself, whoever sent it: the mend can be told (RFC 7523, 3)."""

    ja = "クライアントアサーションが正しくありません: {mend_ja}"
    en = "The client assertion is wrong: {mend_en}"


class UnauthorizedClient(OAuthRefused):
    """The client is known, and may not use this grant here."""

    code = "unauthorized_client"
    ja = "このクライアントのゾーン（{zone}）からは、この入口でトークンを取得できません。"
    en = "A client of the zone {zone} gets no token at this listener."


class NotForPeople(UnauthorizedClient):
    """People sign in only to clients that prove themselves by more than a secret, at known places."""

    ja = "このクライアントには職員がサインインできません。鍵（private_key_jwt）か証明書（tls_client_auth）と、redirect_uris の登録が必要です。"
    en = (
        "Nobody signs in to this client: it needs a key (private_key_jwt) or a certificate"
        " (tls_client_auth), and redirect_uris."
    )


class NotForCitizens(UnauthorizedClient):
    """Citizens sign in to no client that an operator did not open to them."""

    ja = "このクライアントには住民がサインインできません。運営者に依頼してください（citizens）。"
    en = "No citizen signs in to this client. Ask the operator to let them (citizens)."


class UnsupportedResponseType(OAuthRefused):
    """Only the code flow is on: no token ever goes through a browser's address."""

    code = "unsupported_response_type"
    ja = "response_type は code だけです。"
    en = "The only response_type is code."


class SlowDown(OAuthRefused):
    """More token requests than one client, or one address, may send (the word of RFC 8628, 3.5)."""

    kind = Kind.TOO_MANY
    code = "slow_down"
    ja = "トークン要求が上限（{limit}: 1分に{most}件）に達しました。{seconds}秒後に再試行してください。"
    en = "The limit {limit} of {most} token requests a minute is used up: wait {seconds} seconds."


class UnsupportedGrantType(OAuthRefused):
    """The grant is not one of those that are on."""

    code = "unsupported_grant_type"
    ja = "grant_type は {known} のどれかです。"
    en = "The grant_type must be one of: {known}."


class ExchangeNotAllowed(UnauthorizedClient):
    """The client may exchange no token whatever: the operator has named nobody's for it."""

    ja = "このクライアントはトークン交換を許可されていません。運営者に exchange_from の登録を依頼してください。"
    en = "This client may exchange no token. Ask the operator to name, in exchange_from, whose it may."


class SubjectRefused(InvalidRequest):
    """The one answer for every subject token that is not taken (RFC 8693, 2.2.2).

    Whoever found a token learns nothing of it here: `why` is for the log alone.
    """

    ja = (
        "subject_token を受け付けられません。exchange_from に登録されたアプリが取得した、担当組織の"
        "職員の有効なアクセストークンを送ってください。"
    )
    en = (
        "The subject_token is not taken. Send the valid access token of a member of staff that you"
        " serve, which an app got that is named in your exchange_from."
    )


class SubjectUnproven(OAuthRefused):
    """The keys of who signed the subject token cannot be had now: no word on the subject itself."""

    kind = Kind.UNAVAILABLE
    code = "temporarily_unavailable"
    ja = "subject_token の発行者の公開鍵を取得できません。しばらくしてから再試行してください。"
    en = "The keys of the issuer of the subject_token cannot be had at present. Try again later."


class InvalidGrant(OAuthRefused):
    """The code is unknown, used, too old, or not for whom and what it is shown (RFC 6749, 5.2)."""

    code = "invalid_grant"
    ja = "認可コードを引き換えられません: {mend_ja}"
    en = "The authorization code cannot be redeemed: {mend_en}"


class InvalidScope(OAuthRefused):
    """Nothing of what was asked can be granted (RFC 6749, 3.3)."""

    code = "invalid_scope"
    ja = "要求されたスコープは付与できません: {mend_ja}"
    en = "No requested scope can be granted: {mend_en}"


class InvalidProof(OAuthRefused):
    """The DPoP proof is missing, wrong or used before (RFC 9449, 5)."""

    code = "invalid_dpop_proof"
    ja = "DPoP プルーフが正しくありません: {mend_ja}"
    en = "The DPoP proof is wrong: {mend_en}"


class InvalidTarget(OAuthRefused):
    """The token is asked for another resource than this platform (RFC 8707, 2)."""

    code = "invalid_target"
    ja = "resource は {issuer} だけです。"
    en = "The only resource is {issuer}."


class InvalidDetails(OAuthRefused):
    """The authorization details cannot be read or granted (RFC 9396, 5)."""

    code = "invalid_authorization_details"
    ja = "authorization_details を認められません: {mend_ja}"
    en = "The authorization_details cannot be granted: {mend_en}"


class InvalidClientMetadata(OAuthRefused):
    """What was said of a client to be registered is wrong or not taken (RFC 7591, 3.2.2)."""

    code = "invalid_client_metadata"
    ja = "クライアントの登録内容に誤りがあります: {mend_ja}"
    en = "The client metadata is wrong: {mend_en}"


class InvalidRedirectUri(OAuthRefused):
    """Nobody may be sent back to that address (RFC 7591, 3.2.2)."""

    code = "invalid_redirect_uri"
    ja = "リダイレクト先に誤りがあります: {mend_ja}"
    en = "A redirect URI is wrong: {mend_en}"


class InvalidRegistrationToken(OAuthRefused):
    """The initial access token opens nothing (RFC 7591, 3.2.2). One wording for every cause."""

    kind = Kind.UNAUTHENTICATED
    code = "invalid_token"
    ja = "登録トークンが無いか、誤りか、使い切られたか、期限切れです。発行者に新しいものを依頼してください。"
    en = "The initial access token is missing, wrong, used up or expired: ask its maker for a new one."

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'


def shown_token(form: Mapping[str, str], client_id: str) -> str:
    """The token that a revocation or an introspection is about (RFC 7009, 2.1; RFC 7662, 2.1).

    `token_type_hint` is not read: there is one type.
    """
    token = form.get("token")
    if not token:
        raise InvalidRequest(
            "token", client=client_id, mend_ja="token が必要です。", mend_en="token is needed."
        )
    return token
