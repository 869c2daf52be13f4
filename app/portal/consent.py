"""The page that asks somebody whether an app may act for them. Decides nothing."""

from typing import Final
from urllib.parse import urlsplit

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from app.models.parties import Organization
from app.models.people import Person
from app.oauth.details import read_details
from app.oauth.pushed import Pending
from app.oauth.scopes import IDENTITY, MEANINGS, dataset_of
from app.parties import clients
from app.policy.facts import Action
from app.portal.layout import Html, both, form, html, joined, page
from app.portal.visits import Visitor

PATH: Final = "/consent"
ALLOW: Final = "allow"
DENY: Final = "deny"
WORDS: Final[dict[str, str]] = {
    "openid": "サインインした職員を識別すること",
    "profile": "氏名を見ること",
    "email": "メールアドレスを見ること",
    "catalogue:write": "所属組織のデータセットを登録・変更すること",
    "agreements:write": "利用を申請し、申請と協定について決定すること",
    "organization:write": "所属組織として利用規約に同意し、グループから脱退すること",
    "invitations:write": "組織を招待し、クライアントの登録を承認すること",
    "admin:read": "組織・クライアント・職員・すべての協定を見ること",
    "admin:write": "組織・クライアント・職員・認証プロバイダーを変更し、協定を停止すること",
    "audit:read": "監査ログを読み、検証すること",
    "findings:read": "所属組織の指摘を見ること（運営者と監査者はすべての指摘）",
    "findings:write": "指摘に対応し、その通知先を登録すること",
    "systems:read": "所属組織の情報システム台帳とカルテを見ること",
    "systems:write": "システムを登録・診断し、重複について決定すること",
    "programmes:read": "支援・補助事業と、所属組織のプロジェクト・共同調達を見ること",
    "programmes:write": "プロジェクト・共同調達・共同利用を登録し、自組織の事業の採否を決定すること",
    "conformance:write": "所属組織のサービスを登録して適合試験を受けること（運営者は証明書の発行と失効）",
}


async def consent_page(
    session: AsyncSession, pending: Pending, request_uri: str, visitor: Visitor
) -> Response:
    """Which app, of whom, may do what; two buttons."""
    client = await clients.get(session, pending.client_id)
    owner = await session.get_one(Organization, client.organization_id)
    person = await session.get_one(Person, visitor.person.person_id)
    told = _told(pending)
    body = html(
        "<p>{asks}</p><dl><dt>{app}</dt><dd>{name} <code>{id}</code></dd>"
        "<dt>{of}</dt><dd>{owner}</dd><dt>{as_whom}</dt><dd>{person}</dd>"
        "<dt>{back}</dt><dd><code>{host}</code></dd></dl><h2>{may}</h2><ul>{told}</ul>{forms}",
        asks=both(
            "次のアプリが、あなたに代わって操作する許可を求めています。",
            "This app asks to act for you.",
        ),
        app=both("アプリ", "App"),
        name=client.name,
        id=client.id,
        of=both("運営", "Run by"),
        owner=both(owner.name_ja, owner.name_en or ""),
        as_whom=both("あなた", "You"),
        person=person.name,
        back=both("戻り先", "Leads back to"),
        host=urlsplit(pending.asked.redirect_uri).netloc,
        may=both("許可する内容", "What it may do"),
        told=told,
        forms=_forms(pending, request_uri, visitor),
    )
    return page("アプリの許可", "Let an app act", body, forms_lead_out=True)


def _told(pending: Pending) -> Html:
    """The scopes in words, and the one agreement where one is named."""
    told = [html("<li>{said}</li>", said=words_of(token)) for token in pending.asked.scope]
    if pending.asked.details is not None:
        agreement = read_details(pending.asked.details).agreement_id
        said = both(f"協定 {agreement} の範囲に限ります", f"Only under the agreement {agreement}")
        told.append(html("<li>{said}</li>", said=said))
    return joined(told)


def words_of(token: str) -> Html:
    """What a scope lets an app do, in both languages."""
    named = dataset_of(token)
    if named is None:
        en = MEANINGS.get(token) or IDENTITY[token]
        return both(WORDS.get(token, token), en)
    dataset_id, action = named
    if token.endswith(":subscribe"):
        return both(
            f"データセット {dataset_id} の変更の通知を受けること",
            f"be told that the dataset {dataset_id} has changed",
        )
    if action is Action.WRITE:
        return both(
            f"データセット {dataset_id} に書き込むこと", f"write to the dataset {dataset_id}"
        )
    return both(f"データセット {dataset_id} を読むこと", f"read the dataset {dataset_id}")


def _forms(pending: Pending, request_uri: str, visitor: Visitor) -> Html:
    kept = {"client_id": pending.client_id, "request_uri": request_uri}
    nothing = Html("")
    return joined(
        (
            form(PATH, visitor.csrf, nothing, "許可する", "Allow", answer=ALLOW, **kept),
            form(PATH, visitor.csrf, nothing, "許可しない", "Do not allow", answer=DENY, **kept),
        )
    )
