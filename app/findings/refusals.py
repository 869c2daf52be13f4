"""What is refused about findings, alert rules and channels, in words. Decides nothing."""

from app.kit.errors import AppError, Kind


class FindingNotFound(AppError):
    """No such finding, or none of the caller's."""

    kind = Kind.NOT_FOUND
    code = "finding_not_found"
    ja = "指摘 {id} は見つかりません。GET /v1/findings で確認してください。"
    en = "There is no finding {id}. GET /v1/findings lists them."


class FindingClosed(AppError):
    """What was resolved or dismissed stays so."""

    kind = Kind.CONFLICT
    code = "finding_closed"
    ja = "指摘 {id} は {state} で、変更できません。再発した場合は新しい指摘になります。"
    en = "The finding {id} is {state} and stays so. The same again makes a new finding."


class FindingAcknowledged(AppError):
    """Somebody has said before that they look into it."""

    kind = Kind.CONFLICT
    code = "finding_acknowledged"
    ja = "指摘 {id} は確認済みです。対応が終わったら resolve、誤りなら dismiss を使ってください。"
    en = "The finding {id} is acknowledged already. Resolve it once done, or dismiss a false one."


class FindingInvalid(AppError):
    """The owner or the date is none that a finding can have."""

    kind = Kind.INVALID
    code = "finding_invalid"
    ja = "指摘の担当か期限に誤りがあります。"
    en = "The owner or the due date of the finding is wrong."


class AlertRuleNotFound(AppError):
    """No such rule."""

    kind = Kind.NOT_FOUND
    code = "alert_rule_not_found"
    ja = "警報ルール {name} はありません。GET /v1/admin/alert-rules で確認してください。"
    en = "There is no alert rule {name}. GET /v1/admin/alert-rules lists them."


class AlertRuleInvalid(AppError):
    """A value that the rule does not have, or out of its bounds."""

    kind = Kind.INVALID
    code = "alert_rule_invalid"
    ja = "警報ルール {name} の値に誤りがあります。"
    en = "A value for the alert rule {name} is wrong."


class ChannelNotFound(AppError):
    """No such channel, or none of the caller's."""

    kind = Kind.NOT_FOUND
    code = "alert_channel_not_found"
    ja = "通知先 {id} は見つかりません。GET /v1/alert-channels で確認してください。"
    en = "There is no alert channel {id}. GET /v1/alert-channels lists them."


class MailNotSetUp(AppError):
    """This deployment sends no mail."""

    kind = Kind.CONFLICT
    code = "mail_not_set_up"
    ja = (
        "この基盤はメールを送れません。運営者が URBANOS_SMTP_URL（smtps://… か smtp+starttls://…）を"
        "設定するか、webhook の通知先を登録してください。"
    )
    en = (
        "No mail is sent from here: have the operator set URBANOS_SMTP_URL (smtps://… or"
        " smtp+starttls://…), or declare a webhook."
    )


class TooManyChannels(AppError):
    """Every finding goes to each of them: that must stay few."""

    kind = Kind.CONFLICT
    code = "too_many_alert_channels"
    ja = "通知先は{most}件までです。使わないものを削除してください。"
    en = "There may be {most} alert channels at most. Remove one that is not used."


class NotForOperators(AppError):
    """Only operators are told of everybody's findings."""

    kind = Kind.FORBIDDEN
    code = "operators_only"
    ja = "運営者の通知先と担当組織の変更は、運営者だけが扱えます。"
    en = "Only an operator may declare a channel for the operators or give a finding to another body."


class ChannelInvalid(AppError):
    """Nobody can be told there."""

    kind = Kind.INVALID
    code = "alert_channel_invalid"
    ja = "通知先に誤りがあります。"
    en = "The alert channel is wrong."
