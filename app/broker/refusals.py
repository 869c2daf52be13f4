"""The broker's refusals in words: which rule refused, and how to mend it."""

from collections.abc import Mapping
from typing import Final

from app.kit.errors import AppError, Kind
from app.policy.verdicts import Deny, Reason

_ASK_JA = "利用申請（POST /v1/access-requests）をしてください。"
_ASK_EN = "Ask for access with POST /v1/access-requests."

# In Japanese and in English.
_WORDS: Final[Mapping[Reason, tuple[str, str]]] = {
    Reason.WITHDRAWN: ("データセットは公開を終了しました。", "The dataset has been withdrawn."),
    Reason.NEVER_BROKERED: (
        "特定個人情報はこの基盤では提供しません。情報提供ネットワークシステムを利用してください。",
        "Specific personal information never passes here. Use the national network.",
    ),
    Reason.ZONE: (
        "このデータは {zone} の区画でだけ利用できます。その区画の接続先から要求してください。",
        "This data stays in the zone {zone}. Ask from a client and a listener of that zone.",
    ),
    Reason.TOKEN_REQUIRED: (
        "公開データではありません。/oauth/token でトークンを取得してください。",
        "This is not public data. Get a token at /oauth/token.",
    ),
    Reason.CLIENT_REVOKED: ("クライアントは失効しています。", "The client has been revoked."),
    Reason.SCOPE: (
        "トークンにスコープ {scope} がありません。scope に指定して取得し直してください。",
        "The token lacks the scope {scope}. Ask for it when getting a token.",
    ),
    Reason.CLIENT_TOO_WEAK: (
        "庁内データより上は、鍵（private_key_jwt か tls_client_auth）で認証したクライアントだけが"
        "利用できます。",
        "Data above internal is for clients that prove themselves by a key: with private_key_jwt or"
        " tls_client_auth.",
    ),
    Reason.TOKEN_NOT_BOUND: (
        "庁内データより上には、送信者の鍵に結び付いたトークンが必要です。/oauth/token に DPoP ヘッダを付けて"
        "取得し、Authorization: DPoP で送るか（RFC 9449）、登録したクライアント証明書で接続して"
        "取得してください（RFC 8705）。",
        "Data above internal needs a token bound to its sender's key: get one at /oauth/token with a DPoP"
        " header and send it as Authorization: DPoP (RFC 9449), or get and use one over a connection"
        " with your registered client certificate (RFC 8705).",
    ),
    Reason.PURPOSE_REQUIRED: (
        "利用目的が必要です。purpose= に次のいずれかを指定してください: {purposes}",
        "A purpose is needed. Give purpose= one of: {purposes}",
    ),
    Reason.PURPOSE_UNKNOWN: (
        "利用目的 {purpose} はありません。次のいずれかを指定してください: {purposes}",
        "There is no purpose {purpose}. Give one of: {purposes}",
    ),
    Reason.NO_AGREEMENT: (
        f"データセット {{dataset}} の利用協定がありません。{_ASK_JA}",
        f"There is no agreement on the dataset {{dataset}}. {_ASK_EN}",
    ),
    Reason.AGREEMENT_NOT_NAMED: (
        "他の組織の個人情報には、一つの協定のためのトークンが必要です。authorization_details に"
        "データセット {dataset} の協定を指定して取得し直してください。",
        "Personal data of another organisation needs a token for one agreement. Name the agreement"
        " on the dataset {dataset} in authorization_details when getting a token.",
    ),
    Reason.ACTION_NOT_AGREED: (
        f"協定はこの操作を含みません。{_ASK_JA}",
        f"The agreement does not cover this action. {_ASK_EN}",
    ),
    Reason.PURPOSE_NOT_AGREED: (
        f"協定の利用目的は {{purpose}} です。{_ASK_JA}",
        f"The agreement is for the purpose {{purpose}}. {_ASK_EN}",
    ),
    Reason.AGREEMENT_NOT_STARTED: (
        "協定の期間はまだ始まっていません。",
        "The agreement's period has not begun.",
    ),
    Reason.AGREEMENT_EXPIRED: (
        f"協定の期間は終わりました。{_ASK_JA}",
        f"The agreement has expired. {_ASK_EN}",
    ),
    Reason.AGREEMENT_SUSPENDED: (
        "協定は停止中です。提供者に確認してください。",
        "The agreement is suspended. Ask the provider.",
    ),
    Reason.AGREEMENT_REVOKED: (
        f"協定は取り消されました。{_ASK_JA}",
        f"The agreement has been revoked. {_ASK_EN}",
    ),
    Reason.EXCLUDED: (
        "提供者がこの組織による共同利用協定の利用を停止しています。提供者に確認してください。",
        "The provider has left your organisation out of the group's agreement. Ask the provider.",
    ),
    Reason.AGGREGATE_ONLY: (
        "データセット {dataset} のレコードは提供しません。集計"
        "（GET /v1/datasets/{dataset}/aggregate）だけを利用できます。",
        "The records of the dataset {dataset} are not given. Only aggregates are: "
        "GET /v1/datasets/{dataset}/aggregate.",
    ),
    Reason.SUPPRESSION_NEEDED: (
        "データセット {dataset} は個人情報のため、少人数の秘匿なしには集計できません。提供者に"
        " suppression（k は3以上）の設定を依頼してください。",
        "The dataset {dataset} is personal: it is not counted unless small counts are withheld. Ask"
        " its publisher to declare `suppression` (k of 3 or more).",
    ),
    Reason.NO_COLUMNS: (
        f"協定に閲覧できる項目がありません。{_ASK_JA}",
        f"The agreement names no field that may be seen. {_ASK_EN}",
    ),
    Reason.NOT_FOR_PURPOSE: (
        "提供者は、利用目的 {purpose} にはどの項目も提供していません。提供者に確認してください。",
        "Its publisher gives no field for the purpose {purpose}. Ask its publisher.",
    ),
    Reason.SUBJECT_UNTOLD: (
        "この利用目的には本人の同意が必要ですが、データセット {dataset} には本人を示す項目（subject）の"
        "宣言がありません。提供者に確認してください。",
        "This purpose needs each person's consent, and the dataset {dataset} declares no field that"
        " names the person (subject). Ask its publisher.",
    ),
    Reason.FACTS_TOO_OLD: (
        "このサーバーはデータベースから切り離されており、データセット {dataset} の利用条件を"
        "確認できません。しばらくしてから再試行してください。",
        "This server is cut off from its database and cannot make sure who may use the dataset"
        " {dataset} at present. Try again shortly.",
    ),
}


def words_of(reason: Reason, named: Mapping[str, str]) -> tuple[str, str]:
    """A refusal in Japanese and in English: what refused, and how to mend it."""
    japanese, english = _WORDS[reason]
    return japanese.format(**named), english.format(**named)


class AccessRefused(AppError):
    """A rule refused. `code` is the rule's reason."""

    kind = Kind.FORBIDDEN
    code = "access_refused"
    ja = "{in_japanese}"
    en = "{in_english}"

    def __init__(self, deny: Deny) -> None:
        self.code = deny.reason.value
        self.deny = deny
        japanese, english = words_of(deny.reason, deny.named)
        super().__init__(in_japanese=japanese, in_english=english)


class AuthenticationNeeded(AccessRefused):
    """A token would help: answered with a challenge (RFC 6750, 3)."""

    kind = Kind.UNAUTHENTICATED
    code = "token_required"


class FactsTooOld(AccessRefused):
    """Nobody's rights are in doubt, only what we know of them: it passes."""

    kind = Kind.UNAVAILABLE
    code = "facts_too_old"

    def __init__(self, deny: Deny) -> None:
        super().__init__(deny)
        self.headers["Retry-After"] = "5"


class LogBehind(AppError):
    """Nothing can be written to the log, and nobody could say afterwards who had the data."""

    kind = Kind.UNAVAILABLE
    code = "log_behind"
    ja = (
        "ログに{minutes}分以上書き込めないため、データセット {dataset} の提供を止めています。"
        "公開データは利用できます。運営者に連絡し、しばらくしてから再試行してください。"
    )
    en = (
        "Nothing could be written to the log for {minutes} minutes, so the dataset {dataset} is not"
        " given; public data are. Tell the operator, and try again shortly."
    )


class DatasetIsLive(AppError):
    """Nothing of the dataset is stored: its source answers, and so it is asked in fewer ways."""

    kind = Kind.CONFLICT
    code = "dataset_is_live"
    ja = (
        "データセット {dataset} は提供元にその都度問い合わせます（live）。過去の版、差分、集計、ファイルなど、"
        "保存したレコードが必要な取得はできません。今のレコードを /v1/datasets/{dataset}/records で"
        "（JSON、GeoJSON、CSV、NDJSON）取得してください。"
    )
    en = (
        "The dataset {dataset} is live: its source is asked at each read. Nothing that needs stored"
        " records can be had of it: no past versions, differences, aggregates, files. Ask"
        " /v1/datasets/{dataset}/records for its records of now, as JSON, GeoJSON, CSV or NDJSON."
    )

    def __init__(self, *, dataset: str) -> None:
        super().__init__(dataset=dataset)


class NotOfThatAgreement(AppError):
    """Whose source it is lets it be had under one agreement, and this reader stands under another."""

    kind = Kind.FORBIDDEN
    code = "agreement_not_of_source"
    ja = (
        "データセット {dataset} の提供元は協定 {agreement} に基づく利用だけを認めています。その協定の対象"
        "でない場合は、提供者に申請してください。"
    )
    en = (
        "The source of the dataset {dataset} answers under the agreement {agreement} alone. If it is"
        " not yours, ask its provider for one."
    )


class TooManyExports(AppError):
    """As many whole downloads are running as this process allows."""

    kind = Kind.TOO_MANY
    code = "too_many_exports"
    ja = "同時に実行できる一括取得の数を超えています。少し待って再試行してください。"
    en = "Too many bulk downloads are running. Try again in a moment."

    def __init__(self) -> None:
        super().__init__()
        self.headers["Retry-After"] = "10"


class ExportShareTaken(AppError):
    """As many whole downloads are running as one client, or one address, may run at once."""

    kind = Kind.TOO_MANY
    code = "export_share_taken"
    ja = "一つの利用者が同時に実行できる一括取得は{most}件です。終わってから再試行してください。"
    en = "One caller may run {most} bulk downloads at once. Try again when one of yours has ended."

    def __init__(self, most: int) -> None:
        super().__init__(most=most)
        self.headers["Retry-After"] = "10"


def refusal_of(deny: Deny) -> AccessRefused:
    """The refusal to raise for a rule's no."""
    if deny.reason is Reason.FACTS_TOO_OLD:
        return FactsTooOld(deny)
    if deny.reason is Reason.TOKEN_REQUIRED:
        return AuthenticationNeeded(deny)
    return AccessRefused(deny)
