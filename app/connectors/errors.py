"""How a source fails, told apart: five ways, each in words. Never quotes what a source answered, but
for the sentence of a SOAP fault, cut short and looked through before.
"""

from typing import ClassVar, Final, NamedTuple

from app.kit.errors import AppError, Kind


class _Why(NamedTuple):
    ja: str
    en: str
    passes: bool = False  # asking again later may mend it, and harms nobody


# What each place of the way says. `{detail}` is the error's own: a number or a name, never content.
WHY: Final[dict[str, _Why]] = {
    "name": _Why("ホスト名を解決できません", "its name does not resolve", passes=True),
    "connection": _Why("接続できません", "no connection is made", passes=True),
    "tls": _Why("TLSの証明書を確認できません", "its TLS certificate is not accepted"),
    "tls_expired": _Why("TLS証明書の有効期限が切れているか、まだ有効ではありません",
                        "its TLS certificate has expired, or is not valid yet"),
    "tls_authority": _Why("TLS証明書の発行者を信頼できません。connection.authority に認証局の証明書を指定してください",
                          "nobody here knows the issuer of its TLS certificate (set connection.authority)"),
    "tls_name": _Why("TLS証明書が別のホスト名のものです", "its TLS certificate is for another host name"),
    "tls_client": _Why("クライアント証明書を求められたか、受け付けられません（connection.client）",
                       "it asks for a client certificate, or does not take ours (connection.client)"),
    "proxy": _Why("プロキシに接続できないか、プロキシに拒否されました", "its proxy cannot be reached, or refuses"),
    "cut_off": _Why("応答が途中で切れました", "the answer broke off", passes=True),
    "silence": _Why("時間内に応答がありません", "it was silent for too long", passes=True),
    "pace": _Why("要求の頻度を制限しています", "it limits how often it is asked", passes=True),
    "reader_pace": _Why("この利用者の要求の頻度を制限しています", "it limits how often this reader asks"),
    "credentials": _Why("認証情報が受け付けられません", "it does not take the credentials"),
    "permission": _Why("権限がありません", "the credentials give no permission for this"),
    "missing": _Why("{detail} がありません", "there is no {detail}"),
    "status": _Why("状態コード {detail} を返しました", "it answered with status {detail}"),
    "server": _Why("内部エラー（{detail}）", "it has an error of its own ({detail})", passes=True),
    "redirect": _Why("転送が続くか、別の所へ導きます", "it sends elsewhere, or round in circles"),
    "loop": _Why("同じページを繰り返し返します", "it gives the same page again and again"),
    "circle": _Why("基盤どうしが循環して問い合わせています", "platforms ask each other in circles"),
    "html": _Why("データではなくWebページを返しました", "it answered with a web page, not with data"),
    "charset": _Why("文字コードを読めません（{detail}）", "its text cannot be read as {detail}"),
    "format": _Why("{detail} として読めません", "it cannot be read as {detail}"),
    "too_long": _Why("{detail} バイトより長い応答です", "its answer is longer than {detail} bytes"),
    "too_many": _Why("{detail} 件より多い応答です", "its answer has more than {detail} entries"),
    "agent": _Why("引き受けるエージェントがありません", "no agent takes the work", passes=True),
    "not_allowed": _Why("エージェント側で許可されていません", "the agent's side does not allow it"),
    "agreement": _Why("協定 {detail} は有効ではありません", "the agreement {detail} is not in force"),
    "moving": _Why("読み取り中に変わりました", "it changed while it was read", passes=True),
    "stale": _Why("配信が {detail} 秒前から更新されていません", "it says what was so {detail} seconds ago", passes=True),
    "ahead": _Why("時計が {detail} 秒進んでいます", "its clock is {detail} seconds ahead", passes=True),
    "clock": _Why("連携元の時計と合っていません", "its clock and ours differ"),
    "fault": _Why("障害応答: {detail}", "it answered with a fault: {detail}"),
    "host_key": _Why("ホスト鍵が登録と違います", "its host key is not the one that was given"),
    "unready": _Why("{detail} はまだ完了していません", "{detail} is not done yet", passes=True),
    "unlisted": _Why("ファイルの一覧がなく、パターンは使えません", "it lists no files: give a whole path"),
    "many": _Why("{detail} 個のファイルが該当します", "{detail} files in it meet the pattern"),
    "crowded": _Why("{detail} 件を超えるファイルがあります", "it has more than {detail} files"),
    "shape": _Why("{detail} の形が変わりました", "{detail} has another shape than before"),
}  # fmt: skip


# What keeps a message of a stream out, whole.
UNUSABLE: Final[dict[str, tuple[str, str]]] = {
    "message_not_json": ("メッセージが JSON ではありません。", "The message is no JSON."),
    "message_no_object": ("メッセージが JSON オブジェクトではありません。", "The message is no JSON object."),
    "message_not_text": ("メッセージが UTF-8 の文字列ではありません。", "The message is no text in UTF-8."),
    "message_too_long": ("メッセージが長すぎます。", "The message is too long."),
    "message_unusable": ("メッセージを読めません。", "The message cannot be used."),
    "message_no_id": ("メッセージに id がありません。", "The message names no id."),
}  # fmt: skip


class SourceError(AppError):
    """A source did not give what was asked for. `at` is where the way ended: a name of `WHY`.

    `after_seconds`: the source itself said when to ask again.
    """

    kind = Kind.UNAVAILABLE
    told_as: ClassVar[str]  # the class as a run's history shows it

    def __init__(
        self, *, source: str, at: str, detail: object = "-", after_seconds: float | None = None
    ) -> None:
        why = WHY[at]
        self.at, self.passes, self.after_seconds = at, why.passes, after_seconds
        self.detail = detail
        super().__init__(
            source=source, why_ja=why.ja.format(detail=detail), why=why.en.format(detail=detail)
        )


class SourceUnreachable(SourceError):
    """No connection is made."""

    code = "source_unreachable"
    told_as = "unreachable"
    ja = "連携元 {source} に接続できません（{why_ja}）。アドレスとネットワークを確認してください。"
    en = "The source {source} cannot be reached: {why}. Check its address and the network."


class SourceBroken(SourceError):
    """It answers, and not with what can be used."""

    code = "source_broken"
    told_as = "broken"
    ja = "連携元 {source} の応答は使えません（{why_ja}）。連携元の管理者に確認してください。"
    en = "The answer of the source {source} cannot be used: {why}. Ask who runs it."


class SourceRefused(SourceError):
    """It knows us and says no, or does not know us."""

    code = "source_refused"
    told_as = "refused"
    ja = "連携元 {source} に拒否されました（{why_ja}）。認証情報と権限を確認してください。"
    en = "The source {source} refuses: {why}. Check the credentials and what they permit."


class SourceDenied(SourceRefused):
    """Another platform, asked for a reader of ours, says no to that reader. `reason` is its code."""

    def __init__(self, *, source: str, reason: str) -> None:
        super().__init__(source=source, at="permission")
        self.reason = reason


class SourceSlow(SourceError):
    """It takes too long, or asks to be asked less often."""

    code = "source_slow"
    told_as = "slow"
    ja = "連携元 {source} が遅すぎます（{why_ja}）。時間をおくか、頻度を下げてください。"
    en = "The source {source} is too slow: {why}. Wait, or ask it less often."


class SourceChanged(SourceError):
    """It answers well, and its data have another shape."""

    code = "source_changed"
    told_as = "changed"
    ja = "連携元 {source} の形が変わりました（{why_ja}）。設定と対応付けを直してください。"
    en = "The source {source} has changed: {why}. Mend the settings and the mapping."


class CannotAnswer(AppError):
    """The source cannot answer the whole question, and half an answer is none."""

    kind = Kind.UNSUPPORTED
    code = "connector_cannot_answer"
    ja = "コネクタ種別 {connector} はこの問い合わせに答えられません（{why_ja}）。"
    en = "The connector kind {connector} cannot answer this question: {why}."


class FolderNotLent(AppError):
    """The folder is none that the deployment lends to this organisation."""

    kind = Kind.INVALID
    code = "folder_not_lent"
    ja = "フォルダ {folder} はこの組織に開放されていません。運営者に URBANOS_FILE_ROOTS への追加を依頼してください。"
    en = (
        "The folder {folder} is not lent to this organisation: have the operator add it to"
        " URBANOS_FILE_ROOTS."
    )


class SigningNotInstalled(AppError):
    """The library that signs is an extra, and not here."""

    kind = Kind.INVALID
    code = "soap_signing_not_installed"
    ja = "SOAPメッセージの署名には追加部品 {extra} が必要です。運営者に導入を依頼してください。"
    en = "Signing of SOAP messages needs the extra {extra}: have the operator install it."


class DriverNotInstalled(AppError):
    """What speaks with a database is an extra, and not here."""

    kind = Kind.INVALID
    code = "sql_driver_not_installed"
    ja = "データベース {dialect} への接続には追加部品が必要です。運営者に pip install {extra} を依頼してください。"
    en = "The database {dialect} needs an extra: have the operator run pip install {extra}."
