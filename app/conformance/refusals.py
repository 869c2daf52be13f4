"""What is refused about services, official runs and certificates, each with its mend."""

from app.kit.errors import AppError, Kind


class ServiceNotFound(AppError):
    """No such service, or none that the caller may know of."""

    kind = Kind.NOT_FOUND
    code = "service_not_found"
    ja = "サービス {id} は見つかりません。GET /v1/conformance/services で確認してください。"
    en = "There is no service {id}. GET /v1/conformance/services lists yours."


class ServiceNotListed(AppError):
    """The public list has no such service."""

    kind = Kind.NOT_FOUND
    code = "certified_service_not_found"
    ja = "サービス {id} は公開一覧にありません。GET /v1/certified-services で確認してください。"
    en = "The public list has no service {id}. See GET /v1/certified-services."


class ServiceNotOfOrganization(AppError):
    """A vendor registers its own services."""

    kind = Kind.FORBIDDEN
    code = "service_not_of_organization"
    ja = "組織 {organization} のサービスは、その組織か上位の組織だけが登録できます。"
    en = "Services of {organization} are registered by that organisation or one above it."


class ServiceInvalid(AppError):
    """What was said of a service is wrong; `faults` says where."""

    kind = Kind.INVALID
    code = "service_invalid"
    ja = "サービスの登録内容に誤りがあります。errors を確認してください。"
    en = "What was said of the service is wrong. See errors."


class RunNotFound(AppError):
    """No such run, or none that the caller may know of."""

    kind = Kind.NOT_FOUND
    code = "conformance_run_not_found"
    ja = "適合試験 {id} は見つかりません。GET /v1/conformance/runs で確認してください。"
    en = "There is no conformance run {id}. GET /v1/conformance/runs lists yours."


class RunUnderWay(AppError):
    """One at a time for a service."""

    kind = Kind.CONFLICT
    code = "conformance_run_under_way"
    ja = "サービス {service} の適合試験は既に実行中です（{id}）。終了を待つか、取り消してください。"
    en = "A run for the service {service} is under way ({id}). Wait for its end, or cancel it."


class RunsTooMany(AppError):
    """A sandbox is judged so often a day and no more: it may be somebody else's."""

    kind = Kind.TOO_MANY
    code = "conformance_runs_too_many"
    ja = (
        "サービス {service} の適合試験は24時間に{most}回までです。"
        "手元の試験には urbanos certify を使ってください。"
    )
    en = (
        "The service {service} is judged {most} times in 24 hours at most. Use urbanos certify"
        " while you mend it."
    )


class SandboxTokenMissing(AppError):
    """Classes that are judged by writing need what to write with."""

    kind = Kind.CONFLICT
    code = "conformance_sandbox_token_missing"
    ja = (
        "クラス {classes} はレコードを書き込んで試験します。サービス {service} に dataset、"
        "sandbox_prefix と、sandbox_token かクライアント（/client）を登録してください。"
    )
    en = (
        "The classes {classes} are judged by writing records. Register dataset, sandbox_prefix and a"
        " sandbox_token or a client (/client) with the service {service}."
    )


class RunEnded(AppError):
    """Nothing is left to cancel."""

    kind = Kind.CONFLICT
    code = "conformance_run_has_ended"
    ja = "適合試験 {id} は既に終了しています（{state}）。"
    en = "The conformance run {id} has ended already ({state})."


class ReportNotThere(AppError):
    """The run is not at its end, or never came to judge anything."""

    kind = Kind.NOT_FOUND
    code = "conformance_report_not_found"
    ja = "適合試験 {id} の報告書はありません（状態 {state}）。合否が出た試験にだけあります。"
    en = "The conformance run {id} has no report; it is {state}. Only a run that judged has one."


class RunTooLong(AppError):
    """The sandbox is so slow that the run was ended."""

    kind = Kind.UNAVAILABLE
    code = "conformance_run_too_long"
    ja = "適合試験は{seconds}秒以内に終わりませんでした。サンドボックスの応答時間を確認してください。"
    en = "The run did not end within {seconds} s. See how fast the sandbox answers."


class SandboxUnusable(AppError):
    """The sandbox gives nothing that could be judged."""

    kind = Kind.UNAVAILABLE
    code = "conformance_sandbox_unusable"
    ja = (
        "サンドボックス {url} は試験できません（{why}）。"
        "公開データセットを応答するか、urbanos certify で確認してください。"
    )
    en = (
        "The sandbox {url} cannot be judged: {why}. See with urbanos certify that it answers"
        " with a public dataset."
    )


class SandboxNotProven(AppError):
    """Nobody has shown that the address is the vendor's."""

    kind = Kind.UNAVAILABLE
    code = "conformance_sandbox_not_proven"
    ja = (
        "サンドボックス {url} を管理していることを確認できません（応答 {status}）。{where} で、"
        "サービスの番号 {service} を一行とするテキストを返すようにしてから、試験をやり直してください。"
    )
    en = (
        "It is not proven that the sandbox {url} is yours (answer {status}). Have {where} answer a"
        " text with the service's id {service} as a line of it, and ask for the run again."
    )


class ClassNotOfficial(AppError):
    """A class that only its vendor can have judged."""

    kind = Kind.INVALID
    code = "conformance_class_not_official"
    ja = (
        "適合クラス push は公式試験の対象外です（通知を受け取る公開の窓口を持ちません）。"
        "登録から push を外し、urbanos certify --callback で試験してください。"
    )
    en = (
        "The class push is not judged officially: the judge has no public address for notices."
        " Register the service without it, and use urbanos certify --callback."
    )


class RulesNotShown(AppError):
    """Nothing was broken, and yet too little was seen for a certificate."""

    kind = Kind.INVALID
    code = "conformance_rules_not_shown"
    ja = (
        "規則 {rules} を確かめられませんでした（{why_ja}）。サンドボックスのデータセットを確かめられる"
        "内容にし、secure は PUT /v1/conformance/services/{service}/client で試験用クライアントと"
        "公開以外のデータセットを登録して、試験をやり直してください。"
    )
    en = (
        "The rules {rules} could not be seen: {why}. Give the sandbox's dataset what shows them; for"
        " secure, lend a client and a dataset above public with"
        " PUT /v1/conformance/services/{service}/client. Then ask for the run again."
    )


class RunGivenUp(AppError):
    """A fault of ours ended the run."""

    kind = Kind.UNAVAILABLE
    code = "conformance_run_given_up"
    ja = "内部エラーのため適合試験を中止しました。運営者に試験番号を伝えてください。"
    en = "Given up after an internal error. Tell the operator the run's id."


class RunNotPassed(AppError):
    """A certificate stands on a whole run that was passed lately, of a service as it still is."""

    kind = Kind.CONFLICT
    code = "conformance_run_not_passed"
    ja = (
        "適合試験 {id} では証明書を発行できません（{why_ja}）。"
        "登録中のサービスで{days}日以内に合格した試験を指定してください。"
    )
    en = (
        "No certificate can stand on the run {id}: {why}. Name a whole run that the service, as it"
        " is registered now, passed within {days} days."
    )


class CertificateIssued(AppError):
    """One run, one certificate: a revoked one is not to come back by its old run."""

    kind = Kind.CONFLICT
    code = "certificate_issued"
    ja = "適合試験 {run} の証明書は発行済みです（{id}）。改めて発行するには試験をやり直してください。"
    en = "The run {run} has its certificate already ({id}). A new one needs a new run."


class CertificateNotFound(AppError):
    """No such certificate."""

    kind = Kind.NOT_FOUND
    code = "certificate_not_found"
    ja = "証明書 {id} は見つかりません。GET /v1/conformance/certificates で確認してください。"
    en = "There is no certificate {id}. See GET /v1/conformance/certificates."


class CertificateRevoked(AppError):
    """It is revoked for good."""

    kind = Kind.CONFLICT
    code = "certificate_revoked"
    ja = "証明書 {id} は既に失効しています。"
    en = "The certificate {id} is revoked already."


class CertificateInvalid(AppError):
    """What was shown is no certificate, was changed, or is not in force."""

    kind = Kind.INVALID
    code = "certificate_invalid"
    ja = (
        "証明書は有効ではありません（{why_ja}）。発行元から取得し直すか、発行者に確認してください。"
    )
    en = "The certificate is not valid: {why}. Get it anew where it was issued, or ask the issuer."


class RequirementsInvalid(AppError):
    """What is required cannot be met by anybody; `faults` says what."""

    kind = Kind.INVALID
    code = "requirements_invalid"
    ja = "要求する適合クラス・レイアウトに誤りがあります。errors を確認してください。"
    en = "What is required of the standard is wrong. See errors."
