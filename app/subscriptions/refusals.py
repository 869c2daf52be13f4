"""What is refused about subscriptions, in words. Decides nothing."""

from app.kit.errors import AppError, Fault, Kind
from app.kit.outbound import OutboundRefused


class SubscriptionNotFound(AppError):
    """No such subscription, or none of the caller's."""

    kind = Kind.NOT_FOUND
    code = "subscription_not_found"
    ja = "購読 {id} は見つかりません。GET /v1/subscriptions で確認してください。"
    en = "There is no subscription {id}. GET /v1/subscriptions lists yours."


class UrlNotAllowed(AppError):
    """Notices are not sent to this address."""

    kind = Kind.INVALID
    code = "url_not_allowed"
    ja = "{why_ja}"
    en = "{why}"

    def __init__(self, refusal: OutboundRefused) -> None:
        ja, en = refusal.words("ja"), refusal.words("en")
        super().__init__(why_ja=ja, why=en, faults=[Fault("/url", self.code, ja, en)])


class TooManySubscriptions(AppError):
    """As many as one client may have."""

    kind = Kind.CONFLICT
    code = "too_many_subscriptions"
    ja = "一つのクライアントの購読は{most}件までです。使わないものを DELETE で終了してください。"
    en = "A client has {most} subscriptions at most. End those that are not needed, with DELETE."


class SubscriptionStopped(AppError):
    """One that has stopped sends nothing again."""

    kind = Kind.CONFLICT
    code = "subscription_stopped"
    ja = "購読 {id} は停止しました（{why_ja}）。POST /v1/subscriptions で購読し直してください。"
    en = "The subscription {id} has stopped: {why} Subscribe anew with POST /v1/subscriptions."


class SubscriptionOfPerson(AppError):
    """A system is told of changes; somebody who signed in reads them."""

    kind = Kind.FORBIDDEN
    code = "subscription_for_clients"
    ja = (
        "購読はシステムのためのものです。サインインした利用者のトークンではなく、クライアント自身の"
        "トークン（client_credentials）を使ってください。"
    )
    en = (
        "Subscriptions are for systems. Use the client's own token (client_credentials), not that"
        " of somebody who signed in."
    )
